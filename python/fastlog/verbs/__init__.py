"""What can be seen and done in a cluster, as typed verbs: one way for command line, console and agents.

    async with Desk.open("127.0.0.1:9092") as desk:
        page = await list_topics(desk, limit=20)

A verb is a coroutine function with a `Desk` and keywords; its result is a frozen dataclass, whose field names
are those of the JSON that `fastlog -o json`, the console's API and the MCP server give (`plain`). Verbs that
change something take `dry_run` (true by default): then they tell what they would do. A desk that is read only
refuses to do it, in the verb (`registry`) and once more where requests leave (`read_only`).

`VERBS` in `registry` has them all, with their parameters. Nothing here knows HTTP, MCP or the command line.
"""
