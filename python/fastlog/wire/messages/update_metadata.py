"""UpdateMetadata (6): the controller tells a broker what to answer to Metadata requests."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, boolean, int8, int16, int32, int64, string, uuid


@dataclass(slots=True)
class UpdateMetadataPartitionState:
    """One partition. A `leader` of -1 is none, of -2 means that the partition is being deleted."""

    topic_name: str = string("0-4", ignorable=True)
    partition_index: int = int32()
    controller_epoch: int = int32()
    leader: int = int32()
    leader_epoch: int = int32()
    isr: list[int] = array("int32")
    zk_version: int = int32()
    replicas: list[int] = array("int32")
    offline_replicas: list[int] = array("int32", "4+", ignorable=True)


@dataclass(slots=True)
class UpdateMetadataTopicState:
    """Partitions of one topic."""

    topic_name: str = string()
    topic_id: bytes = uuid("7+", ignorable=True)
    partition_states: list[UpdateMetadataPartitionState] = array(UpdateMetadataPartitionState)


@dataclass(slots=True)
class UpdateMetadataEndpoint:
    """One listener of a broker. `security_protocol` is 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL."""

    port: int = int32()
    host: str = string()
    listener: str = string("3+", ignorable=True)
    security_protocol: int = int16()


@dataclass(slots=True)
class UpdateMetadataBroker:
    """A broker that is up; in version 0 with its only listener."""

    id_: int = int32()
    v0_host: str = string("0", ignorable=True)
    v0_port: int = int32("0", ignorable=True)
    endpoints: list[UpdateMetadataEndpoint] = array(UpdateMetadataEndpoint, "1+", ignorable=True)
    rack: str | None = string("2+", nullable="2+", default=None, ignorable=True)


@dataclass(slots=True)
class UpdateMetadataRequest(Request):
    """All brokers, and the partitions that have changed. Up to version 4 these are in one list, from 5 on by
    topic.

    `type_` is 0 where nothing is said, 1 for changes and 2 for the full state (KIP-866); `broker_epoch` is
    that of the receiver, -1 for any.
    """

    API = ApiKey.UPDATE_METADATA

    controller_id: int = int32()
    is_k_raft_controller: bool = boolean("8+")
    type_: int = int8("8+", tag=0)
    controller_epoch: int = int32()
    broker_epoch: int = int64("5+", default=-1, ignorable=True)
    ungrouped_partition_states: list[UpdateMetadataPartitionState] = array(
        UpdateMetadataPartitionState, "0-4"
    )
    topic_states: list[UpdateMetadataTopicState] = array(UpdateMetadataTopicState, "5+")
    live_brokers: list[UpdateMetadataBroker] = array(UpdateMetadataBroker)


@dataclass(slots=True)
class UpdateMetadataResponse(Response):
    """The outcome."""

    API = ApiKey.UPDATE_METADATA

    error_code: int = int16()
