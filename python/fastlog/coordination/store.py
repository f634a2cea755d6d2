"""What is stored of a cluster, as records, and what may go wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType

from fastlog.base.quick_dataclass import dataclass
from fastlog.errors import FastlogError


class StoreError(FastlogError):
    """The metadata store could not do what was asked; nothing changed as far as it knows."""


class StoreUnreachable(StoreError):
    """Nobody answers where the metadata is kept: that may be over in a moment."""


class MetadataDamaged(StoreError):
    """The stored metadata cannot be trusted: the broker must not start on it, and must not delete data."""


class StaleVersion(StoreError):
    """A conditional write met another version: read again and decide again."""


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
    features: Mapping[str, int] | None = None
    """Levels that are finalized; None where nobody has ever decided about them."""
