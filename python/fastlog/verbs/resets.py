"""Where the offsets of a group shall go: planned partition by partition, then committed.

Offsets outside of the log are moved to its nearer end, as kafka-consumer-groups does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from fastlog.base.wording import counted
from fastlog.client.admin.groups import describe_groups
from fastlog.client.admin.offsets import alter_group_offsets, list_group_offsets
from fastlog.client.cluster import Cluster
from fastlog.client.errors import BrokerError, ClientError
from fastlog.client.leaders import EARLIEST, LATEST, OffsetAt, list_offsets
from fastlog.client.metadata import TopicPartition
from fastlog.client.offset_values import OffsetAndMetadata
from fastlog.errors import ErrorCode

__all__ = ["Choice", "PlannedReset", "Target", "check_quiet", "reset", "resolve"]

_QUIET_STATES: Final = frozenset({"Empty", "Dead"})

Choice = Mapping[str, tuple[int, ...]]
"""Partitions by topic; none stands for all of the topic's."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where offsets shall go: `kind` is earliest, latest, current, offset, shift, time or file.

    `value` is the offset, the shift or the time (ms); `offsets` those of a file.
    """

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


async def reset(
    cluster: Cluster, group: str, target: Target, topics: Choice | None, *, execute: bool
) -> list[PlannedReset]:
    """Plans, and with `execute` commits. `topics` None: every partition with a committed offset.

    Raises BrokerError NON_EMPTY_GROUP when the group has members.
    """
    await check_quiet(cluster, group)
    committed = await list_group_offsets(cluster, group)
    names, missing = await _partitions(cluster, _choose(group, target, topics, committed))
    current = {name: item.offset for name, item in committed.items() if isinstance(item, OffsetAndMetadata)}
    plan = await _plan(cluster, target, names, current)
    plan += [PlannedReset(name, current.get(name), error=error) for name, error in missing.items()]
    plan.sort(key=lambda row: row.name)
    return await _commit(cluster, group, plan) if execute else plan


async def check_quiet(cluster: Cluster, group: str) -> None:
    """Raises BrokerError NON_EMPTY_GROUP when the group has members."""
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


def _choose(group: str, target: Target, topics: Choice | None, committed: Iterable[TopicPartition]) -> Choice:
    if target.kind != "file" and topics is not None:
        return topics
    chosen: dict[str, tuple[int, ...]] = {}
    for name in target.offsets if target.kind == "file" else committed:
        chosen[name.topic] = (*chosen.get(name.topic, ()), name.partition)
    if not chosen:
        text = f"group {group} has no committed offsets: name the topics with --topic"
        raise ClientError(ErrorCode.GROUP_ID_NOT_FOUND, text)
    return chosen


async def _partitions(
    cluster: Cluster, chosen: Choice
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
