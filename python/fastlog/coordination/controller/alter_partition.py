"""A leader asks for another in-sync set (`KafkaController.processAlterPartition`, KIP-497, KIP-841).

The checks in their order; the first that fails is the answer for its partition:

| check                                                  | answer if not                             |
|--------------------------------------------------------|-------------------------------------------|
| the broker is registered under the epoch that it names | STALE_BROKER_EPOCH, for all               |
| the topic id is known                                  | UNKNOWN_TOPIC_ID                          |
| the partition is known                                 | UNKNOWN_TOPIC_OR_PARTITION                |
| its epochs are not above ours                          | NOT_CONTROLLER: somebody newer is         |
| the leader epoch is not below ours                     | FENCED_LEADER_EPOCH                       |
| the broker is the leader (Kafka takes its word)        | INVALID_REQUEST                           |
| there is something to change                           | success, and the state: an answer was lost |
| the partition epoch is ours                            | INVALID_UPDATE_VERSION                    |
| the set has the leader, and nobody twice               | INVALID_REQUEST                           |
| who recovers is alone, and did so before               | INVALID_REQUEST                           |
| all members are online, and new ones are replicas      | INELIGIBLE_REPLICA                        |

A member may name the epoch of its broker (KIP-903): another one than it is registered under is not eligible.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from fastlog.coordination.controller.context import ControllerContext
from fastlog.coordination.controller.control_batch import ControlBatch
from fastlog.coordination.controller.data import Leadership
from fastlog.coordination.controller.flow import Flow, Pause, in_turns, send
from fastlog.coordination.controller.stored_states import store
from fastlog.errors import ErrorCode
from fastlog.replication.partition import PartitionKey
from fastlog.wire.messages.alter_partition import (
    AlterPartitionData,
    AlterPartitionDataResponse,
    AlterPartitionRequest,
    AlterPartitionResponse,
    AlterPartitionTopic,
    AlterPartitionTopicResponse,
)

_BY_ID: Final = 2
"""The first version that names topics by id, and knows INELIGIBLE_REPLICA."""
_WITH_EPOCHS: Final = 3
_NO_EPOCH: Final = -1
_RECOVERED: Final = 0
_RECOVERING: Final = 1

Answer = Leadership | ErrorCode


class Altered(NamedTuple):
    """The answer, and the partitions that have another state now: a reassignment of them may be complete."""

    response: AlterPartitionResponse
    changed: tuple[PartitionKey, ...]


class Asked(NamedTuple):
    """What a leader asks for one partition. Of each member the epoch of its broker, -1 if it is not told."""

    broker: int
    leader_epoch: int
    partition_epoch: int
    isr: tuple[int, ...]
    epochs: tuple[int, ...]
    recovery: int


def alter_partitions(
    context: ControllerContext, request: AlterPartitionRequest, version: int
) -> Flow[Altered]:
    """Writes what may be written and tells all brokers' metadata of it; no LeaderAndIsr is sent."""
    broker = context.brokers.get(request.broker_id)
    if broker is None or broker.epoch != request.broker_epoch:
        return Altered(AlterPartitionResponse(error_code=ErrorCode.STALE_BROKER_EPOCH), ())
    answers: dict[PartitionKey, Answer] = {}
    wanted: dict[PartitionKey, Leadership] = {}
    for (key, partition), due in in_turns(_partitions(context, request, version)):
        if due:
            yield Pause()
        if key in answers or key in wanted:
            continue
        asked = _asked(request.broker_id, partition, version)
        now = context.leadership(key)
        answer = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION if now is None else check(context, key, now, asked)
        if isinstance(answer, Leadership) and answer is not now:
            wanted[key] = answer
        else:
            answers[key] = _for_version(answer, version)
    stored = yield from store(context, wanted)
    answers.update(stored.written)
    answers.update(dict.fromkeys(stored.stale, ErrorCode.INVALID_UPDATE_VERSION))
    answers.update(dict.fromkeys(stored.failed, ErrorCode.UNKNOWN_SERVER_ERROR))
    if stored.written:
        batch = ControlBatch(context)
        batch.update_all(stored.written)
        yield from send(batch)
    topics = [_topic_answer(context, topic, version, answers) for topic in request.topics]
    return Altered(AlterPartitionResponse(topics=topics), tuple(stored.written))


def check(context: ControllerContext, key: PartitionKey, now: Leadership, asked: Asked) -> Answer:
    """The leadership to be written, `now` itself if it is as asked, or why not."""
    if asked.partition_epoch > now.partition_epoch or asked.leader_epoch > now.leader_epoch:
        return ErrorCode.NOT_CONTROLLER
    if asked.leader_epoch < now.leader_epoch:
        return ErrorCode.FENCED_LEADER_EPOCH
    if asked.broker != now.leader:
        return ErrorCode.INVALID_REQUEST
    if set(asked.isr) == set(now.isr) and asked.recovery == int(now.recovering):
        return now
    if asked.partition_epoch != now.partition_epoch:
        return ErrorCode.INVALID_UPDATE_VERSION
    if not _is_sound(now, asked):
        return ErrorCode.INVALID_REQUEST
    members = zip(asked.isr, asked.epochs, strict=True)
    if not all(_is_eligible(context, key, now, member, epoch) for member, epoch in members):
        return ErrorCode.INELIGIBLE_REPLICA
    return replace(now, isr=asked.isr, recovering=bool(asked.recovery))


def _is_sound(now: Leadership, asked: Asked) -> bool:
    if now.leader not in asked.isr or len(set(asked.isr)) != len(asked.isr):
        return False
    if asked.recovery == _RECOVERED:
        return True
    return asked.recovery == _RECOVERING and now.recovering and len(asked.isr) == 1


def _is_eligible(
    context: ControllerContext, key: PartitionKey, now: Leadership, member: int, epoch: int
) -> bool:
    if not context.is_online(member, key) or epoch not in (_NO_EPOCH, context.brokers[member].epoch):
        return False
    # A member that has been taken from the replicas stays until it is taken from the set, too.
    return member in now.isr or member in context.assignment(key).replicas


def _partitions(
    context: ControllerContext, request: AlterPartitionRequest, version: int
) -> Iterator[tuple[PartitionKey, AlterPartitionData]]:
    """Those of topics that are known."""
    for topic in request.topics:
        name = _name(context, topic, version)
        if name is not None:
            for partition in topic.partitions:
                yield (name, partition.partition_index), partition


def _name(context: ControllerContext, topic: AlterPartitionTopic, version: int) -> str | None:
    return context.topic_named(topic.topic_id) if version >= _BY_ID else topic.topic_name


def _asked(broker: int, partition: AlterPartitionData, version: int) -> Asked:
    if version >= _WITH_EPOCHS:
        isr = tuple(member.broker_id for member in partition.new_isr_with_epochs)
        epochs = tuple(member.broker_epoch for member in partition.new_isr_with_epochs)
    else:
        isr = tuple(partition.new_isr)
        epochs = (_NO_EPOCH,) * len(isr)
    return Asked(
        broker,
        partition.leader_epoch,
        partition.partition_epoch,
        isr,
        epochs,
        partition.leader_recovery_state,
    )


def _for_version(answer: Answer, version: int) -> Answer:
    if answer is ErrorCode.INELIGIBLE_REPLICA and version < _BY_ID:
        return ErrorCode.OPERATION_NOT_ATTEMPTED
    return answer


def _topic_answer(
    context: ControllerContext, topic: AlterPartitionTopic, version: int, answers: dict[PartitionKey, Answer]
) -> AlterPartitionTopicResponse:
    name = _name(context, topic, version)
    partitions = []
    for asked in topic.partitions:
        index = asked.partition_index
        answer = ErrorCode.UNKNOWN_TOPIC_ID if name is None else answers[name, index]
        if isinstance(answer, Leadership):
            partitions.append(
                AlterPartitionDataResponse(
                    partition_index=index,
                    leader_id=answer.leader,
                    leader_epoch=answer.leader_epoch,
                    isr=list(answer.isr),
                    leader_recovery_state=int(answer.recovering),
                    partition_epoch=answer.partition_epoch,
                )
            )
        else:
            partitions.append(AlterPartitionDataResponse(partition_index=index, error_code=answer))
    return AlterPartitionTopicResponse(topic.topic_name, topic.topic_id, partitions)
