"""The same verb says the same through the command line, the console's HTTP API, and MCP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from mcp import ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client

from fastlog import Admin, Producer, TopicPartition
from fastlog.verbs.registry import load_all
from tests.harness.cli import fastlog, fastlog_command
from tests.harness.console import ConsoleProcess
from tests.integration.running import RunningBroker

pytestmark = pytest.mark.timeout(240)
MEASURED = {"records_per_second", "groups", "lag", "lag_seconds", "max_lag_seconds", "usable_bytes"}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    found = RunningBroker(tmp_path_factory.mktemp("broker"))
    try:
        found.start()
        fill(found.bootstrap)
        yield found
    finally:
        found.close()


def fill(bootstrap: str) -> None:
    with Admin(bootstrap) as admin:
        admin.create_topics(["orders", "users"]).check()
        with Producer(bootstrap) as producer:
            for number in range(5):
                value = json.dumps({"id": number}).encode()
                producer.send("orders", value, key=b"k", headers=[("h", b"\xff")]).result(timeout=30)
        admin.alter_group_offsets("g", {TopicPartition("orders", 0): 2}).check()
        admin.alter_client_quotas({}).check()


@pytest.fixture(scope="module")
def by_http(broker: RunningBroker) -> Iterator[ConsoleProcess]:
    with ConsoleProcess(broker.bootstrap, "--allow-writes") as found:
        yield found.log_in()


def by_mcp(bootstrap: str, calls: list[tuple[str, dict[str, Any]]], *options: str) -> list[Any]:
    """What the tools answer; the names of the tools come first."""
    command, *words = fastlog_command("mcp", "-b", bootstrap, *options)

    async def ask() -> list[Any]:
        server = StdioServerParameters(command=command, args=words)
        async with stdio_client(server) as streams, ClientSession(*streams) as session:
            await session.initialize()
            found: list[Any] = [sorted(tool.name for tool in (await session.list_tools()).tools)]
            for name, arguments in calls:
                result = await session.call_tool(name, arguments)
                assert json.loads(result.content[0].text) == result.structured_content  # type: ignore[union-attr]
                found.append(result.structured_content)
            return found

    return asyncio.run(ask())


def without_what_is_measured(value: Any) -> Any:
    """The same without figures that change from moment to moment, or that only a console has."""
    if isinstance(value, dict):
        return {name: without_what_is_measured(item) for name, item in value.items() if name not in MEASURED}
    return [without_what_is_measured(item) for item in value] if isinstance(value, list) else value


def by_command(bootstrap: str, *words: str) -> Any:
    return json.loads(fastlog(*words, "-o", "json", bootstrap=bootstrap).stdout)


def test_three_ways_to_the_same(broker: RunningBroker, by_http: ConsoleProcess) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("list_topics", {"details": False}),
        ("list_topics", {"limit": 1}),
        ("describe_topic", {"topic": "orders"}),
        ("list_groups", {"details": False}),
        ("describe_group", {"group": "g"}),
        ("describe_cluster", {"api_versions": True}),
        ("describe_configs", {"resource_type": "topic", "resource": "orders", "every": True}),
        ("browse", {"topic": "orders", "position": "beginning"}),
        ("list_users", {}),
        ("list_quotas", {}),
        ("describe_producers", {"topic": "orders"}),
        ("describe_topic", {"topic": "nothing"}),
        ("browse", {"topic": "orders", "filter": "value =="}),
    ]
    names, *answers = by_mcp(broker.bootstrap, calls)
    assert names == sorted(verb.name for verb in load_all().values() if not verb.writes)
    for (verb, arguments), answer in zip(calls, answers, strict=True):
        texts = {
            name: str(value).lower() if isinstance(value, bool) else value
            for name, value in arguments.items()
        }
        page = by_http.ask("GET", target(verb, texts)).json
        assert without_what_is_measured(page) == without_what_is_measured(answer), verb

    found = dict(zip([verb for verb, _ in calls[::-1]], answers[::-1], strict=True))
    topics = by_command(broker.bootstrap, "topic", "list")
    assert topics == [{name: row[name] for name in topics[0]} for row in found["list_topics"]["topics"]]
    groups = by_command(broker.bootstrap, "group", "list")
    assert groups == [{name: row[name] for name in groups[0]} for row in found["list_groups"]["groups"]]
    assert by_command(broker.bootstrap, "topic", "describe", "orders") == [answers[2]]
    assert by_command(broker.bootstrap, "group", "describe", "g") == [found["describe_group"]]
    cluster = by_command(broker.bootstrap, "cluster", "describe")
    assert without_what_is_measured(cluster) == without_what_is_measured(found["describe_cluster"])
    (configs,) = by_command(broker.bootstrap, "config", "describe", "-t", "orders", "--all")
    assert configs["configs"] == [
        {name: row[name] for name in configs["configs"][0]} for row in found["describe_configs"]["configs"]
    ]
    lines = fastlog("consume", "orders", "-e", "-o", "json", bootstrap=broker.bootstrap).stdout.splitlines()
    records = [json.loads(line) for line in lines]
    messages = found["browse"] if "messages" in found["browse"] else answers[7]
    assert records == [{name: row[name] for name in records[0]} for row in messages["messages"]]
    assert len(records) == 5


def target(verb: str, arguments: dict[str, Any]) -> str:
    from urllib.parse import urlencode

    return f"/api/{verb}?{urlencode(arguments)}"


def test_plans_and_writes_are_the_same_too(broker: RunningBroker, by_http: ConsoleProcess) -> None:
    shift = {"group": "g", "to": "shift", "shift": 2}
    _, plan, refused, create = by_mcp(
        broker.bootstrap,
        [
            ("reset_offsets", shift),
            ("reset_offsets", shift | {"dry_run": False}),
            ("create_topic", {"topic": "new"}),
        ],
    )
    assert refused["error"]["code"] == "READ_ONLY"
    assert by_http.post("reset_offsets", **shift) == plan
    assert by_http.post("create_topic", topic="new") == create
    words = ("group", "reset-offsets", "g", "--all-topics", "--shift-by", "2")
    command = by_command(broker.bootstrap, *words)
    assert (command["executed"], command["partitions"]) == (False, plan["partitions"])

    names, done = by_mcp(broker.bootstrap, [("reset_offsets", shift | {"dry_run": False})], "--allow-writes")
    assert "reset_offsets" in names
    assert done == plan | {"executed": True}
    assert by_http.get("describe_group", group="g")["offsets"][0]["committed_offset"] == 4
    back = {"group": "g", "to": "offset", "offset": 2, "topics": ["orders"], "dry_run": False}
    assert by_http.post("reset_offsets", **back)["partitions"][0]["difference"] == -2
