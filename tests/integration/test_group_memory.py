"""The memory of all groups: who is above the limit goes on, and requests that are refused keep nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fastlog.coordination.groups.table import GroupTable
from fastlog.errors import ErrorCode
from fastlog.wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.groups import LeaveGroupRequest
from fastlog.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from tests.harness.group_requests import commit_request, join_request, sync_request
from tests.harness.waiting import wait_until
from tests.integration.conftest import BrokerFactory
from tests.integration.requests import make_topic
from tests.integration.running import RawClient, RunningBroker

JoinAnswer = tuple[int, int, str]
"""Error code, generation, member id."""


@pytest.fixture
def broker(start_broker: BrokerFactory) -> RunningBroker:
    """One that does not wait for more members."""
    return start_broker(
        **{"group.initial.rebalance.delay.ms": "0", "offsets.topic.num.partitions": "1"},
    )


@pytest.fixture
def client(broker: RunningBroker) -> Iterator[RawClient]:
    """A connection; topic t is there."""
    with broker.connect() as connection:
        assert connection.ask(FindCoordinatorRequest(key="g"), 0).error_code == 0
        make_topic(connection, "t")
        make_topic(connection, "u")
        yield connection


def table(broker: RunningBroker) -> GroupTable:
    """The groups."""
    return broker.broker.services.groups.table


def test_who_is_above_the_limit_goes_on(client: RawClient, broker: RunningBroker) -> None:
    def join(member_id: str = "", metadata: bytes = b"metadata") -> JoinAnswer:
        request = join_request("g", member_id, protocol=("range", metadata), group_instance_id="i")
        answer = client.ask(request, 5)
        return answer.error_code, answer.generation_id, answer.member_id

    def sync(generation: int, own: bytes) -> int:
        request = sync_request("g", generation, member_id, own, group_instance_id="i")
        return int(client.ask(request, 3).error_code)

    def commit(topic: str, metadata: str) -> int:
        request = commit_request(
            "g",
            9,
            topic=topic,
            metadata=metadata,
            generation_id_or_member_epoch=generation,
            member_id=member_id,
            group_instance_id="i",
        )
        return int(client.ask(request, 7).topics[0].partitions[0].error_code)

    error, generation, member_id = join()
    assert (error, sync(generation, b"work")) == (0, 0)
    assert commit("t", "x" * 100) == 0
    # As after a restart with less memory.
    table(broker).memory._limit = lambda: 1000
    assert commit("t", "x") == 0
    assert commit("t", "x" * 2) == ErrorCode.INVALID_COMMIT_OFFSET_SIZE
    assert commit("u", "") == ErrorCode.INVALID_COMMIT_OFFSET_SIZE
    error, generation, _ = join(member_id)
    assert (error, generation) == (0, 2)
    assert sync(generation, b"other") == ErrorCode.UNKNOWN_SERVER_ERROR
    assert sync(generation, b"play") == 0
    assert join(member_id, b"metadata" * 100)[0] == ErrorCode.GROUP_MAX_SIZE_REACHED
    # The member restarts.
    error, _, member_id = join()
    assert (error, member_id != "") == (0, True)


def test_requests_that_are_refused_keep_no_group(client: RawClient, broker: RunningBroker) -> None:
    empty = join_request("none", protocol=("range", b""), protocols=[])
    assert client.ask(empty, 3).error_code == ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    assert len(table(broker)) == 0
    named = client.ask(join_request("named", protocol=("range", b"")), 4)
    assert named.error_code == ErrorCode.MEMBER_ID_REQUIRED
    assert len(table(broker)) == 1
    assert client.ask(LeaveGroupRequest(group_id="named", member_id=named.member_id), 1).error_code == 0
    assert len(table(broker)) == 0
    assert table(broker).memory.used == 0
    # A consumer group that the log does not take.
    change = AlterConfigsResource(2, "__consumer_offsets", [AlterableConfig("max.message.bytes", 0, "70")])
    client.ask(IncrementalAlterConfigsRequest(resources=[change]), 0)
    beat = ConsumerGroupHeartbeatRequest(
        "modern", "m", 0, rebalance_timeout_ms=5000, subscribed_topic_names=["t"], topic_partitions=[]
    )
    assert client.ask(beat, 1).error_code == ErrorCode.UNKNOWN_SERVER_ERROR
    assert client.ask(commit_request("offsets", 5), 7).topics[0].partitions[0].error_code != 0
    wait_until(lambda: not len(table(broker)), "a group is left", seconds=10)
    assert table(broker).memory.used == 0


def test_ids_that_are_not_used_keep_no_group(start_broker: BrokerFactory) -> None:
    broker = start_broker(**{"group.min.session.timeout.ms": "50", "offsets.topic.num.partitions": "1"})
    with broker.connect() as client:
        client.ask(FindCoordinatorRequest(key="g"), 0)
        request = join_request("named", protocol=("range", b""), timeout_ms=100)
        assert client.ask(request, 4).error_code == ErrorCode.MEMBER_ID_REQUIRED
        assert len(table(broker)) == 1
        wait_until(lambda: not len(table(broker)), "the group is left", seconds=10)
