"""`fastlog group`: list, describe, delete consumer groups, and reset their offsets."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from fastlog.cli.tool.completion import complete_groups, complete_topics
from fastlog.cli.tool.failure_reports import UsageProblem
from fastlog.cli.tool.invocation import Session, new_app, verb
from fastlog.cli.tool.outcomes import delete_all
from fastlog.cli.tool.output import Column
from fastlog.cli.tool.values import known_word, one_of

__all__ = ["app"]

app: Final = new_app("Consumer groups: list, lag, delete, reset offsets.")

GroupsArgument = Annotated[
    list[str], typer.Argument(metavar="GROUP", help="Groups.", autocompletion=complete_groups)
]


def _states(incomplete: str) -> list[str]:
    from fastlog.client.admin import groups

    return one_of(*groups.STATES)(incomplete)


@verb(app, "list")
async def list_groups(
    session: Session,
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state",
            metavar="STATE",
            help="Only groups in this state. Repeatable.",
            autocompletion=_states,
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            metavar="classic|consumer",
            help="Only groups of this kind. Repeatable.",
            autocompletion=one_of("classic", "consumer"),
        ),
    ] = None,
) -> None:
    """Lists groups of all brokers."""
    from fastlog.client.admin import groups
    from fastlog.verbs.groups import GroupBrief
    from fastlog.verbs.plain import plain

    states = [known_word(text, groups.STATES, "--state") for text in state or []]
    types = [known_word(text, groups.TYPES, "--type") for text in kind or []]
    async with session.connect() as cluster:
        found = await groups.list_groups(cluster, states=states, types=types)
    for node, error in found.errors.items():
        session.item_failed(f"broker {node}", error)
    rows = [plain(GroupBrief.of(row)) for row in found.rows]
    session.out.rows(
        [
            Column("group", "group"),
            Column("type", "type"),
            Column("protocol_type", "protocol"),
            Column("state", "state"),
            Column("coordinator", "coordinator", "number"),
        ],
        rows,
    )


@verb(app, "describe")
async def describe(
    session: Session,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="GROUP", help="Groups [all].", autocompletion=complete_groups),
    ] = None,
    members: Annotated[
        bool, typer.Option("--members", help="Members and what they own, instead of offsets.")
    ] = False,
    state: Annotated[
        bool, typer.Option("--state", help="State, assignor and coordinator, instead of offsets.")
    ] = False,
) -> None:
    """Shows committed offsets with their lag. JSON holds offsets, members and state together."""
    from fastlog.cli.tool.group_view import show_groups
    from fastlog.client.admin import groups
    from fastlog.verbs.groups import describe_some
    from fastlog.verbs.plain import plain

    if members and state:
        raise UsageProblem("--members and --state: choose one")
    async with session.connect() as cluster:
        wanted = list(dict.fromkeys(names or []))
        if not wanted:
            found = await groups.list_groups(cluster)
            wanted = [row.group_id for row in found.rows]
            for node, failure in found.errors.items():
                session.item_failed(f"broker {node}", failure)
        described, errors = await describe_some(cluster, wanted)
    for name, error in errors.items():
        session.item_failed(f"group {name}", error)
    show_groups(session.out, plain(described), "members" if members else "state" if state else "offsets")
    if not wanted and not session.failed:
        session.out.note("there are no groups")


@verb(app, "delete")
async def delete(
    session: Session,
    names: GroupsArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Deletes groups with their offsets. Groups with members stay."""
    from fastlog.client.admin.groups import delete_groups

    await delete_all(session, "group", names, delete_groups, what="offsets", yes=yes)


@verb(app, "reset-offsets")
async def reset_offsets(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="GROUP", help="The group.", autocompletion=complete_groups)],
    topic: Annotated[
        list[str] | None,
        typer.Option(
            "--topic",
            metavar="TOPIC[:0,1]",
            help="A topic, or partitions of it. Repeatable.",
            autocompletion=complete_topics,
        ),
    ] = None,
    all_topics: Annotated[
        bool, typer.Option("--all-topics", help="Every partition that the group has committed.")
    ] = False,
    to_earliest: Annotated[bool, typer.Option("--to-earliest", help="To the log start.")] = False,
    to_latest: Annotated[bool, typer.Option("--to-latest", help="To the log end.")] = False,
    to_current: Annotated[
        bool, typer.Option("--to-current", help="As it is; to the log end where nothing is committed.")
    ] = False,
    to_offset: Annotated[
        int | None, typer.Option("--to-offset", metavar="N", min=0, help="To offset N.")
    ] = None,
    shift_by: Annotated[
        int | None, typer.Option("--shift-by", metavar="N", help="N forward, or back if negative.")
    ] = None,
    to_datetime: Annotated[
        str | None,
        typer.Option("--to-datetime", metavar="ISO", help="To the first record at or after this time."),
    ] = None,
    by_duration: Annotated[
        str | None,
        typer.Option(
            "--by-duration", "--to-duration", metavar="P1DT2H", help="To the time this long before now."
        ),
    ] = None,
    from_file: Annotated[
        str | None,
        typer.Option(
            "--from-file", metavar="FILE", help="To the offsets in a CSV or JSON file; - for stdin."
        ),
    ] = None,
    execute: Annotated[
        bool, typer.Option("--execute", help="Do it. Without this the plan is only shown.")
    ] = False,
) -> None:
    """Moves the committed offsets of a group that has no members. A dry run unless --execute is given."""
    from fastlog.cli.tool.group_reset import choose_target, reset, show_reset

    target = choose_target(
        group=name,
        to_earliest=to_earliest,
        to_latest=to_latest,
        to_current=to_current,
        to_offset=to_offset,
        shift_by=shift_by,
        to_datetime=to_datetime,
        by_duration=by_duration,
        from_file=from_file,
    )
    if (target.kind == "file") == (bool(topic) or all_topics):
        raise UsageProblem(
            "--from-file names its partitions itself; leave out --topic and --all-topics"
            if target.kind == "file"
            else "which partitions? give --topic or --all-topics"
        )
    if topic and all_topics:
        raise UsageProblem("--topic and --all-topics: choose one")
    async with session.connect() as cluster:
        rows = await reset(cluster, name, target, topic or None, execute=execute)
    show_reset(session, name, rows, execute=execute)
