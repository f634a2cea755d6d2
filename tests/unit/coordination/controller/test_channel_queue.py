"""What waits for a broker: merged, in an order that means the same."""

from __future__ import annotations

from fastlog.coordination.controller.channel_queue import ChannelQueue, ControlRequest
from fastlog.wire.messages.leader_and_isr import (
    LeaderAndIsrLiveLeader,
    LeaderAndIsrPartitionState,
    LeaderAndIsrRequest,
    LeaderAndIsrTopicState,
)
from fastlog.wire.messages.stop_replica import (
    StopReplicaPartitionState,
    StopReplicaRequest,
    StopReplicaTopicState,
)
from fastlog.wire.messages.update_metadata import (
    UpdateMetadataBroker,
    UpdateMetadataPartitionState,
    UpdateMetadataRequest,
    UpdateMetadataTopicState,
)

ID, OTHER_ID = b"i" * 16, b"o" * 16


def lai(
    topic: str, number: int, epoch: int, *, new: bool = False, topic_id: bytes = ID
) -> LeaderAndIsrRequest:
    state = LeaderAndIsrPartitionState(partition_index=number, leader_epoch=epoch, is_new=new)
    return LeaderAndIsrRequest(
        topic_states=[LeaderAndIsrTopicState(topic, topic_id, [state])],
        live_leaders=[LeaderAndIsrLiveLeader(epoch, "h", 1)],
    )


def um(topic: str, number: int, epoch: int, *brokers: int, topic_id: bytes = ID) -> UpdateMetadataRequest:
    state = UpdateMetadataPartitionState(partition_index=number, leader_epoch=epoch)
    return UpdateMetadataRequest(
        topic_states=[UpdateMetadataTopicState(topic, topic_id, [state])],
        live_brokers=[UpdateMetadataBroker(broker) for broker in brokers],
    )


def sr(topic: str, number: int, *, delete: bool) -> StopReplicaRequest:
    state = StopReplicaPartitionState(number, -2 if delete else 5, delete)
    return StopReplicaRequest(topic_states=[StopReplicaTopicState(topic, [state])])


def taken(*requests: ControlRequest) -> list[ControlRequest]:
    queue = ChannelQueue()
    for request in requests:
        queue.put(request)
    found: list[ControlRequest] = []
    while (next_one := queue.take()) is not None:
        found.append(next_one)
    assert len(queue) == 0
    return found


def partitions(request: ControlRequest) -> dict[tuple[str, int], int]:
    return {
        (topic.topic_name, state.partition_index): state.leader_epoch
        for topic in request.topic_states
        for state in topic.partition_states
    }


def test_the_newest_metadata_of_each_partition_and_the_newest_brokers_are_sent() -> None:
    (request,) = taken(um("a", 0, 1, 1, 2), um("a", 1, 1, 1, 2), um("a", 0, 2, 1))
    assert partitions(request) == {("a", 0): 2, ("a", 1): 1}
    assert isinstance(request, UpdateMetadataRequest)
    assert [broker.id_ for broker in request.live_brokers] == [1]


def test_rounds_of_all_three_stay_three_requests() -> None:
    rounds = [(lai("a", n, n), um("a", n, n), sr("b", n, delete=False)) for n in range(50)]
    found = taken(*(request for each in rounds for request in each))
    assert [type(request).__name__ for request in found] == [
        "LeaderAndIsrRequest",
        "UpdateMetadataRequest",
        "StopReplicaRequest",
    ]
    assert all(len(partitions(request)) == 50 for request in found)


def test_a_replica_that_is_stopped_and_made_again_keeps_the_order() -> None:
    found = taken(lai("a", 0, 1), sr("a", 0, delete=True), lai("a", 0, 2, new=True))
    assert [type(request).__name__ for request in found] == [
        "LeaderAndIsrRequest",
        "StopReplicaRequest",
        "LeaderAndIsrRequest",
    ]


def test_what_the_broker_has_not_seen_stays_new_and_its_leaders_are_named() -> None:
    (request,) = taken(lai("a", 0, 1, new=True), lai("a", 0, 2))
    assert isinstance(request, LeaderAndIsrRequest)
    assert request.topic_states[0].partition_states[0].is_new
    assert [leader.broker_id for leader in request.live_leaders] == [1, 2]


def test_a_deletion_is_not_undone_by_a_later_stop() -> None:
    (request,) = taken(sr("a", 0, delete=True), sr("a", 0, delete=False))
    assert isinstance(request, StopReplicaRequest)
    assert request.topic_states[0].partition_states[0].delete_partition


def test_topics_of_one_name_and_two_ids_are_not_mixed() -> None:
    assert len(taken(um("a", 0, 1), um("a", 0, 0, topic_id=OTHER_ID))) == 2
    assert len(taken(lai("a", 0, 1), lai("a", 0, 0, topic_id=OTHER_ID))) == 2


def test_a_request_that_waits_alone_is_sent_as_it_is() -> None:
    request = lai("a", 0, 1)
    assert taken(request)[0] is request
