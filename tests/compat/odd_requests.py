"""Requests that are legal in form and odd in content: Apache Kafka and fastlog answer the same to each."""

from __future__ import annotations

from typing import Final

from fastlog.wire import Request
from fastlog.wire.messages.alter_configs import AlterableConfig as LegacyConfig
from fastlog.wire.messages.alter_configs import AlterConfigsRequest
from fastlog.wire.messages.alter_configs import AlterConfigsResource as LegacyResource
from fastlog.wire.messages.api_versions import ApiVersionsRequest
from fastlog.wire.messages.cluster import DescribeClusterRequest
from fastlog.wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from fastlog.wire.messages.describe_topic_partitions import (
    Cursor,
    DescribeTopicPartitionsRequest,
    TopicRequest,
)
from fastlog.wire.messages.groups import HeartbeatRequest, LeaveGroupRequest
from fastlog.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest
from fastlog.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from fastlog.wire.messages.offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)
from fastlog.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from fastlog.wire.messages.sasl import SaslAuthenticateRequest, SaslHandshakeRequest
from fastlog.wire.messages.topics import (
    CreatableTopic,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
    CreateTopicsRequest,
    DeleteTopicsRequest,
    DeleteTopicState,
)
from tests.harness.edge_requests import NOT_UTF8

_TOPIC: Final = 2
_ID: Final = b"\7" * 16


def _set(kind: int, name: str, key: str, value: str) -> IncrementalAlterConfigsRequest:
    configs = [AlterableConfig(key, 0, value)]
    return IncrementalAlterConfigsRequest([AlterConfigsResource(kind, name, configs)], validate_only=True)


def _by_name(*names: str | None) -> list[MetadataRequestTopic]:
    return [MetadataRequestTopic(name=name) for name in names]


def _pages(cursor: Cursor, *names: str) -> DescribeTopicPartitionsRequest:
    return DescribeTopicPartitionsRequest([TopicRequest(name) for name in names], 2000, cursor)


def _times(**how: int) -> ListOffsetsRequest:
    row = ListOffsetsPartition(0, **{"timestamp": -1, "current_leader_epoch": -1, **how})
    return ListOffsetsRequest(-1, topics=[ListOffsetsTopic("t", [row])])


def _epoch(**how: int) -> OffsetForLeaderEpochRequest:
    row = OffsetForLeaderPartition(0, **{"current_leader_epoch": -1, "leader_epoch": 0, **how})
    return OffsetForLeaderEpochRequest(-2, [OffsetForLeaderTopic("t", [row])])


ODD: Final[dict[str, tuple[Request, tuple[int, ...]]]] = {
    # Authentication where nobody has to authenticate
    "handshake on PLAINTEXT": (SaslHandshakeRequest("PLAIN"), (0, 1)),
    "handshake without a mechanism": (SaslHandshakeRequest(""), (0, 1)),
    "authentication on PLAINTEXT": (SaslAuthenticateRequest(b"\0user\0secret"), (0, 1, 2)),
    "authentication with nothing": (SaslAuthenticateRequest(b""), (0, 1, 2)),
    # Names and ids
    "set for all topics": (_set(_TOPIC, "", "retention.ms", "1"), (0, 1)),
    "set for an impossible topic": (_set(_TOPIC, "a/b", "retention.ms", "1"), (0, 1)),
    "set for all topics, the older way": (
        AlterConfigsRequest([LegacyResource(_TOPIC, "", [LegacyConfig("retention.ms", "1")])], True),
        (0, 1, 2),
    ),
    "describe all topics": (DescribeConfigsRequest([DescribeConfigsResource(_TOPIC, "")]), (0, 1, 4)),
    "metadata by id": (MetadataRequest([MetadataRequestTopic(_ID, "t"), *_by_name("t")]), (10, 11, 12)),
    "metadata without a name": (MetadataRequest(_by_name(None, "t")), (10, 11)),
    "metadata of impossible names": (
        MetadataRequest(_by_name("", "..", "a/b", "x" * 250), allow_auto_topic_creation=False),
        (4, 8, 9, 12),
    ),
    "delete neither by name nor by id": (
        DeleteTopicsRequest([DeleteTopicState(None)], timeout_ms=9000),
        (6,),
    ),
    "delete an impossible name": (DeleteTopicsRequest([DeleteTopicState("a/b")], timeout_ms=9000), (6,)),
    "cursor below the first partition": (_pages(Cursor("t", -1), "t"), (0,)),
    "cursor at the first partition": (_pages(Cursor("t", 0), "t"), (0,)),
    "cursor beyond the last partition": (_pages(Cursor("t", 7), "t"), (0,)),
    "cursor at another topic": (_pages(Cursor("s", 0), "t"), (0,)),
    # Numbers
    **{
        f"cluster, endpoint type {kind}": (DescribeClusterRequest(False, kind), (1,)) for kind in range(-1, 4)
    },
    "half an identity": (InitProducerIdRequest(None, 1000, 5, -1), (3, 4, 5)),
    "an epoch without an id": (InitProducerIdRequest(None, 1000, -1, 5), (3, 4, 5)),
    "an empty transactional id": (InitProducerIdRequest("", 1000), (0, 2, 4)),
    **{
        f"a transactional id for {timeout} ms": (InitProducerIdRequest("tx", timeout), (0, 2, 4))
        for timeout in (-(2**31), -1, 0, 900_001, 2**31 - 1)
    },
    **{
        f"offsets at time {time}": (_times(timestamp=time), (1, 4, 6, 9))
        for time in (-(2**63), -100, -6, 0, 2**63 - 1)
    },
    **{
        f"offsets in epoch {epoch}": (_times(current_leader_epoch=epoch), (4, 9))
        for epoch in (-(2**31), -2, 0, 1, 2**31 - 1)
    },
    **{
        f"end of epoch {epoch}": (_epoch(leader_epoch=epoch), (2, 3, 4))
        for epoch in (-(2**31), -1, 1, 2**31 - 1)
    },
    # Strings that are not UTF-8
    "metadata, no UTF-8": (MetadataRequest(_by_name(NOT_UTF8), allow_auto_topic_creation=False), (4, 9, 12)),
    "create, no UTF-8": (CreateTopicsRequest([CreatableTopic(NOT_UTF8, 1, 1)], 9000, True), (4, 5, 7)),
    "grow, no UTF-8": (
        CreatePartitionsRequest([CreatePartitionsTopic(NOT_UTF8, 2, None)], 9000, True),
        (1, 3),
    ),
    "delete, no UTF-8": (DeleteTopicsRequest(topic_names=[NOT_UTF8], timeout_ms=9000), (1, 5)),
    "set, no UTF-8": (_set(_TOPIC, NOT_UTF8, "retention.ms", "1"), (0, 1)),
    "heartbeat, no UTF-8": (HeartbeatRequest(NOT_UTF8, 1, NOT_UTF8), (0, 4)),
    "leave, no UTF-8": (LeaveGroupRequest(NOT_UTF8, NOT_UTF8), (0, 2)),
    "offsets, no UTF-8": (ListOffsetsRequest(-1, topics=[ListOffsetsTopic(NOT_UTF8, [])]), (1, 9)),
    "software, no UTF-8": (ApiVersionsRequest(NOT_UTF8, "1"), (3, 4)),
    "produce, no UTF-8": (
        ProduceRequest(None, 1, 9000, [TopicProduceData(NOT_UTF8, [PartitionProduceData(0, b"x")])]),
        (3, 8, 9),
    ),
}
"""What -> (request, versions)."""
