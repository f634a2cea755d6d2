"""CreateTopics (19), DeleteTopics (20), CreatePartitions (37), DeleteRecords (21)."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, boolean, int8, int16, int32, int64, string, uuid


@dataclass(slots=True)
class CreatableReplicaAssignment:
    """The brokers that hold one partition, the preferred leader first."""

    partition_index: int = int32()
    broker_ids: list[int] = array("int32")


@dataclass(slots=True)
class CreatableTopicConfig:
    """A setting that differs from the default."""

    name: str = string()
    value: str | None = string(nullable="0+", default=None)


@dataclass(slots=True)
class CreatableTopic:
    """A new topic, by counts or by explicit assignments (then both counts are -1).

    From version 4 on a count of -1 without assignments stands for the default of the broker (KIP-464).
    """

    name: str = string()
    num_partitions: int = int32()
    replication_factor: int = int16()
    assignments: list[CreatableReplicaAssignment] = array(CreatableReplicaAssignment)
    configs: list[CreatableTopicConfig] = array(CreatableTopicConfig)


@dataclass(slots=True)
class CreateTopicsRequest(Request):
    """Topics to create, or with `validate_only` just to check."""

    API = ApiKey.CREATE_TOPICS

    topics: list[CreatableTopic] = array(CreatableTopic)
    timeout_ms: int = int32(default=60000)
    validate_only: bool = boolean("1+")


@dataclass(slots=True)
class CreatableTopicConfigs:
    """An effective setting of the new topic."""

    name: str = string()
    value: str | None = string(nullable="5+", default=None)
    read_only: bool = boolean()
    config_source: int = int8(default=-1, ignorable=True)
    is_sensitive: bool = boolean()


@dataclass(slots=True)
class CreatableTopicResult:
    """From version 5 on with what the topic has become (KIP-525)."""

    name: str = string()
    topic_id: bytes = uuid("7+", ignorable=True)
    error_code: int = int16()
    error_message: str | None = string("1+", nullable="0+", default=None, ignorable=True)
    topic_config_error_code: int = int16("5+", tag=0, ignorable=True)
    num_partitions: int = int32("5+", default=-1, ignorable=True)
    replication_factor: int = int16("5+", default=-1, ignorable=True)
    configs: list[CreatableTopicConfigs] | None = array(
        CreatableTopicConfigs, "5+", nullable="5+", ignorable=True
    )


@dataclass(slots=True)
class CreateTopicsResponse(Response):
    """One result for each topic of the request."""

    API = ApiKey.CREATE_TOPICS

    throttle_time_ms: int = int32("2+", ignorable=True)
    topics: list[CreatableTopicResult] = array(CreatableTopicResult)


@dataclass(slots=True)
class DeleteTopicState:
    """A name, or null and an id."""

    name: str | None = string(nullable="6+", default=None)
    topic_id: bytes = uuid()


@dataclass(slots=True)
class DeleteTopicsRequest(Request):
    """Topics by name in `topic_names` up to version 5, by name or id in `topics` from 6 on."""

    API = ApiKey.DELETE_TOPICS

    topics: list[DeleteTopicState] = array(DeleteTopicState, "6+")
    topic_names: list[str] = array("string", "0-5", ignorable=True)
    timeout_ms: int = int32()


@dataclass(slots=True)
class DeletableTopicResult:
    """The name is null when an unknown id was given."""

    name: str | None = string(nullable="6+")
    topic_id: bytes = uuid("6+", ignorable=True)
    error_code: int = int16()
    error_message: str | None = string("5+", nullable="5+", default=None, ignorable=True)


@dataclass(slots=True)
class DeleteTopicsResponse(Response):
    """One result for each topic of the request."""

    API = ApiKey.DELETE_TOPICS

    throttle_time_ms: int = int32("1+", ignorable=True)
    responses: list[DeletableTopicResult] = array(DeletableTopicResult)


@dataclass(slots=True)
class CreatePartitionsAssignment:
    """The brokers that hold one added partition, the preferred leader first."""

    broker_ids: list[int] = array("int32")


@dataclass(slots=True)
class CreatePartitionsTopic:
    """The new total number of partitions, and where the added ones go (null: anywhere)."""

    name: str = string()
    count: int = int32()
    assignments: list[CreatePartitionsAssignment] | None = array(
        CreatePartitionsAssignment, nullable="0+", null_default=True
    )


@dataclass(slots=True)
class CreatePartitionsRequest(Request):
    """Topics to grow."""

    API = ApiKey.CREATE_PARTITIONS

    topics: list[CreatePartitionsTopic] = array(CreatePartitionsTopic)
    timeout_ms: int = int32()
    validate_only: bool = boolean()


@dataclass(slots=True)
class CreatePartitionsTopicResult:
    """The outcome for one topic."""

    name: str = string()
    error_code: int = int16()
    error_message: str | None = string(nullable="0+", default=None)


@dataclass(slots=True)
class CreatePartitionsResponse(Response):
    """One result for each topic of the request."""

    API = ApiKey.CREATE_PARTITIONS

    throttle_time_ms: int = int32()
    results: list[CreatePartitionsTopicResult] = array(CreatePartitionsTopicResult)


@dataclass(slots=True)
class DeleteRecordsPartition:
    """The new first offset; -1 stands for the high watermark."""

    partition_index: int = int32()
    offset: int = int64()


@dataclass(slots=True)
class DeleteRecordsTopic:
    """What is to be dropped from one topic."""

    name: str = string()
    partitions: list[DeleteRecordsPartition] = array(DeleteRecordsPartition)


@dataclass(slots=True)
class DeleteRecordsRequest(Request):
    """Offsets before which records are dropped."""

    API = ApiKey.DELETE_RECORDS

    topics: list[DeleteRecordsTopic] = array(DeleteRecordsTopic)
    timeout_ms: int = int32()


@dataclass(slots=True)
class DeleteRecordsPartitionResult:
    """The log start offset after the deletion."""

    partition_index: int = int32()
    low_watermark: int = int64()
    error_code: int = int16()


@dataclass(slots=True)
class DeleteRecordsTopicResult:
    """The outcome for one topic."""

    name: str = string()
    partitions: list[DeleteRecordsPartitionResult] = array(DeleteRecordsPartitionResult)


@dataclass(slots=True)
class DeleteRecordsResponse(Response):
    """Where the logs start now."""

    API = ApiKey.DELETE_RECORDS

    throttle_time_ms: int = int32()
    topics: list[DeleteRecordsTopicResult] = array(DeleteRecordsTopicResult)
