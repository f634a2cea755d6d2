"""Puts stored topics and the directories on the disk side by side and decides what to do with each: pure.

| on the disk                                   | in the metadata         | decision                  |
|-----------------------------------------------|-------------------------|---------------------------|
| directory of the topic's id, or without an id | topic, partition        | open                      |
| the same                                      | topic, fewer partitions | the topic grows to it     |
| the same                                      | topic being deleted     | carry on with that        |
| directory of another topic id                 | topic of that name      | rename to `-stray`, kept  |
| damaged partition.metadata                    | topic, partition        | stays offline, reported   |
| any directory                                 | partition of others     | left alone, reported      |
| directories of one id                         | no such topic           | adopt the topic           |
| directories of several ids, illegal name      | no such topic           | left alone, reported      |
| no directory                                  | made earlier            | lost: offline, reported   |
| no directory                                  | creation unfinished     | finish the creation       |

Nothing is ever removed because the metadata does not know it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from types import MappingProxyType
from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.base.uuids import format_uuid, random_uuid
from fastlog.coordination.store import PartitionRecord, TopicRecord
from fastlog.coordination.topic_names import (
    GROUP_METADATA_TOPIC,
    TRANSACTION_STATE_TOPIC,
    topic_name_problem,
)
from fastlog.storage.adopt import FoundPartition

# Kafka keeps topic configs in its own metadata, which is not read. Until somebody sets them again nothing may
# be deleted from an adopted topic: the broker's default retention may be far shorter than the topic's was.
_KEEP_EVERYTHING: Final = MappingProxyType({"retention.ms": "-1", "retention.bytes": "-1"})
_COMPACTED: Final = MappingProxyType({"cleanup.policy": "compact", "segment.bytes": "104857600"})
_ADOPTED_CONFIGS: Final[Mapping[str, Mapping[str, str]]] = {
    GROUP_METADATA_TOPIC: {**_COMPACTED, "compression.type": "producer"},
    TRANSACTION_STATE_TOPIC: {**_COMPACTED, "compression.type": "uncompressed"},
}

PartitionKey = tuple[str, int]


@dataclass(slots=True)
class StartupPlan:
    """What start-up has to do, in the order in which it does it."""

    adopted: list[TopicRecord] = field(default_factory=list)
    grown: list[TopicRecord] = field(default_factory=list)
    remove: list[FoundPartition] = field(default_factory=list)
    stray: list[tuple[FoundPartition, str]] = field(default_factory=list)
    left_alone: list[tuple[FoundPartition, str]] = field(default_factory=list)
    open: list[tuple[FoundPartition, bytes]] = field(default_factory=list)
    damaged: list[tuple[FoundPartition, bytes]] = field(default_factory=list)
    lost: list[tuple[PartitionKey, bytes]] = field(default_factory=list)


def plan_startup(
    topics: Mapping[str, TopicRecord],
    found: Sequence[FoundPartition],
    node_id: int,
    *,
    new_id: Callable[[], bytes] = random_uuid,
) -> StartupPlan:
    """Decides about all topics in the metadata and all live partition directories."""
    plan = StartupPlan()
    records = dict(topics)
    by_topic: dict[str, list[FoundPartition]] = defaultdict(list)
    for entry in found:
        by_topic[entry.topic].append(entry)
    for name, entries in by_topic.items():
        record = records.get(name)
        if record is None:
            record = _adopt(plan, name, entries, node_id, records, new_id)
            if record is None:
                continue
            records[name] = record
        else:
            grown = _grow(record, entries, node_id)
            if grown is not record:
                plan.grown.append(grown)
                records[name] = record = grown
        for entry in entries:
            _place(plan, record, entry, node_id)
    _find_lost(plan, records, node_id)
    return plan


def other_owners(topics: Mapping[str, TopicRecord], node_id: int) -> str | None:
    """The brokers that have all partitions of the metadata, when `node_id` has none: "broker 1"."""
    owners = {
        replica
        for record in topics.values()
        for partition in record.partitions
        for replica in partition.replicas
    }
    if not owners or node_id in owners:
        return None
    return f"broker{'s' * (len(owners) > 1)} {', '.join(map(str, sorted(owners)))}"


def _adopt(
    plan: StartupPlan,
    name: str,
    entries: Sequence[FoundPartition],
    node_id: int,
    records: Mapping[str, TopicRecord],
    new_id: Callable[[], bytes],
) -> TopicRecord | None:
    ids = {entry.topic_id for entry in entries if entry.topic_id is not None}
    problem = topic_name_problem(name)
    if len(ids) > 1:
        listed = ", ".join(sorted(format_uuid(topic_id) for topic_id in ids))
        problem = f"its directories carry different topic ids: {listed}"
    elif any(record.topic_id in ids for record in records.values()):
        problem = "its topic id is that of another topic"
    if problem is not None:
        plan.left_alone += [(entry, problem) for entry in entries]
        return None
    count = max(entry.partition for entry in entries) + 1
    record = TopicRecord(
        name=name,
        topic_id=ids.pop() if ids else new_id(),
        partitions=_led_here(0, count, entries, node_id),
        configs=MappingProxyType(dict(_ADOPTED_CONFIGS.get(name, _KEEP_EVERYTHING))),
        materialised=count,
    )
    plan.adopted.append(record)
    return record


def _grow(record: TopicRecord, entries: Sequence[FoundPartition], node_id: int) -> TopicRecord:
    """The record, with the partitions that only the disk knows (metadata restored from an older backup)."""
    count = len(record.partitions)
    beyond = [entry for entry in entries if entry.partition >= count and entry.topic_id == record.topic_id]
    if record.deleting or not beyond:
        return record
    total = max(entry.partition for entry in beyond) + 1
    added = _led_here(count, total, beyond, node_id)
    return replace(record, partitions=(*record.partitions, *added), materialised=total)


def _led_here(
    first: int, end: int, entries: Sequence[FoundPartition], node_id: int
) -> tuple[PartitionRecord, ...]:
    epochs = {entry.partition: entry.latest_epoch for entry in entries}
    # A new leader starts a new epoch: the one in the log belongs to another leader's history.
    return tuple(
        PartitionRecord((node_id,), (node_id,), node_id, epochs.get(number, -1) + 1)
        for number in range(first, end)
    )


def _place(plan: StartupPlan, record: TopicRecord, entry: FoundPartition, node_id: int) -> None:
    if entry.problem is not None:
        plan.damaged.append((entry, record.topic_id))
    elif entry.topic_id not in (None, record.topic_id):
        told = format_uuid(entry.topic_id or b"")
        plan.stray.append((entry, f"it is of topic id {told}, the topic has {format_uuid(record.topic_id)}"))
    elif record.deleting:
        plan.remove.append(entry)
    elif entry.partition >= len(record.partitions):
        plan.stray.append((entry, f"the topic has {len(record.partitions)} partitions"))
    elif node_id not in record.partitions[entry.partition].replicas:
        # Not renamed: it is more likely that the id is wrong than all that was written down with another one.
        plan.left_alone.append((entry, "this broker holds no replica of the partition"))
    else:
        plan.open.append((entry, record.topic_id))


def _find_lost(plan: StartupPlan, records: Mapping[str, TopicRecord], node_id: int) -> None:
    here = {(entry.topic, entry.partition) for entry, _ in plan.open}
    here |= {(entry.topic, entry.partition) for entry, _ in plan.damaged}
    for name, record in records.items():
        if record.deleting:
            continue
        for number, partition in enumerate(record.partitions[: record.materialised]):
            if node_id in partition.replicas and (name, number) not in here:
                plan.lost.append(((name, number), record.topic_id))
