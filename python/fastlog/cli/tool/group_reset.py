"""`fastlog group reset-offsets`: where each partition shall go, and going there (`fastlog.verbs.resets`)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from fastlog.cli.tool.failure_reports import UsageProblem
from fastlog.cli.tool.invocation import Session
from fastlog.cli.tool.offset_file import read_offset_file
from fastlog.cli.tool.output import Column
from fastlog.cli.tool.values import parse_datetime, parse_duration, parse_topics
from fastlog.client import Cluster
from fastlog.verbs import resets
from fastlog.verbs.group_writes import reset_rows
from fastlog.verbs.plain import plain
from fastlog.verbs.resets import PlannedReset, Target

__all__ = ["choose_target", "reset", "show_reset"]

_COLUMNS: Final = (
    Column("topic", "topic"),
    Column("partition", "partition", "number"),
    Column("current_offset", "current", "number"),
    Column("new_offset", "new", "number"),
    Column("difference", "difference", "number"),
)


def choose_target(
    *,
    group: str,
    to_earliest: bool,
    to_latest: bool,
    to_current: bool,
    to_offset: int | None,
    shift_by: int | None,
    to_datetime: str | None,
    by_duration: str | None,
    from_file: str | None,
) -> Target:
    """Exactly one of the options. Raises UsageProblem, and OSError for a file that cannot be read."""
    given = [
        *(["--to-earliest"] if to_earliest else []),
        *(["--to-latest"] if to_latest else []),
        *(["--to-current"] if to_current else []),
        *(["--to-offset"] if to_offset is not None else []),
        *(["--shift-by"] if shift_by is not None else []),
        *(["--to-datetime"] if to_datetime is not None else []),
        *(["--by-duration"] if by_duration is not None else []),
        *(["--from-file"] if from_file is not None else []),
    ]
    if len(given) > 1:
        raise UsageProblem(f"{' and '.join(given)}: choose one")
    if to_offset is not None:
        return Target("offset", to_offset)
    if shift_by is not None:
        return Target("shift", shift_by)
    if to_datetime is not None:
        return Target("time", parse_datetime(to_datetime, "--to-datetime"))
    if by_duration is not None:
        duration = parse_duration(by_duration, "--by-duration")
        if duration < 0:
            raise UsageProblem(f"--by-duration {by_duration}: must not be negative")
        return Target("time", max(0, time.time_ns() // 1_000_000 - duration))
    if from_file is not None:
        return Target("file", offsets=read_offset_file(from_file, group))
    if not given:
        raise UsageProblem("where to? give one of --to-earliest, --to-latest, --to-datetime, ...")
    return Target(given[0].removeprefix("--to-"))


async def reset(
    cluster: Cluster, group: str, target: Target, topics: Sequence[str] | None, *, execute: bool
) -> list[PlannedReset]:
    """Plans, and with `execute` commits. `topics` None: every partition with a committed offset."""
    choice = None if topics is None else parse_topics(topics, "--topic")
    return await resets.reset(cluster, group, target, choice, execute=execute)


def show_reset(session: Session, group: str, plan: Sequence[PlannedReset], *, execute: bool) -> None:
    """The rows, warnings for offsets that had to be moved, errors of single partitions."""
    rows = plain(reset_rows(plan))
    for planned in plan:
        if planned.error is not None:
            session.item_failed(f"partition {planned.name}", planned.error)
        elif planned.clamped:
            session.out.note(
                f"partition {planned.name}: offset {planned.wanted} is outside of the log, "
                f"{planned.new} is taken"
            )
    session.out.document({"group": group, "executed": execute, "partitions": rows})
    session.out.table(_COLUMNS, rows)
    if not execute:
        session.out.note("this was a dry run, nothing was changed; --execute does it")
