"""StopReplica (5): the controller tells a broker to give up replicas, or to delete them."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, boolean, int16, int32, int64, string


@dataclass(slots=True)
class StopReplicaPartitionV0:
    """One partition, in version 0."""

    topic_name: str = string()
    partition_index: int = int32()


@dataclass(slots=True)
class StopReplicaTopicV1:
    """Partitions of one topic, in versions 1 and 2."""

    name: str = string()
    partition_indexes: list[int] = array("int32")


@dataclass(slots=True)
class StopReplicaPartitionState:
    """One partition; a `leader_epoch` of -1 is not checked, of -2 means that the topic is being deleted."""

    partition_index: int = int32()
    leader_epoch: int = int32(default=-1)
    delete_partition: bool = boolean()


@dataclass(slots=True)
class StopReplicaTopicState:
    """Partitions of one topic, from version 3 on."""

    topic_name: str = string()
    partition_states: list[StopReplicaPartitionState] = array(StopReplicaPartitionState)


@dataclass(slots=True)
class StopReplicaRequest(Request):
    """Up to version 2 all partitions are deleted or none, from 3 on each says it for itself (KIP-570).

    `broker_epoch` is that of the receiver, -1 for any.
    """

    API = ApiKey.STOP_REPLICA

    controller_id: int = int32()
    is_k_raft_controller: bool = boolean("4+")
    controller_epoch: int = int32()
    broker_epoch: int = int64("1+", default=-1, ignorable=True)
    delete_partitions: bool = boolean("0-2")
    ungrouped_partitions: list[StopReplicaPartitionV0] = array(StopReplicaPartitionV0, "0")
    topics: list[StopReplicaTopicV1] = array(StopReplicaTopicV1, "1-2")
    topic_states: list[StopReplicaTopicState] = array(StopReplicaTopicState, "3+")


@dataclass(slots=True)
class StopReplicaPartitionError:
    """The outcome for one partition."""

    topic_name: str = string()
    partition_index: int = int32()
    error_code: int = int16()


@dataclass(slots=True)
class StopReplicaResponse(Response):
    """A top-level error, or one result for each partition."""

    API = ApiKey.STOP_REPLICA

    error_code: int = int16()
    partition_errors: list[StopReplicaPartitionError] = array(StopReplicaPartitionError)
