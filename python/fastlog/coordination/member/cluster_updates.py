"""What an UpdateMetadata says, put together with what is known already: pure.

Brokers are replaced as a whole, partitions one by one; a leader of -2 says that the partition is deleted.
Follows `ZkMetadataCache.updateMetadata` of Kafka 3.9.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fastlog.coordination.cluster_view import UNKNOWN_PARTITION, BrokerInfo, PartitionState, TopicState
from fastlog.coordination.member.assigned import with_partitions, without_partitions
from fastlog.wire.messages.update_metadata import (
    UpdateMetadataPartitionState,
    UpdateMetadataRequest,
    UpdateMetadataTopicState,
)

DELETED: Final = -2
"""The leader of a partition that is being deleted."""
_LAST_PORT: Final = 2**16 - 1
"""Nobody can connect to a higher one."""


@dataclass(frozen=True, slots=True)
class Changed:
    """Topics as they are to be seen, and topics that are gone as they were."""

    put: list[TopicState]
    gone: list[TopicState]


def brokers_of(request: UpdateMetadataRequest) -> tuple[BrokerInfo, ...]:
    """The brokers that are alive, or shutting down, each once."""
    found = {
        broker.id_: BrokerInfo(
            id=broker.id_,
            rack=broker.rack,
            endpoints={
                entry.listener: (entry.host, entry.port)
                for entry in broker.endpoints
                if 0 <= entry.port <= _LAST_PORT
            },
        )
        for broker in request.live_brokers
    }
    return tuple(found.values())


def is_present(topic: UpdateMetadataTopicState) -> bool:
    """Whether the topic is more than being deleted."""
    return any(partition.leader != DELETED for partition in topic.partition_states)


def in_turns(
    topics: Sequence[UpdateMetadataTopicState], partitions: int
) -> Iterator[list[UpdateMetadataTopicState]]:
    """The topics in parts of about so many partitions, none of which names a topic twice."""
    some: list[UpdateMetadataTopicState] = []
    names: set[str] = set()
    count = 0
    for topic in topics:
        if topic.topic_name in names:
            yield some
            some, names, count = [], set(), 0
        some.append(topic)
        names.add(topic.topic_name)
        count += len(topic.partition_states)
        if count >= partitions:
            yield some
            some, names, count = [], set(), 0
    if some:
        yield some


def merged(
    known: Mapping[str, TopicState],
    topics: Sequence[UpdateMetadataTopicState],
    overrides: Callable[[str], Mapping[str, str]],
) -> Changed:
    """What becomes of the topics. One of another id is another topic: what was of the former is gone."""
    changed = Changed([], [])
    for topic in topics:
        before = known.get(topic.topic_name)
        if before is not None and before.topic_id != topic.topic_id and is_present(topic):
            changed.gone.append(before)
            before = None
        after: TopicState | None = before
        put = {
            partition.partition_index: _state(partition)
            for partition in topic.partition_states
            if partition.leader != DELETED
        }
        if put:
            name = topic.topic_name
            after = with_partitions(before, name, topic.topic_id, put, overrides(name))
        deleted = frozenset(
            partition.partition_index for partition in topic.partition_states if partition.leader == DELETED
        )
        if after is not None and deleted:
            after = without_partitions(after, deleted)
        if after is not None:
            if after is not before:
                changed.put.append(after)
        elif before is not None:
            changed.gone.append(before)
    return changed


def padded(topic: TopicState, partitions: int) -> TopicState:
    """The topic with so many partitions, also when nothing is known of the last ones."""
    missing = partitions - len(topic.partitions)
    if missing <= 0:
        return topic
    return replace(topic, partitions=(*topic.partitions, *[UNKNOWN_PARTITION] * missing))


def _state(partition: UpdateMetadataPartitionState) -> PartitionState:
    return PartitionState(
        leader=partition.leader,
        leader_epoch=partition.leader_epoch,
        replicas=tuple(partition.replicas),
        isr=tuple(partition.isr),
        partition_epoch=partition.zk_version,
        offline=tuple(partition.offline_replicas),
    )
