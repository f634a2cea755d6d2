"""AlterPartition (56): a leader asks the controller to change the in-sync replicas (KIP-497)."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, int8, int16, int32, int64, string, uuid


@dataclass(slots=True)
class BrokerState:
    """An in-sync replica, and the epoch of its broker as the leader knows it (KIP-903); -1: not known."""

    broker_id: int = int32()
    broker_epoch: int = int64(default=-1)


@dataclass(slots=True)
class AlterPartitionData:
    """One partition and its new in-sync replicas, from version 3 on with the epochs of their brokers.

    `partition_epoch` is that of the state which is to be replaced; `leader_recovery_state` is 1 while the
    leader recovers from an unclean election.
    """

    partition_index: int = int32()
    leader_epoch: int = int32()
    new_isr: list[int] = array("int32", "0-2")
    new_isr_with_epochs: list[BrokerState] = array(BrokerState, "3+")
    leader_recovery_state: int = int8("1+")
    partition_epoch: int = int32()


@dataclass(slots=True)
class AlterPartitionTopic:
    """Partitions of one topic, which goes by name up to version 1 and by id from 2 on."""

    topic_name: str = string("0-1", ignorable=True)
    topic_id: bytes = uuid("2+", ignorable=True)
    partitions: list[AlterPartitionData] = array(AlterPartitionData)


@dataclass(slots=True)
class AlterPartitionRequest(Request):
    """The leader, the epoch of its registration, and what it wants."""

    API = ApiKey.ALTER_PARTITION

    broker_id: int = int32()
    broker_epoch: int = int64(default=-1)
    topics: list[AlterPartitionTopic] = array(AlterPartitionTopic)


@dataclass(slots=True)
class AlterPartitionDataResponse:
    """One partition as it is now, or why it was not changed."""

    partition_index: int = int32()
    error_code: int = int16()
    leader_id: int = int32()
    leader_epoch: int = int32()
    isr: list[int] = array("int32")
    leader_recovery_state: int = int8("1+", ignorable=True)
    partition_epoch: int = int32()


@dataclass(slots=True)
class AlterPartitionTopicResponse:
    """The answers for one topic."""

    topic_name: str = string("0-1", ignorable=True)
    topic_id: bytes = uuid("2+", ignorable=True)
    partitions: list[AlterPartitionDataResponse] = array(AlterPartitionDataResponse)


@dataclass(slots=True)
class AlterPartitionResponse(Response):
    """A top-level error, or one answer for each partition."""

    API = ApiKey.ALTER_PARTITION

    throttle_time_ms: int = int32()
    error_code: int = int16()
    topics: list[AlterPartitionTopicResponse] = array(AlterPartitionTopicResponse)
