"""Elections and reassignments: what is asked of whom, and what comes of each partition."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fastlog.client import BrokerError, Cluster, ConnectionFailed, RequestTimedOut, TopicPartition
from fastlog.client.admin.elections import Election, elect_leaders
from fastlog.client.admin.reassignments import (
    Reassignment,
    alter_partition_reassignments,
    list_partition_reassignments,
)
from fastlog.client.admin.topics import delete_topics
from fastlog.errors import ErrorCode
from fastlog.wire import ApiKey, Request, Response
from fastlog.wire.headers import RequestHeader
from fastlog.wire.messages.metadata import (
    MetadataRequest,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from fastlog.wire.messages.partition_admin import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ElectLeadersRequest,
    ElectLeadersResponse,
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
    OngoingPartitionReassignment,
    OngoingTopicReassignment,
    PartitionResult,
    ReassignablePartitionResponse,
    ReassignableTopicResponse,
    ReplicaElectionResult,
)
from tests.unit.net.fake_broker import Answer, FakeBroker, Hangup

T0, T1 = TopicPartition("t", 0), TopicPartition("t", 1)


class Two:
    """Two brokers of a cluster with topic t of two partitions; `reply` answers what is not Metadata."""

    def __init__(self, reply: Callable[[Request], Answer]) -> None:
        self.first, self.second = FakeBroker(self.script, node_id=1), FakeBroker(self.script, node_id=2)
        self.controller = 1
        self.reply = reply

    async def __aenter__(self) -> Two:
        await self.first.start()
        await self.second.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.first.stop()
        await self.second.stop()

    def cluster(self, timeout_ms: int = 20_000) -> Cluster:
        return Cluster(self.second.address, timeout_ms=timeout_ms)

    def script(self, header: RequestHeader, request: Request) -> Answer:
        if not isinstance(request, MetadataRequest):
            return self.reply(request)
        partitions = [MetadataResponsePartition(partition_index=index, leader_id=1) for index in (0, 1)]
        return MetadataResponse(
            brokers=[
                MetadataResponseBroker(node_id=item.node_id, host="127.0.0.1", port=item.port)
                for item in (self.first, self.second)
            ],
            controller_id=self.controller,
            topics=[] if request.topics == [] else [MetadataResponseTopic(name="t", partitions=partitions)],
        )


def elected(*codes: int) -> ElectLeadersResponse:
    rows = [PartitionResult(partition_id=index, error_code=code) for index, code in enumerate(codes)]
    return ElectLeadersResponse(
        replica_election_results=[ReplicaElectionResult(topic="t", partition_result=rows)]
    )


def moved(*codes: int, error_code: int = 0) -> AlterPartitionReassignmentsResponse:
    rows = [
        ReassignablePartitionResponse(partition_index=index, error_code=code)
        for index, code in enumerate(codes)
    ]
    return AlterPartitionReassignmentsResponse(
        error_code=error_code, responses=[ReassignableTopicResponse(name="t", partitions=rows)]
    )


async def test_all_partitions_are_named_in_an_election() -> None:
    answers: list[Response] = [elected(0, ErrorCode.ELECTION_NOT_NEEDED)]
    async with Two(lambda _: answers[0]) as both, both.cluster() as cluster:
        found = await elect_leaders(cluster, Election.UNCLEAN)
        (asked,) = both.first.asked(ApiKey.ELECT_LEADERS)
    assert isinstance(asked, ElectLeadersRequest)
    assert asked.election_type == 1
    assert asked.topic_partitions is not None
    assert [(row.topic, row.partitions) for row in asked.topic_partitions] == [("t", [0, 1])]
    assert found == {T0: True, T1: False}


async def test_a_partition_that_the_answer_leaves_out_has_failed() -> None:
    async with Two(lambda _: elected(0)) as both, both.cluster() as cluster:
        found = await elect_leaders(cluster, Election.PREFERRED, [T0, T1])
    assert found[T0] is True
    assert isinstance(found[T1], BrokerError)
    async with Two(lambda _: moved(0)) as both, both.cluster() as cluster:
        assert isinstance((await alter_partition_reassignments(cluster, {T0: [1], T1: [2]}))[T1], BrokerError)


async def test_nothing_is_asked_for_no_partitions() -> None:
    async with Two(lambda _: moved()) as both, both.cluster() as cluster:
        assert await elect_leaders(cluster, Election.PREFERRED, []) == {}
        assert await alter_partition_reassignments(cluster, {}) == {}
        assert await list_partition_reassignments(cluster, []) == {}
        assert len(both.first.requests) == 0


async def test_a_move_and_its_cancellation() -> None:
    code = ErrorCode.NO_REASSIGNMENT_IN_PROGRESS
    async with Two(lambda _: moved(0, code)) as both, both.cluster() as cluster:
        found = await alter_partition_reassignments(cluster, {T0: [3, 1], T1: None})
        (asked,) = both.first.asked(ApiKey.ALTER_PARTITION_REASSIGNMENTS)
    assert isinstance(asked, AlterPartitionReassignmentsRequest)
    assert [(row.partition_index, row.replicas) for row in asked.topics[0].partitions] == [
        (0, [3, 1]),
        (1, None),
    ]
    error = found[T1]
    assert found[T0] is None
    assert error is not None
    assert error.code is code


async def test_an_error_of_the_whole_answer_is_raised() -> None:
    refused = moved(error_code=ErrorCode.CLUSTER_AUTHORIZATION_FAILED)
    async with Two(lambda _: refused) as both, both.cluster() as cluster:
        with pytest.raises(BrokerError, match="CLUSTER_AUTHORIZATION_FAILED"):
            await alter_partition_reassignments(cluster, {T0: [1]})


async def test_moves_under_way() -> None:
    row = OngoingPartitionReassignment(0, [3, 1, 2], [3], [2])
    answer = ListPartitionReassignmentsResponse(topics=[OngoingTopicReassignment("t", [row])])
    async with Two(lambda _: answer) as both, both.cluster() as cluster:
        found = await list_partition_reassignments(cluster)
        assert list(await list_partition_reassignments(cluster, [T1, T0])) == [T0]
        every, some = both.first.asked(ApiKey.LIST_PARTITION_REASSIGNMENTS)
    assert found == {T0: Reassignment((3, 1, 2), (3,), (2,))}
    assert found[T0].target == (3, 1)
    assert found[T0].origin == (1, 2)
    assert isinstance(every, ListPartitionReassignmentsRequest)
    assert isinstance(some, ListPartitionReassignmentsRequest)
    assert every.topics is None
    assert some.topics is not None
    assert some.topics[0].partition_indexes == [1, 0]


async def test_a_partition_says_that_the_controller_has_moved() -> None:
    def reply(request: Request) -> Answer:
        if both.controller == 2:
            return elected(0)
        both.controller = 2
        return elected(ErrorCode.NOT_CONTROLLER)

    both = Two(reply)
    async with both, both.cluster() as cluster:
        assert await elect_leaders(cluster, Election.PREFERRED, [T0]) == {T0: True}
        assert [len(item.asked(ApiKey.ELECT_LEADERS)) for item in (both.first, both.second)] == [1, 1]


async def test_another_broker_takes_over_from_a_controller_that_is_gone() -> None:
    """The metadata names the dead one for a while, and it was never reached by this client."""
    both = Two(lambda _: moved(0))
    asked: list[Request] = []
    plain = both.second.script
    assert plain is not None

    def script(header: RequestHeader, request: Request) -> Answer:
        asked.append(request)
        if len(asked) > 5:
            both.controller = 2
        return plain(header, request)  # type: ignore[return-value]

    both.second.script = script
    async with both, both.cluster() as cluster:
        await both.first.stop()
        assert await alter_partition_reassignments(cluster, {T0: [2]}) == {T0: None}
        assert len(both.second.asked(ApiKey.ALTER_PARTITION_REASSIGNMENTS)) == 1
        await both.first.start()


async def test_without_a_controller_the_last_failure_is_told() -> None:
    async with Two(lambda _: moved(0)) as both, both.cluster(timeout_ms=500) as cluster:
        await both.first.stop()
        with pytest.raises(ConnectionFailed, match=f"127.0.0.1:{both.first.port}: cannot connect"):
            await alter_partition_reassignments(cluster, {T0: [2]})
        await both.first.start()
        both.controller = -1
        with pytest.raises(RequestTimedOut, match="no broker acts as the controller"):
            await alter_partition_reassignments(cluster, {T0: [2]})


async def test_a_deletion_that_the_controller_may_have_seen_is_not_sent_again() -> None:
    def reply(request: Request) -> Answer:
        both.controller = 2
        raise Hangup

    both = Two(reply)
    async with both, both.cluster() as cluster:
        with pytest.raises(ConnectionFailed):
            await delete_topics(cluster, ["t"])
        assert both.second.asked(ApiKey.DELETE_TOPICS) == []
