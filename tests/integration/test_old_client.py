"""A client of 2018 in exactly its versions: what ruby-kafka sends, which Fluentd's plugins are built on."""

from __future__ import annotations

from fastlog.native import build_batch, read_batches
from fastlog.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetFetchRequest,
    OffsetFetchRequestTopic,
)
from fastlog.wire.messages.groups import (
    HeartbeatRequest,
    JoinGroupRequest,
    JoinGroupRequestProtocol,
    LeaveGroupRequest,
    SyncGroupRequest,
    SyncGroupRequestAssignment,
)
from fastlog.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from fastlog.wire.messages.topics import CreatableTopic, CreateTopicsRequest
from tests.integration.conftest import BrokerFactory
from tests.integration.requests import produce


def test_a_member_of_long_ago(start_broker: BrokerFactory) -> None:
    broker = start_broker(**{"group.initial.rebalance.delay.ms": "0"})
    with broker.connect() as client:
        created = client.ask(CreateTopicsRequest(topics=[CreatableTopic("logs", 1, 1)], timeout_ms=5000), 0)
        assert created.topics[0].error_code == 0
        metadata = client.ask(MetadataRequest(topics=[MetadataRequestTopic(name="logs")]), 1)
        assert [topic.name for topic in metadata.topics] == ["logs"]
        batch = build_batch([(b"k", b"v%d" % index, [], 1000 + index) for index in range(3)])
        (topic,) = client.ask(produce("logs", batch), 3).responses
        assert topic.partition_responses[0].error_code == 0

        assert client.ask(FindCoordinatorRequest(key="fluentd"), 0).node_id == metadata.brokers[0].node_id
        join = JoinGroupRequest(
            group_id="fluentd",
            session_timeout_ms=30_000,
            rebalance_timeout_ms=30_000,
            protocol_type="consumer",
            protocols=[JoinGroupRequestProtocol("roundrobin", b"\0\0\0\0\0\1\0\4logs\0\0\0\0")],
        )
        joined = client.ask(join, 1)
        # No MEMBER_ID_REQUIRED for those who do not know it.
        assert (joined.error_code, joined.leader) == (0, joined.member_id)
        member = joined.member_id
        assignments = [SyncGroupRequestAssignment(member, b"all")]
        sync = SyncGroupRequest("fluentd", joined.generation_id, member, assignments=assignments)
        assert client.ask(sync, 0).assignment == b"all"
        assert client.ask(HeartbeatRequest("fluentd", joined.generation_id, member), 0).error_code == 0

        wanted = OffsetFetchRequest("fluentd", [OffsetFetchRequestTopic("logs", [0])])
        (row,) = client.ask(wanted, 1).topics[0].partitions
        assert (row.committed_offset, row.error_code) == (-1, 0)
        fetch = FetchRequest(
            replica_id=-1,
            max_wait_ms=100,
            min_bytes=1,
            max_bytes=1 << 20,
            topics=[
                FetchTopic(
                    topic="logs",
                    partitions=[FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=1 << 20)],
                )
            ],
        )
        (found,) = client.ask(fetch, 4).responses[0].partitions
        assert [value for _, _, _, value, _ in read_batches(bytes(found.records or b""))] == [
            b"v0",
            b"v1",
            b"v2",
        ]

        commit = OffsetCommitRequest(
            group_id="fluentd",
            generation_id_or_member_epoch=joined.generation_id,
            member_id=member,
            retention_time_ms=3_600_000,
            topics=[OffsetCommitRequestTopic("logs", [OffsetCommitRequestPartition(0, 3)])],
        )
        assert client.ask(commit, 2).topics[0].partitions[0].error_code == 0
        assert client.ask(wanted, 1).topics[0].partitions[0].committed_offset == 3
        assert client.ask(LeaveGroupRequest("fluentd", member), 0).error_code == 0
        assert client.ask(wanted, 1).topics[0].partitions[0].committed_offset == 3
