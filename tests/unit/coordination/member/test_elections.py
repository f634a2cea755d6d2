"""The answer of ElectLeaders, and the view that it waits for."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from fastlog.coordination.cluster_view import ClusterView, PartitionState, TopicState
from fastlog.coordination.member.elections import elect_leaders
from fastlog.coordination.member.view_waits import ViewWaits
from fastlog.errors import ErrorCode
from fastlog.wire.messages.partition_admin import (
    ElectLeadersRequest,
    ElectLeadersResponse,
    PartitionResult,
    ReplicaElectionResult,
    TopicPartitions,
)


class Controller:
    """Has elected leaders of partitions 0 and 1, in epoch 5, and none of partition 2."""

    context = SimpleNamespace(leadership=lambda _: SimpleNamespace(leader_epoch=5))

    async def elect_leaders(self, _: ElectLeadersRequest) -> ElectLeadersResponse:
        rows = [PartitionResult(0), PartitionResult(1), PartitionResult(2, ErrorCode.ELECTION_NOT_NEEDED)]
        return ElectLeadersResponse(replica_election_results=[ReplicaElectionResult("t", rows)])


async def elected(view: ClusterView, waits: ViewWaits, timeout_ms: int) -> list[int]:
    controller: Any = Controller()
    answer = await elect_leaders(controller, view, waits, ElectLeadersRequest(timeout_ms=timeout_ms))
    return [row.error_code for row in answer.replica_election_results[0].partition_result]


def show(view: ClusterView, *epochs: int) -> None:
    parts = tuple(PartitionState(1, epoch, (1, 2), (1, 2)) for epoch in epochs)
    view.put_topic(TopicState("t", b"i" * 16, parts, {}))


async def test_it_waits_until_the_view_shows_the_leaders() -> None:
    view, waits = ClusterView(), ViewWaits()
    show(view, 4, 4, 4)
    task = asyncio.create_task(elected(view, waits, 30_000))
    await asyncio.sleep(0)
    show(view, 5, 4, 4)
    waits.changed()
    await asyncio.sleep(0.01)
    assert not task.done()
    show(view, 5, 6, 4)
    waits.changed()
    assert await task == [0, 0, ErrorCode.ELECTION_NOT_NEEDED]


async def test_what_is_not_shown_in_time_is_told_so() -> None:
    view = ClusterView()
    show(view, 5, 4, 4)
    timed_out = [0, ErrorCode.REQUEST_TIMED_OUT, ErrorCode.ELECTION_NOT_NEEDED]
    assert await elected(view, ViewWaits(), 1) == timed_out


async def test_a_topic_that_is_deleted_meanwhile_is_not_waited_for() -> None:
    assert await elected(ClusterView(), ViewWaits(), 30_000) == [0, 0, ErrorCode.ELECTION_NOT_NEEDED]


async def test_who_is_not_the_controller_says_so_of_each_partition() -> None:
    """No error of the whole, which version 0 has no place for; all partitions are those of the view."""

    class Other(Controller):
        async def elect_leaders(self, _: ElectLeadersRequest) -> ElectLeadersResponse:
            return ElectLeadersResponse(error_code=ErrorCode.NOT_CONTROLLER)

    controller: Any = Other()
    view = ClusterView()
    show(view, 4, 4)
    for asked, numbers in ((None, [0, 1]), ([TopicPartitions("t", [1, 7])], [1, 7])):
        answer = await elect_leaders(controller, view, ViewWaits(), ElectLeadersRequest(0, asked))
        assert answer.error_code == 0
        (topic,) = answer.replica_election_results
        assert [(row.partition_id, row.error_code) for row in topic.partition_result] == [
            (number, ErrorCode.NOT_CONTROLLER) for number in numbers
        ]
