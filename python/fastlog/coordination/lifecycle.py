"""What coordination needs from the layers around it: small protocols, filled by the broker's wiring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from fastlog.coordination.cluster_view import TopicState


class PartitionLifecycle(Protocol):
    """Called when partitions come and go. Idempotent: all methods may be called again after a crash."""

    async def on_partition_created(self, topic: TopicState, partition: int) -> None:
        """Makes sure that the partition's log exists durably and is led or followed as `topic` says.

        Called for new partitions before they are visible, and at start-up for those that were there. Raises
        FastlogError when the partition cannot be had.
        """
        ...

    async def on_partition_deleted(self, topic: str, topic_id: bytes, partition: int) -> None:
        """Stops serving the partition and takes its directory out of the way, durably."""
        ...

    async def on_config_changed(self, topic: TopicState) -> None:
        """Applies the topic's new overrides to its partitions."""
        ...

    async def on_broker_config_changed(self, node_id: int | None, configs: Mapping[str, str]) -> None:
        """Applies new run-time broker overrides, of one broker or (None) of all."""
        ...


class ConfigOpType(IntEnum):
    """Operations of IncrementalAlterConfigs (KIP-339), with their numbers on the wire."""

    SET = 0
    DELETE = 1
    APPEND = 2
    SUBTRACT = 3


@dataclass(frozen=True, slots=True)
class ConfigOp:
    """One change of one key. `value` is ignored by DELETE."""

    key: str
    type: ConfigOpType
    value: str | None = None


class ConfigRules(Protocol):
    """What may be configured: `fastlog.config` behind three questions.

    The checks raise KafkaError(INVALID_CONFIG) with a message for the client.
    """

    def check_topic(self, configs: Mapping[str, str]) -> None:
        """Whether these overrides of a topic are all known and hold legal values."""
        ...

    def check_group(self, configs: Mapping[str, str]) -> None:
        """Whether these overrides of a group are all known and hold legal values."""
        ...

    def check_broker(self, node_id: int | None, configs: Mapping[str, str]) -> None:
        """Whether these broker settings may be changed at run time to these values."""
        ...

    def is_list(self, key: str) -> bool:
        """Whether values of `key` are comma-separated lists, so that APPEND and SUBTRACT have a meaning."""
        ...

    def default(self, key: str) -> str | None:
        """The value in force when `key` is not overridden: what APPEND and SUBTRACT start from."""
        ...


class TopicPolicy(Protocol):
    """May veto the creation of a topic by raising KafkaError(POLICY_VIOLATION) (KIP-108)."""

    def check_create(self, topic: TopicState) -> None:
        """Called after all other checks, before anything is written."""
        ...
