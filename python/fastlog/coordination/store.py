"""Where cluster metadata is kept: the interface, and the records that go through it.

One interface for a file on this broker and for ZooKeeper, so that the second can replace the first. Every
write is durable before it returns and carries the version that the caller last saw, as ZooKeeper's
conditional `setData` does; `ANY_VERSION` writes unconditionally.

| operation             | znodes in Kafka's layout                                                 |
|-----------------------|--------------------------------------------------------------------------|
| load                  | /cluster/id and all of the below                                         |
| create_topics         | /config/topics/T, /brokers/topics/T (id and assignment), states, one multi |
| complete_topics       | fastlog's own field in /brokers/topics/T                                 |
| set_materialised      | the same                                                                 |
| add_partitions        | /brokers/topics/T                                                        |
| set_leadership        | /brokers/topics/T/partitions/N/state, one multi with the controller epoch |
| mark_deleting         | /admin/delete_topics/T                                                   |
| delete_topics         | removes all of the above                                                 |
| set_configs           | /config/topics/T and /config/groups/G (Kafka keeps these in KRaft alone) |
| set_broker_configs    | /config/brokers/ID or /config/brokers/<default>                          |
| allocate_producer_ids | /latest_producer_id_block                                                |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from types import MappingProxyType
from typing import Final, Protocol

from fastlog.base.quick_dataclass import dataclass
from fastlog.errors import FastlogError

ANY_VERSION: Final = -1


class StoreError(FastlogError):
    """The metadata store could not do what was asked; nothing changed as far as it knows."""


class StoreUnreachable(StoreError):
    """Nobody answers where the metadata is kept: that may be over in a moment."""


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

    async def create_topics(self, topics: Sequence[TopicRecord]) -> list[TopicRecord]:
        """Adds topics, all or none; raises TopicExists. Returns the records with their versions."""
        ...

    async def add_partitions(
        self, added: Mapping[str, tuple[int, Sequence[PartitionRecord]]]
    ) -> list[TopicRecord]:
        """Appends partitions to topics, all or none: by name the expected version and what is appended."""
        ...

    async def set_materialised(self, name: str, count: int, expected: int) -> TopicRecord:
        """Notes that the first `count` partitions have their directories."""
        ...

    async def complete_topics(self, topics: Sequence[TopicRecord]) -> list[TopicRecord]:
        """Notes of topics, all or none, that all their partitions have their directories.

        The version of each record is the expected one.
        """
        ...

    async def set_leadership(
        self, changes: Mapping[str, Mapping[int, PartitionRecord]]
    ) -> dict[str, TopicRecord]:
        """Replaces the state of many partitions, by topic and partition number, in one step."""
        ...

    async def mark_deleting(self, topics: Sequence[TopicRecord]) -> list[TopicRecord]:
        """Decides the deletion of topics, all or none. From here on they will be deleted, also after a crash.

        The version of each record is the expected one. Those that are marked already cost no write.
        """
        ...

    async def delete_topics(self, names: Sequence[str]) -> None:
        """Forgets topics whose partitions are gone, all or none; unknown names are ignored."""
        ...

    async def set_configs(
        self, topics: Sequence[TopicRecord], groups: Mapping[str, Mapping[str, str]]
    ) -> list[TopicRecord]:
        """Replaces overrides of topics and groups, all or none; a group without any is forgotten.

        The version of each record is the expected one, its configs are the new ones, and nothing else of it
        counts. Groups themselves are not known here.
        """
        ...

    async def set_broker_configs(self, node_id: int | None, configs: Mapping[str, str]) -> None:
        """Replaces run-time broker overrides: of one broker, or (None) the cluster-wide ones."""
        ...

    async def allocate_producer_ids(self, count: int, *, at_least: int = 0) -> int:
        """Reserves `count` ids in a row, none below `at_least`, for ever. Returns the first."""
        ...

    async def close(self) -> None:
        """Ends its work. The store is not used afterwards."""
        ...
