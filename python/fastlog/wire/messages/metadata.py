"""Metadata (3): brokers, topics, partitions and their leaders."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.messages.common import UNKNOWN_OPERATIONS
from fastlog.wire.schema import Request, Response, array, boolean, int16, int32, string, uuid


@dataclass(slots=True)
class MetadataRequestTopic:
    """A topic by name, or from version 10 on by id (then the name is null)."""

    topic_id: bytes = uuid("10+", ignorable=True)
    name: str | None = string(nullable="10+")


@dataclass(slots=True)
class MetadataRequest(Request):
    """All topics are asked for by an empty list in version 0, by null in later ones."""

    API = ApiKey.METADATA

    topics: list[MetadataRequestTopic] | None = array(MetadataRequestTopic, nullable="1+")
    allow_auto_topic_creation: bool = boolean("4+", default=True)
    include_cluster_authorized_operations: bool = boolean("8-10")
    include_topic_authorized_operations: bool = boolean("8+")


@dataclass(slots=True)
class MetadataResponseBroker:
    """A live broker and where this listener's clients reach it."""

    node_id: int = int32()
    host: str = string()
    port: int = int32()
    rack: str | None = string("1+", nullable="1+", default=None, ignorable=True)


@dataclass(slots=True)
class MetadataResponsePartition:
    """One partition; leader -1 means none."""

    error_code: int = int16()
    partition_index: int = int32()
    leader_id: int = int32()
    leader_epoch: int = int32("7+", default=-1, ignorable=True)
    replica_nodes: list[int] = array("int32")
    isr_nodes: list[int] = array("int32")
    offline_replicas: list[int] = array("int32", "5+", ignorable=True)


@dataclass(slots=True)
class MetadataResponseTopic:
    """One topic. The name is null when an unknown id was asked for."""

    error_code: int = int16()
    name: str | None = string(nullable="12+")
    topic_id: bytes = uuid("10+", ignorable=True)
    is_internal: bool = boolean("1+", ignorable=True)
    partitions: list[MetadataResponsePartition] = array(MetadataResponsePartition)
    topic_authorized_operations: int = int32("8+", default=UNKNOWN_OPERATIONS)


@dataclass(slots=True)
class MetadataResponse(Response):
    """The state of the cluster as this broker sees it."""

    API = ApiKey.METADATA

    throttle_time_ms: int = int32("3+", ignorable=True)
    brokers: list[MetadataResponseBroker] = array(MetadataResponseBroker)
    cluster_id: str | None = string("2+", nullable="2+", default=None, ignorable=True)
    controller_id: int = int32("1+", default=-1, ignorable=True)
    topics: list[MetadataResponseTopic] = array(MetadataResponseTopic)
    cluster_authorized_operations: int = int32("8-10", default=UNKNOWN_OPERATIONS)
