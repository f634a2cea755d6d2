"""Topics: create, alter, delete and purge them. Brokers check the plans themselves where they can."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from fastlog.base.wording import counted
from fastlog.client.admin import record_deletion
from fastlog.client.admin import topics as admin
from fastlog.client.admin.configs import ConfigResource
from fastlog.client.errors import ClientError
from fastlog.client.leaders import EARLIEST, LATEST, OffsetAt, list_offsets
from fastlog.client.metadata import TopicPartition
from fastlog.verbs.configs import SettingChange, plan_settings
from fastlog.verbs.desk import Desk
from fastlog.verbs.problems import BadArgument, Problem, TooMuch, problem_of
from fastlog.verbs.registry import DryRun, verb
from fastlog.verbs.topics import TopicName, topic_info

__all__ = ["alter_topic", "create_topic", "delete_topics", "purge"]

_MOST_TOPICS: Final = 500

Status = Literal["planned", "deleted", "failed"]


@dataclass(frozen=True, slots=True)
class TopicCreation:
    """A topic that is to be; counts are None where the broker does not tell (before Kafka 2.4)."""

    executed: bool
    summary: str
    topic: str
    partitions: int | None
    replication_factor: int | None
    configs: dict[str, str]


@dataclass(frozen=True, slots=True)
class TopicChange:
    """What becomes of a topic."""

    executed: bool
    summary: str
    topic: str
    partitions_before: int
    partitions: int
    changes: list[SettingChange]


@dataclass(frozen=True, slots=True)
class TopicDeletion:
    """A topic that goes, with what goes with it."""

    topic: str
    partitions: int | None
    records: int | None
    status: Status
    error: Problem | None


@dataclass(frozen=True, slots=True)
class TopicDeletions:
    """All of them."""

    executed: bool
    summary: str
    topics: list[TopicDeletion]


@dataclass(frozen=True, slots=True)
class PurgedPartition:
    """Where a log begins before and after; `records` is the offsets between."""

    partition: int
    earliest_offset: int | None
    latest_offset: int | None
    new_earliest_offset: int | None
    records: int | None
    error: Problem | None


@dataclass(frozen=True, slots=True)
class Purge:
    """All partitions of it."""

    executed: bool
    summary: str
    topic: str
    partitions: list[PurgedPartition]


@verb("write")
async def create_topic(
    desk: Desk,
    *,
    topic: TopicName,
    partitions: Annotated[int | None, "How many; the broker's default without it."] = None,
    replication_factor: Annotated[
        int | None, "Copies of each partition; the broker's default without it."
    ] = None,
    configs: Annotated[dict[str, str] | None, "Settings by key."] = None,
    dry_run: DryRun = True,
) -> TopicCreation:
    """Creates a topic; with dry_run the broker says whether it could be, and what it would be."""
    settings = configs or {}
    wanted = admin.NewTopic(topic, partitions, replication_factor, config=settings)
    found = (await admin.create_topics(desk.cluster, [wanted], validate_only=dry_run))[topic]
    if isinstance(found, ClientError):
        raise found
    count = found.partitions or partitions
    copies = found.replication_factor or replication_factor
    with_settings = f" and {', '.join(f'{k}={v}' for k, v in settings.items())}" if settings else ""
    text = (
        f"create topic {topic} with {count or 'the default'} partitions, {copies or 'the default'} replicas"
    )
    return TopicCreation(not dry_run, text + with_settings, topic, count, copies, settings)


@verb("write")
async def alter_topic(
    desk: Desk,
    *,
    topic: TopicName,
    partitions: Annotated[
        int | None, "New total number of partitions; there cannot be fewer than now."
    ] = None,
    configs: Annotated[dict[str, str | None] | None, "New values by key; null: back to the default."] = None,
    dry_run: DryRun = True,
) -> TopicChange:
    """Adds partitions to a topic, or changes settings of it. Keys go to other partitions after that."""
    if partitions is None and not configs:
        raise BadArgument("nothing is to be changed: give partitions or configs")
    before = len((await topic_info(desk, topic)).partitions)
    changes: list[SettingChange] = []
    if configs:
        changes = await plan_settings(desk, ConfigResource.topic(topic), configs, dry_run=dry_run)
    if partitions is not None:
        counts = {topic: partitions}
        error = (await admin.create_partitions(desk.cluster, counts, validate_only=dry_run))[topic]
        if error is not None:
            raise error
    words = [
        *([f"{before} to {partitions} partitions"] if partitions is not None else []),
        *(f"{row.name}={'the default' if row.after is None else row.after}" for row in changes),
    ]
    text = f"alter topic {topic}: {', '.join(words)}"
    return TopicChange(not dry_run, text, topic, before, partitions or before, changes)


@verb("write")
async def delete_topics(
    desk: Desk,
    *,
    topics: Annotated[list[str], "Names of the topics."],
    dry_run: DryRun = True,
) -> TopicDeletions:
    """Deletes topics with all their records, for good."""
    wanted = list(dict.fromkeys(topics))
    if not 1 <= len(wanted) <= _MOST_TOPICS:
        raise TooMuch(f"topics: 1 to {_MOST_TOPICS} of them")
    described = await admin.describe_topics(desk.cluster, wanted)
    names = [
        item.name
        for info in described.values()
        if not isinstance(info, ClientError)
        for item in info.partitions
        if item.leader >= 0
    ]
    records = await _records(desk, names)
    outcomes: Mapping[str, ClientError | None] = {}
    if not dry_run:
        outcomes = await admin.delete_topics(desk.cluster, wanted)
    rows = []
    for name in wanted:
        info = described[name]
        missing = info if isinstance(info, ClientError) else None
        error = outcomes.get(name) if not dry_run else missing
        rows.append(
            TopicDeletion(
                name,
                None if isinstance(info, ClientError) else len(info.partitions),
                None if missing else sum(count for place, count in records.items() if place.topic == name),
                "failed" if error is not None else "planned" if dry_run else "deleted",
                None if error is None else problem_of(error),
            )
        )
    total = sum(row.records or 0 for row in rows)
    text = f"delete {counted(len(wanted), 'topic')} with {counted(total, 'record')}: {', '.join(wanted[:20])}"
    return TopicDeletions(not dry_run, text, rows)


async def _records(desk: Desk, names: list[TopicPartition]) -> dict[TopicPartition, int]:
    starts, ends = await _bounds(desk, names)
    return {
        name: end.offset - start.offset
        for name in names
        if isinstance(end := ends[name], OffsetAt) and isinstance(start := starts[name], OffsetAt)
    }


Bounds = Mapping[TopicPartition, OffsetAt | ClientError]


async def _bounds(desk: Desk, names: list[TopicPartition]) -> tuple[Bounds, Bounds]:
    if not names:
        return {}, {}
    return await asyncio.gather(
        list_offsets(desk.cluster, dict.fromkeys(names, EARLIEST)),
        list_offsets(desk.cluster, dict.fromkeys(names, LATEST)),
    )


@verb("write")
async def purge(
    desk: Desk,
    *,
    topic: TopicName,
    before: Annotated[
        dict[str, int] | None, "Offsets by partition that the logs shall begin with (-1: the end); null: all."
    ] = None,
    dry_run: DryRun = True,
) -> Purge:
    """Deletes the records of a topic before offsets, or all of them, for good. The topic stays."""
    info = await topic_info(desk, topic)
    there = {item.index: item.name for item in info.partitions}
    wanted = _purged(topic, before, there)
    starts, ends = await _bounds(desk, list(wanted))
    targets: dict[TopicPartition, int] = {}
    errors: dict[TopicPartition, ClientError] = {}
    for name, offset in wanted.items():
        start, end = starts[name], ends[name]
        if isinstance(start, ClientError) or isinstance(end, ClientError):
            errors[name] = start if isinstance(start, ClientError) else end  # type: ignore[assignment]
        else:
            targets[name] = end.offset if offset < 0 else min(max(offset, start.offset), end.offset)
    done: Mapping[TopicPartition, int | ClientError] = {}
    if not dry_run and targets:
        done = await record_deletion.delete_records(desk.cluster, targets)
    rows = []
    for name in wanted:
        start, end = starts[name], ends[name]
        outcome = errors.get(name) or done.get(name, targets.get(name))
        first = start.offset if isinstance(start, OffsetAt) else None
        new = outcome if isinstance(outcome, int) else None
        rows.append(
            PurgedPartition(
                name.partition,
                first,
                end.offset if isinstance(end, OffsetAt) else None,
                new,
                None if first is None or new is None else max(0, new - first),
                problem_of(outcome) if isinstance(outcome, ClientError) else None,
            )
        )
    total = sum(row.records or 0 for row in rows)
    text = f"delete {counted(total, 'record')} of topic {topic} in {counted(len(rows), 'partition')}"
    return Purge(not dry_run, text, topic, rows)


def _purged(
    topic: str, before: Mapping[str, int] | None, there: Mapping[int, TopicPartition]
) -> dict[TopicPartition, int]:
    if before is None:
        return dict.fromkeys(there.values(), -1)
    wanted = {}
    for text, offset in before.items():
        index = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else -1
        if index not in there:
            raise BadArgument(f"before: topic {topic} has no partition {text[:20]!r}, it has {len(there)}")
        if offset < -1:
            raise BadArgument(f"before.{text}: {offset} is no offset")
        wanted[there[index]] = offset
    if not wanted:
        raise BadArgument("before: names no partition")
    return wanted
