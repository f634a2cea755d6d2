"""LeaderAndIsr (4): the controller tells a broker which replicas it has, and who leads them."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, boolean, int8, int16, int32, int64, string, uuid


@dataclass(slots=True)
class LeaderAndIsrPartitionState:
    """One partition as the controller has decided it.

    `partition_epoch` is the version of the state's znode; `leader_recovery_state` is 1 after an unclean
    election, until the leader has recovered.
    """

    topic_name: str = string("0-1", ignorable=True)
    partition_index: int = int32()
    controller_epoch: int = int32()
    leader: int = int32()
    leader_epoch: int = int32()
    isr: list[int] = array("int32")
    partition_epoch: int = int32()
    replicas: list[int] = array("int32")
    adding_replicas: list[int] = array("int32", "3+", ignorable=True)
    removing_replicas: list[int] = array("int32", "3+", ignorable=True)
    is_new: bool = boolean("1+", ignorable=True)
    leader_recovery_state: int = int8("6+")


@dataclass(slots=True)
class LeaderAndIsrTopicState:
    """Partitions of one topic."""

    topic_name: str = string()
    topic_id: bytes = uuid("5+", ignorable=True)
    partition_states: list[LeaderAndIsrPartitionState] = array(LeaderAndIsrPartitionState)


@dataclass(slots=True)
class LeaderAndIsrLiveLeader:
    """Where to reach a leader that is named in the request."""

    broker_id: int = int32()
    host_name: str = string()
    port: int = int32()


@dataclass(slots=True)
class LeaderAndIsrRequest(Request):
    """Up to version 1 the partitions are in one list, from 2 on by topic.

    `type_` is 0 where only changes are sent and 2 for the full state (KIP-866); `broker_epoch` is that of the
    receiver, -1 for any.
    """

    API = ApiKey.LEADER_AND_ISR

    controller_id: int = int32()
    is_k_raft_controller: bool = boolean("7+")
    controller_epoch: int = int32()
    broker_epoch: int = int64("2+", default=-1, ignorable=True)
    type_: int = int8("5+")
    ungrouped_partition_states: list[LeaderAndIsrPartitionState] = array(LeaderAndIsrPartitionState, "0-1")
    topic_states: list[LeaderAndIsrTopicState] = array(LeaderAndIsrTopicState, "2+")
    live_leaders: list[LeaderAndIsrLiveLeader] = array(LeaderAndIsrLiveLeader)


@dataclass(slots=True)
class LeaderAndIsrPartitionError:
    """The outcome for one partition."""

    topic_name: str = string("0-4", ignorable=True)
    partition_index: int = int32()
    error_code: int = int16()


@dataclass(slots=True)
class LeaderAndIsrTopicError:
    """The outcome for one topic."""

    topic_id: bytes = uuid()
    partition_errors: list[LeaderAndIsrPartitionError] = array(LeaderAndIsrPartitionError)


@dataclass(slots=True)
class LeaderAndIsrResponse(Response):
    """A top-level error, or one result for each partition: by topic from version 5 on."""

    API = ApiKey.LEADER_AND_ISR

    error_code: int = int16()
    partition_errors: list[LeaderAndIsrPartitionError] = array(LeaderAndIsrPartitionError, "0-4")
    topics: list[LeaderAndIsrTopicError] = array(LeaderAndIsrTopicError, "5+")
