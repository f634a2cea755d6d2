"""Cluster: finds a broker to talk to, the right one for each request, and tries again while it may help."""

from __future__ import annotations

import time

import pytest

from fastlog.client import (
    BrokerError,
    ClientError,
    Cluster,
    ConnectionFailed,
    OffsetAt,
    RequestTimedOut,
    TopicPartition,
    Unreachable,
    VersionMismatch,
    list_offsets,
)
from fastlog.errors import ErrorCode
from fastlog.wire import API_VERSIONS, ApiKey, Request, Response
from fastlog.wire.headers import RequestHeader
from fastlog.wire.messages.find_coordinator import (
    Coordinator,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
)
from fastlog.wire.messages.group_admin import (
    DeletableGroupResult,
    DeleteGroupsRequest,
    DeleteGroupsResponse,
    ListGroupsRequest,
    ListGroupsResponse,
)
from fastlog.wire.messages.metadata import (
    MetadataRequest,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from fastlog.wire.messages.offsets import (
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)
from fastlog.wire.messages.topics import (
    CreatableTopic,
    CreatableTopicResult,
    CreateTopicsRequest,
    CreateTopicsResponse,
)
from tests.harness.net import free_port
from tests.unit.net.fake_broker import Answer, FakeBroker, Hangup

CREATE = CreateTopicsRequest(topics=[CreatableTopic(name="t", num_partitions=1, replication_factor=1)])


def created(code: int) -> CreateTopicsResponse:
    return CreateTopicsResponse(topics=[CreatableTopicResult(name="t", error_code=code)])


def topology(
    *brokers: FakeBroker, controller: FakeBroker | None = None, leaders: dict[int, FakeBroker] | None = None
) -> MetadataResponse:
    """Metadata of these brokers, and of topic "t" with a leader per partition."""
    partitions = [
        MetadataResponsePartition(partition_index=index, leader_id=leader.node_id)
        for index, leader in (leaders or {}).items()
    ]
    return MetadataResponse(
        brokers=[
            MetadataResponseBroker(node_id=broker.node_id, host="127.0.0.1", port=broker.port)
            for broker in brokers
        ],
        controller_id=-1 if controller is None else controller.node_id,
        topics=[MetadataResponseTopic(name="t", partitions=partitions)] if partitions else [],
    )


async def test_bootstrap_takes_the_first_address_that_works() -> None:
    async with (
        FakeBroker() as broker,
        Cluster(["no-such-host.invalid:1", f"127.0.0.1:{free_port()},{broker.address}"]) as cluster,
    ):
        assert cluster.cluster_id == "fake"
        assert cluster.brokers[1].address == broker.address


async def test_bootstrap_names_every_address_and_its_trouble() -> None:
    port = free_port()
    with pytest.raises(Unreachable) as caught:
        await Cluster(f"no-such-host.invalid:1,127.0.0.1:{port}").__aenter__()
    text = str(caught.value)
    assert "no-such-host.invalid:1: cannot connect: the name 'no-such-host.invalid' cannot be resol" in text
    assert f"127.0.0.1:{port}: cannot connect: connection refused" in text


async def test_a_useless_advertised_address_is_explained() -> None:
    port = free_port()
    async with FakeBroker(advertised=("127.0.0.1", port)) as broker, Cluster(broker.address) as cluster:
        with pytest.raises(Unreachable) as caught:
            await cluster.request(ListGroupsRequest(), ListGroupsResponse, node=1)
        text = str(caught.value)
        assert f"broker 1 tells clients to reach it at 127.0.0.1:{port}" in text
        assert "connection refused" in text
        assert "set advertised.listeners of the broker to an address that its clients reach, such as " in text
        assert f"PLAINTEXT://{broker.address}" in text
        # Any broker will do: the bootstrap connection still serves.
        broker.script = lambda header, request: ListGroupsResponse()
        await cluster.request(ListGroupsRequest(), ListGroupsResponse)


async def test_a_broken_connection_is_replaced_and_the_request_repeated_only_if_it_may_be() -> None:
    fail = [True]

    def script(header: RequestHeader, request: Request) -> Answer:
        if isinstance(request, MetadataRequest):
            return None
        if fail:
            fail.pop()
            raise Hangup
        return ListGroupsResponse()

    async with FakeBroker(script) as broker, Cluster(broker.address) as cluster:
        assert (await cluster.request(ListGroupsRequest(), ListGroupsResponse)).error_code == 0
        assert broker.connections == 2
        fail.append(True)
        with pytest.raises(ConnectionFailed) as caught:
            await cluster.request(ListGroupsRequest(), ListGroupsResponse, repeat=False)
        assert caught.value.sent
        assert len(broker.asked(ApiKey.LIST_GROUPS)) == 3


async def test_the_wrong_answer_class_is_a_programming_error() -> None:
    async with FakeBroker() as broker, Cluster(broker.address) as cluster:
        with pytest.raises(TypeError, match="MetadataResponse does not answer ListGroupsRequest"):
            await cluster.request(ListGroupsRequest(), MetadataResponse)


@pytest.mark.parametrize(
    ("offered", "words"),
    [
        (
            {ApiKey.LIST_GROUPS: (9, 12)},
            "no common version of ListGroups: the broker speaks 9 to 12, this cl",
        ),
        ({}, "the broker does not offer ListGroups at all"),
    ],
)
async def test_no_common_version_names_api_and_ranges(
    offered: dict[int, tuple[int, int]], words: str
) -> None:
    versions: dict[int, tuple[int, int]] = {ApiKey.METADATA: (4, 12), ApiKey.API_VERSIONS: (0, 4), **offered}
    async with FakeBroker(versions=versions) as broker, Cluster(broker.address) as cluster:
        with pytest.raises(VersionMismatch, match=words):
            await cluster.request(ListGroupsRequest(), ListGroupsResponse)


async def test_controller_requests_follow_the_controller() -> None:
    first, second = FakeBroker(node_id=1), FakeBroker(node_id=2)
    async with first, second:
        controller = [first]

        def script(header: RequestHeader, request: Request) -> Answer:
            if isinstance(request, MetadataRequest):
                return topology(first, second, controller=controller[0])
            return created(ErrorCode.NONE)

        def moved(header: RequestHeader, request: Request) -> Answer:
            if isinstance(request, MetadataRequest):
                return topology(first, second, controller=controller[0])
            controller[0] = second
            return created(ErrorCode.NOT_CONTROLLER)

        first.script, second.script = moved, script
        async with Cluster(first.address) as cluster:
            answer = await cluster.controller_request(CREATE, CreateTopicsResponse)
        assert answer.topics[0].error_code == 0
        assert len(first.asked(ApiKey.CREATE_TOPICS)) == len(second.asked(ApiKey.CREATE_TOPICS)) == 1


async def test_no_controller_ends_at_the_timeout() -> None:
    async with FakeBroker() as broker:
        broker.script = lambda header, request: topology(broker)
        async with Cluster(broker.address, timeout_ms=300) as cluster:
            with pytest.raises(RequestTimedOut, match="CreateTopics: no broker acts as the controller"):
                await cluster.controller_request(CREATE, CreateTopicsResponse)


@pytest.mark.parametrize("highest", [3, API_VERSIONS[ApiKey.FIND_COORDINATOR][1]])
async def test_coordinators_are_remembered_until_they_move(highest: int) -> None:
    versions = {**API_VERSIONS, ApiKey.FIND_COORDINATOR: (0, highest)}
    first, second = FakeBroker(node_id=1, versions=versions), FakeBroker(node_id=2, versions=versions)
    async with first, second:
        # What each FindCoordinator, and each DeleteGroups of the first and second broker, answers in turn.
        located = [(ErrorCode.COORDINATOR_NOT_AVAILABLE, first), (0, first), (0, second)]
        of_first = [ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, ErrorCode.NONE, ErrorCode.NOT_COORDINATOR]

        def script(codes: list[ErrorCode], header: RequestHeader, request: Request) -> Response | None:
            if isinstance(request, MetadataRequest):
                return topology(first, second)
            if isinstance(request, FindCoordinatorRequest):
                code, broker = located.pop(0)
                keys = ("127.0.0.1", broker.port)
                if header.api_version < 4:
                    assert request.key == "g"
                    return FindCoordinatorResponse(
                        error_code=code, node_id=broker.node_id, host=keys[0], port=keys[1]
                    )
                assert request.coordinator_keys == ["g"]
                return FindCoordinatorResponse(
                    coordinators=[
                        Coordinator(
                            key="g", node_id=broker.node_id, host=keys[0], port=keys[1], error_code=code
                        )
                    ]
                )
            code = codes.pop(0)
            return DeleteGroupsResponse(results=[DeletableGroupResult(group_id="g", error_code=code)])

        first.script = lambda header, request: script(of_first, header, request)
        second.script = lambda header, request: script([ErrorCode.NON_EMPTY_GROUP], header, request)
        async with Cluster(first.address) as cluster:
            body = DeleteGroupsRequest(groups_names=["g"])
            answer = await cluster.coordinator_request("g", body, DeleteGroupsResponse)
            assert answer.results[0].error_code == 0
            assert len(located) == 1
            answer = await cluster.coordinator_request("g", body, DeleteGroupsResponse)
            assert answer.results[0].error_code == ErrorCode.NON_EMPTY_GROUP
        assert located == []
        assert of_first == []


async def test_a_refused_coordinator_is_an_error_with_the_brokers_words() -> None:
    def script(header: RequestHeader, request: Request) -> Answer:
        if isinstance(request, MetadataRequest):
            return None
        row = Coordinator(key="g", error_code=ErrorCode.GROUP_AUTHORIZATION_FAILED, error_message="not you")
        return FindCoordinatorResponse(coordinators=[row])

    async with FakeBroker(script) as broker, Cluster(broker.address) as cluster:
        with pytest.raises(BrokerError) as caught:
            await cluster.coordinator("g")
        assert caught.value.code is ErrorCode.GROUP_AUTHORIZATION_FAILED
        assert str(caught.value) == (
            f"FindCoordinator at {broker.address}: not you (GROUP_AUTHORIZATION_FAILED)"
        )


async def test_leader_requests_go_to_each_leader_and_follow_it() -> None:
    first, second = FakeBroker(node_id=1), FakeBroker(node_id=2)
    async with first, second:
        leaders = {0: first, 1: first, 2: second}

        def script(me: FakeBroker, header: RequestHeader, request: Request) -> Answer:
            if isinstance(request, MetadataRequest):
                return topology(first, second, leaders=leaders)
            assert isinstance(request, ListOffsetsRequest)
            rows = []
            for row in request.topics[0].partitions:
                index = row.partition_index
                code = 0
                if index == 1 and me is first:
                    leaders[1] = second
                    code = ErrorCode.NOT_LEADER_OR_FOLLOWER
                if index == 0:
                    code = ErrorCode.TOPIC_AUTHORIZATION_FAILED
                rows.append(ListOffsetsPartitionResponse(index, code, [], 5, 100 + index, 7))
            return ListOffsetsResponse(topics=[ListOffsetsTopicResponse(name="t", partitions=rows)])

        first.script = lambda header, request: script(first, header, request)
        second.script = lambda header, request: script(second, header, request)
        async with Cluster(first.address) as cluster:
            found = await list_offsets(cluster, {TopicPartition("t", index): -1 for index in range(4)})
        assert found[TopicPartition("t", 1)] == OffsetAt(101, 5, 7)
        assert found[TopicPartition("t", 2)] == OffsetAt(102, 5, 7)
        refused, unknown = found[TopicPartition("t", 0)], found[TopicPartition("t", 3)]
        assert isinstance(refused, BrokerError)
        assert refused.code is ErrorCode.TOPIC_AUTHORIZATION_FAILED
        assert isinstance(unknown, ClientError)
        assert str(unknown) == "topic 't' has no partition 3, it has 3"


async def test_leader_requests_give_up_at_the_timeout_with_the_last_error() -> None:
    async with FakeBroker() as broker:

        def script(header: RequestHeader, request: Request) -> Answer:
            found = topology(broker, leaders={0: broker})
            found.topics[0].partitions[0].leader_id = -1
            return found

        broker.script = script
        async with Cluster(broker.address) as cluster:
            began = time.monotonic()
            found = await list_offsets(cluster, {TopicPartition("t", 0): -1}, timeout_ms=400)
            assert time.monotonic() - began < 20
        error = found[TopicPartition("t", 0)]
        assert isinstance(error, BrokerError)
        assert error.code is ErrorCode.LEADER_NOT_AVAILABLE
        assert len(broker.asked(ApiKey.METADATA)) > 2
