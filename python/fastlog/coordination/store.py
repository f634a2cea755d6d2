"""Where cluster metadata is kept: the interface, and the records that go through it.

One interface for a file on this broker and for ZooKeeper, so that the second can replace the first. Every
write is durable before it returns and carries the version that the caller last saw, as ZooKeeper's
conditional `setData` does; `ANY_VERSION` writes unconditionally.

| operation             | znodes in Kafka's layout                                                 |
|-----------------------|--------------------------------------------------------------------------|
| load                  | /cluster/id and all of the below                                         |
| create_topic          | /config/topics/T, /brokers/topics/T (id and assignment), states, one multi |
| set_materialised      | fastlog's own field in /brokers/topics/T                                 |
| add_partitions        | /brokers/topics/T                                                        |
| set_leadership        | /brokers/topics/T/partitions/N/state, one multi with the controller epoch |
| mark_deleting         | /admin/delete_topics/T                                                   |
| delete_topic          | removes all of the above                                                 |
| set_topic_configs     | /config/topics/T                                                         |
| set_broker_configs    | /config/brokers/ID or /config/brokers/<default>                          |
| set_group_configs     | /config/groups/G (Kafka keeps these in KRaft alone)                      |
| allocate_producer_ids | /latest_producer_id_block                                                |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol

from fastlog.errors import FastlogError

ANY_VERSION: Final = -1


class StoreError(FastlogError):
    """The metadata store could not do what was asked; nothing changed as far as it knows."""


class MetadataDamaged(StoreError):
    """The stored metadata cannot be trusted: the broker must not start on it, and must not delete data."""


class StaleVersion(StoreError):
    """A conditional write met another version: read again and decide again."""


class TopicExists(StoreError):
    """There is already a topic of that name, perhaps one being deleted."""


class TopicMissing(StoreError):
    """There is no topic of that name."""


@dataclass(frozen=True, slots=True)
class PartitionRecord:
    """Assignment and leadership of one partition. `leader` is -1 when there is none."""

    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    leader: int
    leader_epoch: int = 0


@dataclass(frozen=True, slots=True)
class TopicRecord:
    """All that is stored of one topic.

    `materialised` counts the leading partitions whose directories were once made durable: one of those that
    is missing at a later start was lost, and is not silently made again, empty. `deleting` topics are no
    longer visible, but their partition directories may still be there.
    """

    name: str
    topic_id: bytes
    partitions: tuple[PartitionRecord, ...]
    configs: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    materialised: int = 0
    deleting: bool = False
    version: int = 0


@dataclass(frozen=True, slots=True)
class ClusterMetadata:
    """Everything in the store. `broker_configs` has key None for the cluster-wide defaults."""

    cluster_id: str
    topics: Mapping[str, TopicRecord] = field(default_factory=lambda: MappingProxyType({}))
    broker_configs: Mapping[int | None, Mapping[str, str]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    next_producer_id: int = 0
    group_configs: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))


class MetadataStore(Protocol):
    """Durable cluster metadata. All methods raise StoreError when they could not do their work."""

    async def load(self, cluster_id: str | None = None) -> ClusterMetadata:
        """Reads everything. A store that is new is set up first, with `cluster_id` or a random one.

        Raises MetadataDamaged when what is stored cannot be trusted.
        """
        ...

    async def create_topic(self, topic: TopicRecord) -> TopicRecord:
        """Adds a topic; raises TopicExists. Returns the record with its version."""
        ...

    async def add_partitions(
        self, name: str, partitions: Sequence[PartitionRecord], expected: int
    ) -> TopicRecord:
        """Appends partitions to a topic."""
        ...

    async def set_materialised(self, name: str, count: int, expected: int) -> TopicRecord:
        """Notes that the first `count` partitions have their directories."""
        ...

    async def set_leadership(
        self, changes: Mapping[str, Mapping[int, PartitionRecord]]
    ) -> dict[str, TopicRecord]:
        """Replaces the state of many partitions, by topic and partition number, in one step."""
        ...

    async def mark_deleting(self, name: str, expected: int) -> TopicRecord:
        """Decides a topic's deletion. From here on it will be deleted, also after a crash."""
        ...

    async def delete_topic(self, name: str) -> None:
        """Forgets a topic whose partitions are gone; unknown names are ignored."""
        ...

    async def set_topic_configs(self, name: str, configs: Mapping[str, str], expected: int) -> TopicRecord:
        """Replaces a topic's overrides."""
        ...

    async def set_broker_configs(self, node_id: int | None, configs: Mapping[str, str]) -> None:
        """Replaces run-time broker overrides: of one broker, or (None) the cluster-wide ones."""
        ...

    async def set_group_configs(self, group_id: str, configs: Mapping[str, str]) -> None:
        """Replaces a group's overrides. The group itself is not known here."""
        ...

    async def allocate_producer_ids(self, count: int, *, at_least: int = 0) -> int:
        """Reserves `count` ids in a row, none below `at_least`, for ever. Returns the first."""
        ...

    async def close(self) -> None:
        """Ends its work. The store is not used afterwards."""
        ...
