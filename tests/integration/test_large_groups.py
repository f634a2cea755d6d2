"""A classic group of many members: everybody is answered, with what is meant for it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from fastlog.coordination.groups.classic.state import Group
from fastlog.errors import ErrorCode
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.groups import JoinGroupRequest, SyncGroupRequest, SyncGroupRequestAssignment
from tests.harness.group_requests import join_request, sync_request
from tests.harness.waiting import wait_until
from tests.integration.conftest import BrokerFactory
from tests.integration.running import RawClient, RunningBroker

# More than are answered in one turn of the event loop, twice.
MEMBERS = 150
JOIN, SYNC = 5, 3


def join(name: str, member_id: str = "") -> JoinGroupRequest:
    return join_request("large", member_id, protocol=("sticky", name.encode()), timeout_ms=60_000)


def wait_for_joins(broker: RunningBroker, count: int) -> None:
    """Returns when so many JoinGroup requests wait for the next generation."""
    entry = broker.broker.services.groups.table.get("large")
    assert entry is not None
    group = entry.group
    assert isinstance(group, Group)
    wait_until(
        lambda: group.members.waiting_to_join() == count, "not all have joined", seconds=20, pause=0.01
    )


def begin_generation(broker: RunningBroker, lines: list[RawClient]) -> list[Any]:
    """All get ids and join; the first one is waited for until it joins again. The answers."""
    ids = []
    for index, line in enumerate(lines):
        answer = line.ask(join(f"member {index}"), JOIN)
        assert answer.error_code == ErrorCode.MEMBER_ID_REQUIRED
        ids.append(answer.member_id)
        if not index:
            assert line.ask(join("member 0", ids[0]), JOIN).generation_id == 1
    for index in range(1, len(lines)):
        lines[index].send(join(f"member {index}", ids[index]), JOIN)
    wait_for_joins(broker, len(lines) - 1)
    lines[0].send(join("member 0", ids[0]), JOIN)
    answers: list[Any] = [line.receive(JoinGroupRequest.API, JOIN)[1] for line in lines]
    assert {(answer.error_code, answer.generation_id, answer.leader) for answer in answers} == {
        (ErrorCode.NONE, 2, ids[0])
    }
    assert [answer.member_id for answer in answers] == ids
    return answers


def test_all_members_are_answered_also_when_the_broker_stops(start_broker: BrokerFactory) -> None:
    broker = start_broker(**{"group.initial.rebalance.delay.ms": "0", "offsets.topic.num.partitions": "1"})
    with ExitStack() as stack:
        lines = [stack.enter_context(broker.connect(timeout=30)) for _ in range(MEMBERS)]
        assert lines[0].ask(FindCoordinatorRequest(key="large"), 0).error_code == ErrorCode.NONE
        leader, *others = begin_generation(broker, lines)
        ids = [leader.member_id, *(other.member_id for other in others)]
        assert {item.member_id: item.metadata for item in leader.members} == {
            member_id: f"member {index}".encode() for index, member_id in enumerate(ids)
        }
        assert not any(other.members for other in others)

        parts = [f"part {index}".encode() for index in range(MEMBERS)]
        assignments = [SyncGroupRequestAssignment(*pair) for pair in zip(ids, parts, strict=True)]
        for line, member_id in zip(lines[1:], ids[1:], strict=True):
            line.send(sync_request("large", 2, member_id), SYNC)
        lines[0].send(sync_request("large", 2, ids[0], assignments=assignments), SYNC)
        synced: list[Any] = [line.receive(SyncGroupRequest.API, SYNC)[1] for line in lines]
        assert [answer.assignment for answer in synced] == parts

        # All others want something else and wait for the leader; then the broker stops.
        for line, member_id in zip(lines[1:], ids[1:], strict=True):
            line.send(join("another", member_id), JOIN)
        wait_for_joins(broker, MEMBERS - 1)
        broker.stop()
        told: list[Any] = [line.receive(JoinGroupRequest.API, JOIN)[1] for line in lines[1:]]
        assert {answer.error_code for answer in told} == {ErrorCode.NOT_COORDINATOR}
