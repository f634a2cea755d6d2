"""A request of each API that names all resources, and does no harm when it is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fastlog.wire import Request
from fastlog.wire.messages.describe_producers import DescribeProducersRequest, TopicRequest
from fastlog.wire.messages.describe_transactions import DescribeTransactionsRequest
from fastlog.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic, ReplicaState
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.group_admin import DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest
from fastlog.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
)
from fastlog.wire.messages.groups import (
    HeartbeatRequest,
    JoinGroupRequest,
    JoinGroupRequestProtocol,
    LeaveGroupRequest,
    SyncGroupRequest,
)
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest
from fastlog.wire.messages.list_transactions import ListTransactionsRequest
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
from fastlog.wire.messages.topics import (
    CreatableTopic,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
    CreateTopicsRequest,
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
    DeleteTopicsRequest,
    DeleteTopicState,
)
from fastlog.wire.messages.transactions import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTransaction,
    EndTxnRequest,
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from fastlog.wire.messages.txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerTopic,
    WriteTxnMarkersRequest,
)
from tests.compat.access.asked import OPEN_TRANSACTION, TOPICS, Asked
from tests.compat.access.operator_requests import of_operators
from tests.compat.access.users import RESOURCES
from tests.harness.batches import batch

__all__ = ["asked"]

_TRANSACTIONAL: Final = 0x10
_NOBODY: Final = 999_999
"""A producer id that nobody has."""


def asked() -> Iterator[Asked]:
    """All of them."""
    yield from _records()
    yield from _topics()
    yield from _groups()
    yield from _transactions()
    yield from of_operators()


def _produce(transactional_id: str | None, attributes: int, topics: tuple[str, ...], acks: int) -> Request:
    producer = (_NOBODY, 0, 0) if attributes else (-1, -1, -1)
    data = batch(b"v", attributes=attributes, producer=producer)
    rows = [TopicProduceData(name, [PartitionProduceData(0, data)]) for name in topics]
    return ProduceRequest(transactional_id, acks, 5000, rows)


def _fetch(ids: dict[str, bytes], version: int, replica: int = -1) -> Request:
    by_id = version >= 13
    names = [name for name in TOPICS if not by_id or name in ids]
    topics = [
        FetchTopic(
            topic="" if by_id else name,
            topic_id=ids[name] if by_id else bytes(16),
            partitions=[FetchPartition(partition=0, partition_max_bytes=1000, fetch_offset=0)],
        )
        for name in names
    ]
    if by_id:
        topics.append(FetchTopic(topic_id=b"\7" * 16, partitions=[FetchPartition(partition=0)]))
    request = FetchRequest(max_wait_ms=0, min_bytes=0, max_bytes=1000, session_epoch=-1, topics=topics)
    if version >= 15:
        request.replica_state = ReplicaState(replica_id=replica)
    else:
        request.replica_id = replica
    return request


def _records() -> Iterator[Asked]:
    yield Asked("Produce", 9, lambda _: _produce(None, 0, TOPICS, 1), 5)
    yield Asked("Produce, old", 3, lambda _: _produce(None, 0, TOPICS, 1), 5)
    for name in RESOURCES:
        what = f"Produce of transaction {name}"
        yield Asked(what, 9, lambda _, name=name: _produce(name, _TRANSACTIONAL, ("res-a", "other"), -1), 3)
    yield Asked("Produce of no transaction", 9, lambda _: _produce(None, _TRANSACTIONAL, ("res-a",), -1))
    for version in (4, 12, 15):
        yield Asked("Fetch", version, lambda ids, version=version: _fetch(ids, version), 5)
    yield Asked("Fetch of a follower", 11, lambda ids: _fetch(ids, 11, 7), 5)
    yield Asked("Fetch of a follower by id", 15, lambda ids: _fetch(ids, 15, 7), 4)
    for version in (1, 7):
        yield Asked(
            "ListOffsets",
            version,
            lambda _: ListOffsetsRequest(
                replica_id=-1,
                topics=[ListOffsetsTopic(name, [ListOffsetsPartition(0, timestamp=-1)]) for name in TOPICS],
            ),
            5,
        )
    yield Asked(
        "OffsetForLeaderEpoch",
        3,
        lambda _: OffsetForLeaderEpochRequest(
            topics=[OffsetForLeaderTopic(name, [OffsetForLeaderPartition(0)]) for name in TOPICS]
        ),
        5,
    )
    yield Asked(
        "DeleteRecords",
        2,
        lambda _: DeleteRecordsRequest(
            [DeleteRecordsTopic(name, [DeleteRecordsPartition(0, 0)]) for name in TOPICS], 5000
        ),
        5,
    )
    yield Asked(
        "DescribeProducers",
        0,
        lambda _: DescribeProducersRequest([TopicRequest(name, [0]) for name in (*TOPICS, "a/b")]),
        6,
    )


def _topics() -> Iterator[Asked]:
    for version in (1, 9, 12):
        yield Asked("Metadata of all", version, lambda _: MetadataRequest(None), 3)
    for version in (1, 4, 9, 12):
        yield Asked(
            "Metadata",
            version,
            # None is made: the brokers are told so.
            lambda _: MetadataRequest([MetadataRequestTopic(name=name) for name in TOPICS]),
            5,
        )
    yield Asked(
        "Metadata with operations",
        9,
        lambda _: MetadataRequest(
            [MetadataRequestTopic(name=name) for name in TOPICS],
            include_topic_authorized_operations=True,
            include_cluster_authorized_operations=True,
        ),
        6,
    )
    yield Asked(
        "Metadata by id",
        12,
        lambda ids: MetadataRequest(
            [MetadataRequestTopic(topic_id=ids[name], name=None) for name in RESOURCES]
            + [MetadataRequestTopic(topic_id=b"\7" * 16, name=None)],
        ),
        4,
    )
    for version in (4, 7):
        yield Asked(
            "CreateTopics",
            version,
            lambda _: CreateTopicsRequest(
                [CreatableTopic(name, 1, 1) for name in (*TOPICS, "twice", "twice")],
                5000,
                validate_only=True,
            ),
            6,
        )
    yield Asked(
        "DeleteTopics", 3, lambda _: DeleteTopicsRequest(topic_names=list(TOPICS[3:]), timeout_ms=5000), 2
    )
    yield Asked(
        "DeleteTopics by id",
        6,
        lambda _: DeleteTopicsRequest(
            topics=[
                DeleteTopicState(topic_id=b"\7" * 16),
                *(DeleteTopicState(name=name) for name in TOPICS[3:]),
            ],
            timeout_ms=5000,
        ),
        3,
    )
    yield Asked(
        "CreatePartitions",
        3,
        lambda _: CreatePartitionsRequest(
            [CreatePartitionsTopic(name, 2) for name in (*TOPICS, "twice", "twice")],
            5000,
            validate_only=True,
        ),
        6,
    )


def _groups() -> Iterator[Asked]:
    for kind, what in enumerate(("group", "transaction")):
        yield Asked(
            f"FindCoordinator of {what}s",
            4,
            lambda _, kind=kind: FindCoordinatorRequest(key_type=kind, coordinator_keys=list(RESOURCES)),
            3,
        )
        yield Asked(
            f"FindCoordinator of a {what}",
            2,
            lambda _, kind=kind: FindCoordinatorRequest(key="res-a", key_type=kind),
        )
    for name in RESOURCES:
        yield from _of_group(name)
    yield Asked(
        "OffsetFetch of groups",
        8,
        lambda _: OffsetFetchRequest(
            groups=[
                OffsetFetchRequestGroup(
                    name, topics=[OffsetFetchRequestTopics(topic, [0]) for topic in TOPICS]
                )
                for name in RESOURCES
            ]
        ),
        15,
    )
    yield Asked(
        "OffsetFetch of all of groups",
        8,
        lambda _: OffsetFetchRequest(groups=[OffsetFetchRequestGroup(name) for name in RESOURCES]),
        9,
    )
    for version in (0, 5):
        yield Asked(
            "DescribeGroups",
            version,
            lambda _, version=version: DescribeGroupsRequest(
                list(RESOURCES), include_authorized_operations=version >= 3
            ),
            3,
        )
    yield Asked("DeleteGroups", 2, lambda _: DeleteGroupsRequest(["res-a-gone", "res-a-lost", "lost"]), 3)
    yield Asked("ListGroups", 4, lambda _: ListGroupsRequest(), 3)


def _of_group(name: str) -> Iterator[Asked]:
    yield Asked(
        f"JoinGroup {name}",
        5,
        lambda _: JoinGroupRequest(
            name, 10_000, 10_000, "", None, "consumer", [JoinGroupRequestProtocol("range", b"")]
        ),
    )
    yield Asked(f"SyncGroup {name}", 5, lambda _: SyncGroupRequest(name, 1, "m", None, "consumer", "range"))
    yield Asked(f"Heartbeat {name}", 4, lambda _: HeartbeatRequest(name, 1, "m"))
    yield Asked(f"LeaveGroup {name}", 2, lambda _: LeaveGroupRequest(name, "m"))
    for version in (2, 8):
        yield Asked(
            f"OffsetCommit {name}",
            version,
            lambda _: OffsetCommitRequest(
                name,
                topics=[
                    OffsetCommitRequestTopic(topic, [OffsetCommitRequestPartition(0, 1)]) for topic in TOPICS
                ],
            ),
            6,
        )
    for version in (1, 5):
        yield Asked(
            f"OffsetFetch {name}",
            version,
            lambda _: OffsetFetchRequest(
                name, topics=[OffsetFetchRequestTopic(topic, [0]) for topic in TOPICS]
            ),
            6,
        )
    yield Asked(f"OffsetFetch of all of {name}", 5, lambda _: OffsetFetchRequest(name, topics=None), 4)
    yield Asked(
        f"OffsetDelete {name}-gone",
        0,
        lambda _: OffsetDeleteRequest(
            f"{name}",
            [OffsetDeleteRequestTopic(topic, [OffsetDeleteRequestPartition(7)]) for topic in TOPICS],
        ),
        6,
    )


def _transactions() -> Iterator[Asked]:
    yield Asked("InitProducerId without id", 4, lambda _: InitProducerIdRequest(None, 1000))
    topics = [AddPartitionsToTxnTopic(name, [0]) for name in TOPICS]
    some = [AddPartitionsToTxnTopic(name, [0]) for name in RESOURCES]
    for name in RESOURCES:
        yield Asked(f"InitProducerId {name}", 4, lambda _, name=name: InitProducerIdRequest(name, 1000))
        for listed, what in ((topics, "missing ones"), (some, "known ones")):
            yield Asked(
                f"AddPartitionsToTxn {name} of {what}",
                3,
                lambda _, name=name, listed=listed: AddPartitionsToTxnRequest(
                    v3_and_below_transactional_id=name,
                    v3_and_below_producer_id=_NOBODY,
                    v3_and_below_topics=listed,
                ),
                1 + len(listed),
            )
        yield Asked(
            f"AddOffsetsToTxn {name}",
            3,
            lambda _, name=name: AddOffsetsToTxnRequest(name, _NOBODY, 0, "other"),
            2,
        )
        yield Asked(f"EndTxn {name}", 3, lambda _, name=name: EndTxnRequest(name, _NOBODY, 0, False))
        yield Asked(
            f"TxnOffsetCommit {name}",
            3,
            lambda _, name=name: TxnOffsetCommitRequest(
                name,
                "res-ab",
                _NOBODY,
                topics=[
                    TxnOffsetCommitRequestTopic(topic, [TxnOffsetCommitRequestPartition(0, 1)])
                    for topic in TOPICS
                ],
            ),
            7,
        )
    yield Asked(
        # Question 30 of the comparison of transactions: what only brokers ask.
        "AddPartitionsToTxn of brokers",
        4,
        lambda _: AddPartitionsToTxnRequest(
            transactions=[AddPartitionsToTxnTransaction("res-a", _NOBODY, 0, False, some)]
        ),
    )
    yield Asked(
        "WriteTxnMarkers",
        1,
        lambda _: WriteTxnMarkersRequest(
            [WritableTxnMarker(_NOBODY, 0, False, [WritableTxnMarkerTopic("nowhere", [0])], 0)]
        ),
    )
    yield Asked(
        "DescribeTransactions",
        0,
        lambda _: DescribeTransactionsRequest([*RESOURCES, OPEN_TRANSACTION, "res-a-no"]),
        5,
    )
    yield Asked("ListTransactions", 0, lambda _: ListTransactionsRequest(), 3)
