"""What a leader may have changed, and what it is told otherwise: each check, in its order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fastlog.coordination.controller.alter_partition import Altered, alter_partitions
from fastlog.coordination.controller.flow import StateWrite
from fastlog.errors import ErrorCode
from fastlog.wire.messages.alter_partition import (
    AlterPartitionData,
    AlterPartitionDataResponse,
    AlterPartitionRequest,
    AlterPartitionTopic,
    BrokerState,
)
from fastlog.wire.messages.leader_and_isr import LeaderAndIsrRequest
from tests.unit.coordination.controller.world import World

KEY = ("t", 0)
TOPIC_ID = b"t".ljust(16, b"-")


@pytest.fixture
def world() -> World:
    """Broker 1 leads [1, 2, 3] in epoch 4 with 1 and 2 in sync; the state has version 9."""
    made = World([1, 2, 3, 4])
    made.create("t", [1, 2, 3])
    made.put_state(KEY, 1, (1, 2), leader_epoch=4, partition_epoch=9)
    return made


def ask(
    world: World,
    isr: list[int],
    *,
    sender: int = 1,
    leader_epoch: int = 4,
    partition_epoch: int = 9,
    recovery: int = 0,
    version: int = 3,
    epochs: dict[int, int] | None = None,
    topic_id: bytes = TOPIC_ID,
    index: int = 0,
    broker_epoch: int | None = None,
) -> Altered:
    partition = AlterPartitionData(
        partition_index=index,
        leader_epoch=leader_epoch,
        leader_recovery_state=recovery,
        partition_epoch=partition_epoch,
    )
    if version >= 3:
        partition.new_isr_with_epochs = [BrokerState(id_, (epochs or {}).get(id_, -1)) for id_ in isr]
    else:
        partition.new_isr = isr
    topic = AlterPartitionTopic("t" if version < 2 else "", topic_id, [partition])
    epoch = world.context.brokers[sender].epoch if broker_epoch is None else broker_epoch
    return world.run(alter_partitions(world.context, AlterPartitionRequest(sender, epoch, [topic]), version))


def only(altered: Altered) -> AlterPartitionDataResponse:
    assert altered.response.error_code == 0
    return altered.response.topics[0].partitions[0]


def code(altered: Altered) -> int:
    assert not altered.changed
    return only(altered).error_code


def test_the_set_grows_in_the_same_leader_epoch(world: World) -> None:
    altered = ask(world, [1, 2, 3])
    assert altered.changed == (KEY,)
    assert only(altered) == AlterPartitionDataResponse(0, 0, 1, 4, [1, 2, 3], 0, 10)
    assert altered.response.topics[0].topic_id == TOPIC_ID
    assert world.state(KEY) == (1, 4, (1, 2, 3))
    assert world.nodes[KEY].controller_epoch == 5
    assert world.updated() == [1, 2, 3, 4]
    assert not any(isinstance(message, LeaderAndIsrRequest) for _, message in world.sent)


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_the_set_shrinks_in_every_version(world: World, version: int) -> None:
    assert only(ask(world, [1], version=version)).isr == [1]


@pytest.mark.parametrize("change", [-1, 1])
def test_the_sender_is_the_broker_of_now(world: World, change: int) -> None:
    altered = ask(world, [1], broker_epoch=world.context.brokers[1].epoch + change)
    assert altered.response.error_code == ErrorCode.STALE_BROKER_EPOCH
    assert altered.response.topics == []


def test_the_sender_is_registered(world: World) -> None:
    answer = world.run(alter_partitions(world.context, AlterPartitionRequest(9, 5, []), 3))
    assert answer.response.error_code == ErrorCode.STALE_BROKER_EPOCH


def test_topics_and_partitions_that_are_not_known(world: World) -> None:
    assert code(ask(world, [1], topic_id=bytes(16))) == ErrorCode.UNKNOWN_TOPIC_ID
    assert code(ask(world, [1], index=7)) == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_who_knows_of_later_epochs_looks_for_another_controller(world: World) -> None:
    assert code(ask(world, [1], leader_epoch=5)) == ErrorCode.NOT_CONTROLLER
    assert code(ask(world, [1], partition_epoch=10)) == ErrorCode.NOT_CONTROLLER
    assert code(ask(world, [1], leader_epoch=3, partition_epoch=10)) == ErrorCode.NOT_CONTROLLER


def test_earlier_leader_epochs_are_fenced(world: World) -> None:
    assert code(ask(world, [1, 2], leader_epoch=3)) == ErrorCode.FENCED_LEADER_EPOCH


def test_only_the_leader_may_ask(world: World) -> None:
    assert code(ask(world, [2], sender=2)) == ErrorCode.INVALID_REQUEST
    assert code(ask(world, [1, 2], sender=2)) == ErrorCode.INVALID_REQUEST
    assert world.state(KEY) == (1, 4, (1, 2))


def test_an_answer_that_was_lost_is_given_again(world: World) -> None:
    altered = ask(world, [2, 1], partition_epoch=8)
    assert altered.changed == ()
    assert only(altered) == AlterPartitionDataResponse(0, 0, 1, 4, [1, 2], 0, 9)
    assert not world.writes


def test_earlier_partition_epochs_are_refused(world: World) -> None:
    assert code(ask(world, [1], partition_epoch=8)) == ErrorCode.INVALID_UPDATE_VERSION


@pytest.mark.parametrize("isr", [[], [2], [1, 1]])
def test_a_set_without_the_leader_or_with_somebody_twice(world: World, isr: list[int]) -> None:
    assert code(ask(world, isr)) == ErrorCode.INVALID_REQUEST


def test_recovery(world: World) -> None:
    assert code(ask(world, [1], recovery=1)) == ErrorCode.INVALID_REQUEST
    assert code(ask(world, [1], recovery=2)) == ErrorCode.INVALID_REQUEST
    recovering = replace(world.nodes[KEY], isr=(1,), recovering=True)
    world.nodes[KEY] = recovering
    world.context.put_leadership(KEY, recovering)
    assert code(ask(world, [1, 2], recovery=1)) == ErrorCode.INVALID_REQUEST
    answer = only(ask(world, [1], recovery=0))
    assert (answer.error_code, answer.leader_recovery_state, answer.partition_epoch) == (0, 0, 10)
    assert not world.nodes[KEY].recovering


@pytest.mark.parametrize(("version", "wanted"), [(1, 55), (2, 107), (3, 107)])
def test_members_are_alive(world: World, version: int, wanted: int) -> None:
    world.context.begin_shutdown(3)
    assert code(ask(world, [1, 2, 3], version=version)) == wanted
    world.context.remove_broker(3)
    assert code(ask(world, [1, 2, 3], version=version)) == wanted


def test_members_have_their_directories(world: World) -> None:
    world.context.put_offline_in_directories(3, [KEY])
    assert code(ask(world, [1, 2, 3])) == ErrorCode.INELIGIBLE_REPLICA


def test_new_members_are_replicas_and_former_ones_may_stay(world: World) -> None:
    assert code(ask(world, [1, 2, 4])) == ErrorCode.INELIGIBLE_REPLICA
    world.put_state(KEY, 1, (1, 2, 4))
    assert only(ask(world, [1, 4])).isr == [1, 4]


def test_members_are_the_brokers_that_the_leader_knows(world: World) -> None:
    epoch = world.context.brokers[3].epoch
    assert code(ask(world, [1, 2, 3], epochs={3: epoch - 1})) == ErrorCode.INELIGIBLE_REPLICA
    assert only(ask(world, [1, 2, 3], epochs={3: epoch})).isr == [1, 2, 3]


def test_somebody_else_was_quicker(world: World) -> None:
    theirs = replace(world.nodes[KEY], isr=(1, 3), partition_epoch=12)

    def intervene(write: StateWrite) -> None:
        world.nodes[write.key] = theirs

    world.before_write = intervene
    assert code(ask(world, [1])) == ErrorCode.INVALID_UPDATE_VERSION
    assert world.context.leadership(KEY) == theirs
    assert not world.sent
