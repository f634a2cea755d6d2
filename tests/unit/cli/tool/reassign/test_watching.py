"""Waiting for moves: what is said of each, and what is left alone at the end."""

from __future__ import annotations

import pytest

from fastlog.cli.tool.invocation import Session
from fastlog.cli.tool.reassign.applying import apply_plan
from fastlog.cli.tool.reassign.watching import watch_moves
from fastlog.client import TopicPartition
from fastlog.errors import ErrorCode
from fastlog.wire import ApiKey, Request
from fastlog.wire.headers import RequestHeader
from fastlog.wire.messages.cluster import DescribeLogDirsRequest, DescribeLogDirsResponse
from fastlog.wire.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResponse,
    DescribeConfigsResult,
)
from fastlog.wire.messages.incremental_alter_configs import (
    AlterConfigsResourceResponse,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)
from fastlog.wire.messages.metadata import (
    MetadataRequest,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from fastlog.wire.messages.partition_admin import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
    OngoingPartitionReassignment,
    OngoingTopicReassignment,
    ReassignablePartitionResponse,
    ReassignableTopicResponse,
)
from tests.unit.net.fake_broker import Answer, FakeBroker

T0, T1 = TopicPartition("t", 0), TopicPartition("t", 1)


class Moving:
    """A broker whose partitions t-0 and t-1 move; each look finds one of `looks`, the last one for ever."""

    def __init__(self, *looks: tuple[int, ...], replicas: tuple[int, ...] = (2, 3)) -> None:
        self.looks = list(looks)
        self.replicas = replicas
        self.refused = False
        self.broker = FakeBroker(self.script)

    def script(self, header: RequestHeader, request: Request) -> Answer:
        match request:
            case MetadataRequest():
                found = self.broker.metadata()
                partitions = [
                    MetadataResponsePartition(partition_index=index, replica_nodes=list(self.replicas))
                    for index in (0, 1)
                ]
                if request.topics != []:
                    found.topics = [MetadataResponseTopic(name="t", partitions=partitions)]
                return found
            case ListPartitionReassignmentsRequest():
                rows = [OngoingPartitionReassignment(index, [2, 3, 1], [3], [1]) for index in self.look()]
                topics = [OngoingTopicReassignment("t", rows)] if rows else []
                return ListPartitionReassignmentsResponse(topics=topics)
            case DescribeLogDirsRequest():
                return DescribeLogDirsResponse()
            case DescribeConfigsRequest():
                return DescribeConfigsResponse(
                    results=[
                        DescribeConfigsResult(
                            resource_type=row.resource_type, resource_name=row.resource_name
                        )
                        for row in request.resources
                    ]
                )
            case AlterPartitionReassignmentsRequest():
                return AlterPartitionReassignmentsResponse(
                    responses=[
                        ReassignableTopicResponse(
                            name=topic.name,
                            partitions=[
                                ReassignablePartitionResponse(
                                    partition_index=row.partition_index,
                                    error_code=ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
                                )
                                for row in topic.partitions
                            ],
                        )
                        for topic in request.topics
                    ]
                )
            case IncrementalAlterConfigsRequest():
                code = ErrorCode.CLUSTER_AUTHORIZATION_FAILED if self.refused else ErrorCode.NONE
                return IncrementalAlterConfigsResponse(
                    responses=[
                        AlterConfigsResourceResponse(
                            error_code=code, resource_type=row.resource_type, resource_name=row.resource_name
                        )
                        for row in request.resources
                    ]
                )
        raise AssertionError(request)

    def look(self) -> tuple[int, ...]:
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]


async def test_each_partition_is_told_of_when_it_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    moving = Moving((0, 1), (1,), (1,), ())
    async with moving.broker:
        session = Session.of(moving.broker.address)
        async with session.connect() as cluster:
            rows = await watch_moves(
                session, cluster, {T0: (2, 3), T1: (2, 3)}, interval=0.01, keep_throttles=False
            )
    assert [(row["partition"], row["status"], row["error"]) for row in rows] == [
        (0, "done", None),
        (1, "done", None),
    ]
    assert not session.failed
    assert capsys.readouterr().out.splitlines() == [
        "2 partitions move",
        "partition t-0: no longer moves, target 2,3",
        "1 partition moves",
        "partition t-0: replicas 2,3",
        "partition t-1: replicas 2,3",
    ]


async def test_a_move_that_somebody_cancels_has_failed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastlog.cli.tool.reassign.watching._SETTLES_WITHIN", 1)
    moving = Moving((0,), (), replicas=(1, 2))
    async with moving.broker:
        session = Session.of(moving.broker.address)
        async with session.connect() as cluster:
            (row,) = await watch_moves(session, cluster, {T0: (2, 3)}, interval=0.01, keep_throttles=True)
        # Throttles are not even looked at.
        assert moving.broker.asked(ApiKey.DESCRIBE_CONFIGS) == []
    assert (row["status"], row["replicas"], row["target"]) == ("failed", [1, 2], [2, 3])
    assert session.failed
    assert "partition t-0: its replicas are 1,2, not 2,3: the move was cancelled" in capsys.readouterr().err


async def test_throttles_of_what_still_moves_stay() -> None:
    """t-1 is another's move: topic t and the rates of the brokers are left alone until it is done, too."""
    moving = Moving((0, 1), (), (1,))
    async with moving.broker:
        session = Session.of(moving.broker.address)
        async with session.connect() as cluster:
            await watch_moves(session, cluster, {T0: (2, 3)}, interval=0.01, keep_throttles=False)
        asked = moving.broker.asked(ApiKey.DESCRIBE_CONFIGS)
    assert asked == []


async def test_what_does_not_exist_is_not_throttled_but_refused(capsys: pytest.CaptureFixture[str]) -> None:
    moving = Moving((), replicas=(1, 2))
    async with moving.broker:
        session = Session.of(moving.broker.address)
        async with session.connect() as cluster:
            await apply_plan(
                session,
                cluster,
                {TopicPartition("t", 7): (2, 3)},
                rate=1000,
                replace=False,
                interval=None,
                keep_throttles=False,
            )
        assert moving.broker.asked(ApiKey.INCREMENTAL_ALTER_CONFIGS) == []
    assert session.failed
    assert "partition t-7: The topic or partition does not exist" in capsys.readouterr().err


async def test_nothing_moves_without_the_throttle_that_was_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    moving = Moving((), replicas=(1, 2))
    moving.refused = True
    async with moving.broker:
        session = Session.of(moving.broker.address)
        async with session.connect() as cluster:
            await apply_plan(
                session,
                cluster,
                {T0: (2, 3)},
                rate=1000,
                replace=False,
                interval=None,
                keep_throttles=False,
            )
        assert moving.broker.asked(ApiKey.ALTER_PARTITION_REASSIGNMENTS) == []
    assert session.failed
    assert "the throttle could not be set, and so nothing was moved" in capsys.readouterr().err
