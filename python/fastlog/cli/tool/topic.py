"""`fastlog topic`: create, list, describe, alter, delete and trim topics."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fastlog.cli.tool.completion import complete_topics
from fastlog.cli.tool.failure_reports import UsageProblem, describe_error
from fastlog.cli.tool.invocation import Session, new_app, verb
from fastlog.cli.tool.outcomes import confirm, delete_all, failed_row
from fastlog.cli.tool.output import Column
from fastlog.cli.tool.reassign.commands import app as reassign
from fastlog.cli.tool.values import parse_assignments, parse_offsets, parse_replicas

if TYPE_CHECKING:
    from fastlog.client import ClientError

__all__ = ["app"]

app: Final = new_app(
    "Create, list, describe, alter, trim and delete topics; who leads them, and where they are."
)
app.add_typer(reassign, name="reassign")

ConfigsOption = Annotated[
    list[str] | None, typer.Option("--config", "-c", metavar="KEY=VALUE", help="A setting. Repeatable.")
]
TopicsArgument = Annotated[
    list[str], typer.Argument(metavar="TOPIC", help="Topics.", autocompletion=complete_topics)
]


@verb(app, "create")
async def create(
    session: Session,
    names: Annotated[list[str], typer.Argument(metavar="TOPIC", help="Topics to create.")],
    partitions: Annotated[
        int | None,
        typer.Option("--partitions", "-p", metavar="N", help="Number of partitions [the broker's default]."),
    ] = None,
    replication: Annotated[
        int | None,
        typer.Option("--replication", "-r", metavar="N", help="Copies of each partition [broker's default]."),
    ] = None,
    configs: ConfigsOption = None,
    assignment: Annotated[
        str | None,
        typer.Option(metavar="1:2,2:3", help="Nodes of each partition's replicas, the leader first."),
    ] = None,
    if_not_exists: Annotated[
        bool, typer.Option("--if-not-exists", help="A topic that exists is no failure.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only ask whether it would work.")] = False,
) -> None:
    """Creates topics."""
    from fastlog.client.admin.topics import NewTopic, create_topics
    from fastlog.client.errors import ClientError
    from fastlog.errors import ErrorCode

    if assignment is not None and (partitions is not None or replication is not None):
        raise UsageProblem("--assignment says how many partitions and replicas; leave out -p and -r")
    placed = () if assignment is None else parse_replicas(assignment, "--assignment")
    settings = parse_assignments(configs or [], "--config")
    wanted = [NewTopic(name, partitions, replication, placed, settings) for name in dict.fromkeys(names)]
    async with session.connect() as cluster:
        found = await create_topics(cluster, wanted, validate_only=dry_run)
    rows: list[dict[str, Any]] = []
    for topic in wanted:
        result = found[topic.name]
        exists = isinstance(result, ClientError) and result.code is ErrorCode.TOPIC_ALREADY_EXISTS
        if exists and if_not_exists:
            rows.append({"topic": topic.name, "status": "exists", "error": None})
            session.out.line(f"topic {topic.name} exists")
        elif isinstance(result, ClientError):
            session.item_failed(f"topic {topic.name}", result)
            rows.append(failed_row("topic", topic.name, result))
        else:
            row = {
                "topic": topic.name,
                "status": "checked" if dry_run else "created",
                "partitions": result.partitions or len(placed) or partitions,
                "replication_factor": result.replication_factor
                or (len(placed[0]) if placed else replication),
                "error": None,
            }
            rows.append(row)
            session.out.line(
                f"{'would create' if dry_run else 'created'} topic {topic.name}: "
                f"partitions {row['partitions']}, replication factor {row['replication_factor']}"
            )
    session.out.document(rows)


@verb(app, "list")
async def list_topics(
    session: Session,
    pattern: Annotated[
        str | None, typer.Argument(metavar="PATTERN", help="Only names that match, such as 'orders*'.")
    ] = None,
    under_replicated: Annotated[
        bool, typer.Option("--under-replicated", help="Only topics that lack in-sync replicas.")
    ] = False,
    unavailable: Annotated[
        bool, typer.Option("--unavailable", help="Only topics with a partition without a leader.")
    ] = False,
    internal: Annotated[bool, typer.Option("--internal", help="Internal topics too.")] = False,
) -> None:
    """Lists topics.

    Internal ones with --internal, or where --under-replicated or --unavailable ask for topics.
    """
    from fastlog.verbs.health import is_under_replicated, moves_under_way
    from fastlog.verbs.plain import plain
    from fastlog.verbs.topics import TopicBrief

    async with session.connect() as cluster:
        metadata = await cluster.metadata()
        partitions = [item for topic in metadata.topics.values() for item in topic.partitions]
        lacking = [item for item in partitions if is_under_replicated(item, None)]
        moves = await moves_under_way(cluster, [item.name for item in lacking])
    every = internal or under_replicated or unavailable
    rows: list[dict[str, Any]] = [
        plain(TopicBrief.of(topic, moves))
        for name, topic in sorted(metadata.topics.items())
        if (every or not topic.is_internal) and (pattern is None or fnmatch.fnmatchcase(name, pattern))
    ]
    if under_replicated or unavailable:
        rows = [
            row
            for row in rows
            if (under_replicated and row["under_replicated"]) or (unavailable and row["unavailable"])
        ]
    columns = [
        Column("topic", "topic"),
        Column("partitions", "partitions", "number"),
        Column("replication_factor", "replicas", "number"),
    ]
    if any(row["under_replicated"] or row["unavailable"] for row in rows):
        columns.append(Column("under_replicated", "under-replicated", "number"))
        columns.append(Column("unavailable", "unavailable", "number"))
    if internal:
        columns.append(Column("internal", "internal"))
    session.out.rows(columns, rows)


@verb(app, "describe")
async def describe(
    session: Session,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="TOPIC", help="Topics [all].", autocompletion=complete_topics),
    ] = None,
    under_replicated: Annotated[
        bool, typer.Option("--under-replicated", help="Only partitions that lack in-sync replicas.")
    ] = False,
    unavailable: Annotated[
        bool, typer.Option("--unavailable", help="Only partitions without a live leader.")
    ] = False,
    internal: Annotated[bool, typer.Option("--internal", help="Internal topics too.")] = False,
) -> None:
    """Shows partitions, their offsets and sizes, and settings.

    The settings are those that are not the default. Without names it shows all topics, internal ones
    with --internal or where their partitions are asked for.
    """
    from fastlog.cli.tool.topic_view import show_topics
    from fastlog.verbs.plain import plain
    from fastlog.verbs.topics import describe_some

    async with session.connect() as cluster:
        described, errors = await describe_some(
            cluster, names or None, internal=internal or under_replicated or unavailable
        )
    for name, error in errors.items():
        session.item_failed(f"topic {name}", error)
    topics = plain(described)
    for topic in topics:
        topic["partitions"] = [
            row
            for row in topic["partitions"]
            if (not under_replicated or row["under_replicated"])
            and (not unavailable or row["leader"] is None)
        ]
    shown = [topic for topic in topics if topic["partitions"] or not (under_replicated or unavailable)]
    show_topics(session.out, shown)
    if not shown and not errors:
        session.out.note("no topic has such partitions" if topics else "there are no topics")


@verb(app, "alter")
async def alter(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="TOPIC", help="The topic.", autocompletion=complete_topics)],
    partitions: Annotated[
        int | None, typer.Option("--partitions", "-p", metavar="N", help="New total number of partitions.")
    ] = None,
    configs: ConfigsOption = None,
    delete_config: Annotated[
        list[str] | None,
        typer.Option("--delete-config", metavar="KEY", help="Back to the default. Repeatable."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only ask whether it would work.")] = False,
) -> None:
    """Adds partitions, changes settings."""
    from fastlog.client.admin.configs import ConfigChange, ConfigOperation, ConfigResource, alter_configs
    from fastlog.client.admin.topics import create_partitions

    changes = [
        *(
            ConfigChange(key, ConfigOperation.SET, value)
            for key, value in parse_assignments(configs or [], "--config").items()
        ),
        *(ConfigChange(key, ConfigOperation.DELETE) for key in delete_config or []),
    ]
    if partitions is None and not changes:
        raise UsageProblem("nothing to change: give --partitions, --config or --delete-config")
    result: dict[str, Any] = {"topic": name, "status": "checked" if dry_run else "altered", "error": None}
    async with session.connect() as cluster:
        error: ClientError | None = None
        if changes:
            resource = ConfigResource.topic(name)
            error = (await alter_configs(cluster, {resource: changes}, validate_only=dry_run))[resource]
        if error is None and partitions is not None:
            error = (await create_partitions(cluster, {name: partitions}, validate_only=dry_run))[name]
    if error is not None:
        session.item_failed(f"topic {name}", error)
        result = failed_row("topic", name, error)
    else:
        session.out.line(f"{'would alter' if dry_run else 'altered'} topic {name}")
    session.out.document(result)


@verb(app, "delete")
async def delete(
    session: Session,
    names: TopicsArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    if_exists: Annotated[
        bool, typer.Option("--if-exists", help="A topic that does not exist is no failure.")
    ] = False,
) -> None:
    """Deletes topics with all their records."""
    from fastlog.client.admin.topics import delete_topics, is_missing

    await delete_all(
        session,
        "topic",
        names,
        delete_topics,
        what="records",
        yes=yes,
        may_miss=lambda error: if_exists and is_missing(error),
    )


@verb(app, "elect")
async def elect(
    session: Session,
    topics: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TOPIC[:PARTITIONS]",
            help="Such as orders or orders:0,2-5.",
            autocompletion=complete_topics,
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All topics, internal ones too.")] = False,
    preferred: Annotated[
        bool, typer.Option("--preferred", help="The first replica, if it is in sync [this].")
    ] = False,
    unclean: Annotated[
        bool,
        typer.Option("--unclean", help="Any replica that lives, if none in sync does: records are lost."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, with --unclean.")] = False,
) -> None:
    """Has leaders elected."""
    from fastlog.cli.tool.chosen_partitions import parse_choice
    from fastlog.cli.tool.topic_election import elect as elect_now
    from fastlog.client.admin.elections import Election

    if preferred and unclean:
        raise UsageProblem("--preferred and --unclean: choose one")
    choice = parse_choice(topics or [], every=every)
    if unclean and not yes:
        confirm("elect leaders that may lack records, which are lost then?")
    await elect_now(session, choice, Election.UNCLEAN if unclean else Election.PREFERRED)


@verb(app, "trim")
async def trim(
    session: Session,
    before: Annotated[
        list[str],
        typer.Argument(
            metavar="TOPIC:PARTITION=OFFSET", help="Where the log shall begin; `end` deletes all records."
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Deletes the records before an offset."""
    from fastlog.client import ClientError, TopicPartition
    from fastlog.client.admin.record_deletion import delete_records

    wanted = {
        TopicPartition(topic, partition): offset
        for (topic, partition), offset in parse_offsets(before, "trim").items()
    }
    if not yes:
        confirm(f"delete records of {', '.join(map(str, wanted))}?")
    async with session.connect() as cluster:
        found = await delete_records(cluster, wanted)
    rows: list[dict[str, Any]] = []
    for name in wanted:
        result = found[name]
        if isinstance(result, ClientError):
            session.item_failed(f"partition {name}", result)
        row = {"topic": name.topic, "partition": name.partition}
        rows.append(
            row | {"log_start_offset": None, "error": describe_error(result)}
            if isinstance(result, ClientError)
            else row | {"log_start_offset": result, "error": None}
        )
    session.out.rows(
        [
            Column("topic", "topic"),
            Column("partition", "partition", "number"),
            Column("log_start_offset", "log start offset", "number"),
        ],
        rows,
    )
