"""The largest requests that a controller may have to send: 20,000 topics with long names, three replicas."""

from __future__ import annotations

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
    UpdateMetadataEndpoint,
    UpdateMetadataPartitionState,
    UpdateMetadataRequest,
    UpdateMetadataTopicState,
)

PARTITIONS = 20_000
_OLD, _NEW = [1001, 1002, 1003], [1004, 1005, 1006]
_ALL = _OLD + _NEW


def _name(index: int) -> str:
    return f"{index:0200}"


def _id(index: int) -> bytes:
    return (index + 1).to_bytes(16, "big")


def full_leader_and_isr() -> LeaderAndIsrRequest:
    """Every partition is moving from three replicas to three others."""
    return LeaderAndIsrRequest(
        controller_id=1001,
        topic_states=[
            LeaderAndIsrTopicState(
                _name(index),
                _id(index),
                [
                    LeaderAndIsrPartitionState(
                        leader=1001,
                        leader_epoch=index,
                        isr=_ALL,
                        replicas=_ALL,
                        adding_replicas=_NEW,
                        removing_replicas=_OLD,
                    )
                ],
            )
            for index in range(PARTITIONS)
        ],
        live_leaders=[LeaderAndIsrLiveLeader(broker, "host", 9092) for broker in _ALL],
    )


def full_update_metadata() -> UpdateMetadataRequest:
    """The same partitions as all brokers see them."""
    return UpdateMetadataRequest(
        controller_id=1001,
        topic_states=[
            UpdateMetadataTopicState(
                _name(index),
                _id(index),
                [
                    UpdateMetadataPartitionState(
                        leader=1001, leader_epoch=index, isr=_ALL, replicas=_ALL, offline_replicas=_OLD
                    )
                ],
            )
            for index in range(PARTITIONS)
        ],
        live_brokers=[
            UpdateMetadataBroker(broker, endpoints=[UpdateMetadataEndpoint(9092, "host", "PLAINTEXT")])
            for broker in _ALL
        ],
    )


def full_stop_replica() -> StopReplicaRequest:
    """A broker gives up all that it has."""
    return StopReplicaRequest(
        controller_id=1001,
        topic_states=[
            StopReplicaTopicState(_name(index), [StopReplicaPartitionState(0, index, True)])
            for index in range(PARTITIONS)
        ],
    )
