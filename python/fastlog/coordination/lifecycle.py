"""What coordination needs from the layers around it: small protocols, filled by the broker's wiring."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Protocol

from fastlog.base.quick_dataclass import dataclass
from fastlog.coordination.cluster_view import TopicState


class BrokerConfigs(Protocol):
    """The run-time configuration of this broker."""

    def adopt(self) -> None:
        """The view shows stored configuration of brokers that may be new: it is in force from now on."""
        ...


class TopicObserver(Protocol):
    """Told of topics by their one writer, in the order of the changes: no other change is under way then."""

    def on_partition_led(self, topic: str, partition: int) -> None:
        """This broker leads a partition of a topic that is visible. It may have been told before."""
        ...

    def on_partition_resigned(self, topic: str, partition: int) -> None:
        """This broker does not lead a partition, and may have done so before."""
        ...

    async def on_topic_deleted(self, topic: TopicState) -> None:
        """The topic is out of sight, its partitions are still there. No other of its name can be made yet.

        May be told of one topic several times: when it raises, and when a disk refuses to remove the topic.
        """
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

    The checks raise KafkaError(INVALID_CONFIG) with a message for the client. Of what is `stored` already,
    what cannot be read is not looked at: another version may have stored it, and it is kept.
    """

    def check_topic(self, configs: Mapping[str, str], stored: Mapping[str, str]) -> None:
        """Whether these overrides of a topic are all known and hold legal values."""
        ...

    def check_group(self, configs: Mapping[str, str], stored: Mapping[str, str]) -> None:
        """Whether these overrides of a group are all known and hold legal values."""
        ...

    def check_broker(
        self, node_id: int | None, configs: Mapping[str, str], stored: Mapping[str, str]
    ) -> None:
        """Whether these broker settings may be changed at run time to these values."""
        ...

    async def examine_broker(self, node_id: int | None, configs: Mapping[str, str]) -> None:
        """Whether what they name outside of the configuration, such as files, is fit for use."""
        ...

    async def kept(self, configs: Mapping[str, str]) -> Mapping[str, str]:
        """Settings of a broker that may be changed so, as they are to be stored."""
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
