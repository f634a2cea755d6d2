"""`fastlog group reset-offsets`: where each partition shall go, and going there.

Offsets outside of the log are moved to its nearer end, as kafka-consumer-groups does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from fastlog.base.wording import counted
from fastlog.cli.tool.failure_reports import UsageProblem, describe_error
from fastlog.cli.tool.invocation import Session
from fastlog.cli.tool.offset_file import read_offset_file
from fastlog.cli.tool.output import Column
from fastlog.cli.tool.values import parse_datetime, parse_duration, parse_topics
from fastlog.client import BrokerError, ClientError, Cluster, TopicPartition
from fastlog.client.admin.groups import describe_groups
from fastlog.client.admin.offsets import alter_group_offsets, list_group_offsets
from fastlog.client.leaders import EARLIEST, LATEST, OffsetAt, list_offsets
from fastlog.client.offset_values import OffsetAndMetadata
from fastlog.errors import ErrorCode

__all__ = ["PlannedReset", "Target", "choose_target", "reset", "resolve", "show_reset"]

_QUIET_STATES: Final = frozenset({"Empty", "Dead"})
_COLUMNS: Final = (
    Column("topic", "topic"),
    Column("partition", "partition", "number"),
    Column("current_offset", "current", "number"),
    Column("new_offset", "new", "number"),
    Column("difference", "difference", "number"),
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where offsets shall go: `kind` is earliest, latest, current, offset, shift, time or file."""

    kind: str
    value: int = 0
    offsets: Mapping[TopicPartition, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlannedReset:
    """One partition. `wanted` is the offset before it was moved into the log."""

    name: TopicPartition
    current: int | None = None
    new: int | None = None
    wanted: int | None = None
    error: ClientError | None = None

    @property
    def clamped(self) -> bool:
        """Whether the wanted offset was outside of the log."""
        return self.new is not None and self.new != self.wanted


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
    """Plans, and with `execute` commits. `topics` None: every partition with a committed offset.

    Raises BrokerError NON_EMPTY_GROUP when the group has members.
    """
    await _check_quiet(cluster, group)
    committed = await list_group_offsets(cluster, group)
    names, missing = await _partitions(cluster, _choose(group, target, topics, committed))
    current = {name: item.offset for name, item in committed.items() if isinstance(item, OffsetAndMetadata)}
    plan = await _plan(cluster, target, names, current)
    plan += [PlannedReset(name, current.get(name), error=error) for name, error in missing.items()]
    plan.sort(key=lambda row: row.name)
    return await _commit(cluster, group, plan) if execute else plan


async def _check_quiet(cluster: Cluster, group: str) -> None:
    described = (await describe_groups(cluster, [group]))[group]
    if isinstance(described, ClientError):
        if described.code is not ErrorCode.GROUP_ID_NOT_FOUND:
            raise described
    elif described.state not in _QUIET_STATES:
        raise BrokerError(
            ErrorCode.NON_EMPTY_GROUP,
            f"group {group} is {described.state} with {counted(len(described.members), 'member')}: "
            "stop its consumers first, then reset",
        )


def _choose(
    group: str, target: Target, topics: Sequence[str] | None, committed: Iterable[TopicPartition]
) -> dict[str, tuple[int, ...]]:
    """Partitions by topic; none stands for all of the topic's."""
    if target.kind != "file" and topics is not None:
        return parse_topics(topics, "--topic")
    chosen: dict[str, tuple[int, ...]] = {}
    for name in target.offsets if target.kind == "file" else committed:
        chosen[name.topic] = (*chosen.get(name.topic, ()), name.partition)
    if not chosen:
        text = f"group {group} has no committed offsets: name the topics with --topic"
        raise ClientError(ErrorCode.GROUP_ID_NOT_FOUND, text)
    return chosen


async def _partitions(
    cluster: Cluster, chosen: Mapping[str, tuple[int, ...]]
) -> tuple[list[TopicPartition], dict[TopicPartition, ClientError]]:
    """Those that exist, and errors for those that do not. BrokerError for a whole topic that does not."""
    metadata = await cluster.metadata(list(chosen))
    names: list[TopicPartition] = []
    missing: dict[TopicPartition, ClientError] = {}
    for topic, partitions in chosen.items():
        info = metadata.topics.get(topic)
        code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION if info is None else info.error
        if info is None or code is not ErrorCode.NONE:
            if not partitions:
                raise BrokerError(code, f"topic {topic!r}: {code.text}")
            missing |= {TopicPartition(topic, item): BrokerError(code) for item in partitions}
            continue
        existing = {item.index for item in info.partitions}
        for index in partitions or sorted(existing):
            name = TopicPartition(topic, index)
            if index in existing:
                names.append(name)
            else:
                text = f"the topic has {counted(len(existing), 'partition')}"
                missing[name] = BrokerError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, text)
    return names, missing


async def _plan(
    cluster: Cluster, target: Target, names: Sequence[TopicPartition], current: Mapping[TopicPartition, int]
) -> list[PlannedReset]:
    if not names:
        return []
    at_time: dict[TopicPartition, OffsetAt | ClientError] = {}
    starts, ends = await asyncio.gather(
        list_offsets(cluster, dict.fromkeys(names, EARLIEST)),
        list_offsets(cluster, dict.fromkeys(names, LATEST)),
    )
    if target.kind == "time":
        at_time = await list_offsets(cluster, dict.fromkeys(names, target.value))
    plan = []
    for name in names:
        row = PlannedReset(name, current.get(name))
        offsets: list[int] = []
        for answer in (starts[name], ends[name], at_time.get(name, starts[name])):
            if isinstance(answer, ClientError):
                row = replace(row, error=answer)
                break
            offsets.append(answer.offset)
        else:
            row = resolve(target, row, *offsets)
        plan.append(row)
    return plan


def resolve(target: Target, row: PlannedReset, start: int, end: int, at_time: int) -> PlannedReset:
    """The new offset of a partition whose log goes from `start` to `end`; `at_time` -1: none is so late."""
    match target.kind:
        case "earliest":
            return replace(row, new=start, wanted=start)
        case "latest":
            return replace(row, new=end, wanted=end)
        case "current":
            kept = end if row.current is None else row.current
            return replace(row, new=kept, wanted=kept)
        case "time":
            found = end if at_time < 0 else at_time
            return replace(row, new=found, wanted=found)
        case "offset":
            wanted = target.value
        case "file":
            wanted = target.offsets[row.name]
        case _ if row.current is None:
            text = "nothing is committed, so that there is nothing to shift"
            return replace(row, error=ClientError(ErrorCode.OFFSET_NOT_AVAILABLE, text))
        case _:
            wanted = row.current + target.value
    return replace(row, new=min(max(wanted, start), end), wanted=wanted)


async def _commit(cluster: Cluster, group: str, plan: Sequence[PlannedReset]) -> list[PlannedReset]:
    offsets = {row.name: row.new for row in plan if row.error is None and row.new is not None}
    errors = await alter_group_offsets(cluster, group, offsets) if offsets else {}
    return [replace(row, error=row.error or _explain(errors.get(row.name))) for row in plan]


def _explain(error: ClientError | None) -> ClientError | None:
    """A group that got members since it was looked at answers as if the committing member were unknown."""
    if error is not None and error.code is ErrorCode.UNKNOWN_MEMBER_ID:
        return BrokerError(ErrorCode.NON_EMPTY_GROUP, "the group has members now: stop them first")
    return error


def show_reset(session: Session, group: str, plan: Sequence[PlannedReset], *, execute: bool) -> None:
    """The rows, warnings for offsets that had to be moved, errors of single partitions."""
    rows: list[dict[str, Any]] = [
        {
            "topic": row.name.topic,
            "partition": row.name.partition,
            "current_offset": row.current,
            "new_offset": row.new,
            "difference": None if row.new is None or row.current is None else row.new - row.current,
            "clamped": row.clamped,
            "error": None if row.error is None else describe_error(row.error),
        }
        for row in plan
    ]
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
