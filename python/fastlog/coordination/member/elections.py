"""ElectLeaders on the controller: elected, then waited for in the own view (Kafka's `DelayedElectLeader`)."""

from __future__ import annotations

from typing import Final

from fastlog.coordination.cluster_view import ClusterView
from fastlog.coordination.controller.controller import Controller
from fastlog.coordination.member.view_waits import ViewWaits
from fastlog.errors import ErrorCode
from fastlog.wire.messages.partition_admin import (
    ElectLeadersRequest,
    ElectLeadersResponse,
    PartitionResult,
    ReplicaElectionResult,
    TopicPartitions,
)

_MOST_SECONDS: Final = 300.0
"""A client that names a longer time-out has gone by then."""


async def elect_leaders(
    controller: Controller, view: ClusterView, waits: ViewWaits, request: ElectLeadersRequest
) -> ElectLeadersResponse:
    """A code for each partition; REQUEST_TIMED_OUT where the view does not show the new leader in time."""
    response = await controller.elect_leaders(request)
    if response.error_code == ErrorCode.NOT_CONTROLLER:
        return _not_controller(request, view)
    context = controller.context
    if context is None:
        return response
    waiting: list[tuple[str, PartitionResult, int]] = []
    for topic in response.replica_election_results:
        for row in topic.partition_result:
            elected = context.leadership((topic.topic, row.partition_id))
            if row.error_code == ErrorCode.NONE and elected is not None:
                waiting.append((topic.topic, row, elected.leader_epoch))

    def is_shown() -> bool:
        waiting[:] = [(name, row, epoch) for name, row, epoch in waiting if not shown(name, row, epoch)]
        return not waiting

    def shown(name: str, row: PartitionResult, epoch: int) -> bool:
        found = view.topics.get(name)
        # A topic that has been deleted meanwhile is not waited for.
        return found is None or (
            row.partition_id < len(found.partitions)
            and found.partitions[row.partition_id].leader_epoch >= epoch
        )

    if not await waits.until(is_shown, min(max(request.timeout_ms, 0) / 1000, _MOST_SECONDS)):
        for _, row, _ in waiting:
            row.error_code = ErrorCode.REQUEST_TIMED_OUT
    return response


def _not_controller(request: ElectLeadersRequest, view: ClusterView) -> ElectLeadersResponse:
    """As Kafka's brokers say it, of each partition alone; all partitions are those that are known here."""
    asked = request.topic_partitions
    if asked is None:
        asked = [
            TopicPartitions(name, [*range(len(topic.partitions))]) for name, topic in view.topics.items()
        ]
    code = int(ErrorCode.NOT_CONTROLLER)
    return ElectLeadersResponse(
        replica_election_results=[
            ReplicaElectionResult(row.topic, [PartitionResult(number, code) for number in row.partitions])
            for row in asked
        ]
    )
