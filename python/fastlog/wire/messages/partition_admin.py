"""Leaders and replicas: ElectLeaders (43), Alter- (45) and ListPartitionReassignments (46)."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, int8, int16, int32, string


@dataclass(slots=True)
class TopicPartitions:
    """Partitions of one topic."""

    topic: str = string()
    partitions: list[int] = array("int32")


@dataclass(slots=True)
class ElectLeadersRequest(Request):
    """Partitions that need a leader: the preferred one (type 0) or an unclean one (1). Null: all."""

    API = ApiKey.ELECT_LEADERS

    election_type: int = int8("1+")
    topic_partitions: list[TopicPartitions] | None = array(TopicPartitions, nullable="0+", null_default=True)
    timeout_ms: int = int32(default=60000)


@dataclass(slots=True)
class PartitionResult:
    """The outcome for one partition."""

    partition_id: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable="0+", default=None)


@dataclass(slots=True)
class ReplicaElectionResult:
    """The outcome for one topic."""

    topic: str = string()
    partition_result: list[PartitionResult] = array(PartitionResult)


@dataclass(slots=True)
class ElectLeadersResponse(Response):
    """One result for each partition."""

    API = ApiKey.ELECT_LEADERS

    throttle_time_ms: int = int32()
    error_code: int = int16("1+")
    replica_election_results: list[ReplicaElectionResult] = array(ReplicaElectionResult)


@dataclass(slots=True)
class ReassignablePartition:
    """The replicas to have; null cancels a move that is under way."""

    partition_index: int = int32()
    replicas: list[int] | None = array("int32", nullable="0+", null_default=True)


@dataclass(slots=True)
class ReassignableTopic:
    """What is to change in one topic."""

    name: str = string()
    partitions: list[ReassignablePartition] = array(ReassignablePartition)


@dataclass(slots=True)
class AlterPartitionReassignmentsRequest(Request):
    """Partitions to move (KIP-455)."""

    API = ApiKey.ALTER_PARTITION_REASSIGNMENTS

    timeout_ms: int = int32(default=60000)
    topics: list[ReassignableTopic] = array(ReassignableTopic)


@dataclass(slots=True)
class ReassignablePartitionResponse:
    """The outcome for one partition."""

    partition_index: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable="0+", default=None)


@dataclass(slots=True)
class ReassignableTopicResponse:
    """The outcome for one topic."""

    name: str = string()
    partitions: list[ReassignablePartitionResponse] = array(ReassignablePartitionResponse)


@dataclass(slots=True)
class AlterPartitionReassignmentsResponse(Response):
    """A top-level error, or one result for each partition."""

    API = ApiKey.ALTER_PARTITION_REASSIGNMENTS

    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable="0+", default=None)
    responses: list[ReassignableTopicResponse] = array(ReassignableTopicResponse)


@dataclass(slots=True)
class ListPartitionReassignmentsTopics:
    """Partitions of one topic."""

    name: str = string()
    partition_indexes: list[int] = array("int32")


@dataclass(slots=True)
class ListPartitionReassignmentsRequest(Request):
    """Partitions to look at; null for all."""

    API = ApiKey.LIST_PARTITION_REASSIGNMENTS

    timeout_ms: int = int32(default=60000)
    topics: list[ListPartitionReassignmentsTopics] | None = array(
        ListPartitionReassignmentsTopics, nullable="0+", null_default=True
    )


@dataclass(slots=True)
class OngoingPartitionReassignment:
    """All replicas of a partition, and which of them come and go."""

    partition_index: int = int32()
    replicas: list[int] = array("int32")
    adding_replicas: list[int] = array("int32")
    removing_replicas: list[int] = array("int32")


@dataclass(slots=True)
class OngoingTopicReassignment:
    """The moves in one topic."""

    name: str = string()
    partitions: list[OngoingPartitionReassignment] = array(OngoingPartitionReassignment)


@dataclass(slots=True)
class ListPartitionReassignmentsResponse(Response):
    """The moves that are under way."""

    API = ApiKey.LIST_PARTITION_REASSIGNMENTS

    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable="0+", default=None)
    topics: list[OngoingTopicReassignment] = array(OngoingTopicReassignment)
