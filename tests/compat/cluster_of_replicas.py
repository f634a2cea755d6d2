"""What operators, clients and brokers ask about leaders and replicas, of Kafka's and of fastlog's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastlog.wire.messages.allocate_producer_ids import AllocateProducerIdsRequest
from fastlog.wire.messages.alter_partition import (
    AlterPartitionData,
    AlterPartitionRequest,
    AlterPartitionTopic,
    BrokerState,
)
from fastlog.wire.messages.controlled_shutdown import ControlledShutdownRequest
from fastlog.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic, ReplicaState
from fastlog.wire.messages.leader_and_isr import (
    LeaderAndIsrLiveLeader,
    LeaderAndIsrPartitionState,
    LeaderAndIsrRequest,
    LeaderAndIsrTopicState,
)
from fastlog.wire.messages.offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)
from fastlog.wire.messages.partition_admin import (
    AlterPartitionReassignmentsRequest,
    ElectLeadersRequest,
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsTopics,
    ReassignablePartition,
    ReassignableTopic,
    TopicPartitions,
)
from fastlog.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from fastlog.wire.messages.stop_replica import (
    StopReplicaPartitionState,
    StopReplicaRequest,
    StopReplicaTopicState,
)
from fastlog.wire.messages.update_metadata import UpdateMetadataRequest
from tests.compat.cluster_answers import NOWHERE, Stage
from tests.compat.cluster_of_topics import CONTROLLER, OTHER, WAIT_MS
from tests.harness.batches import batch
from tests.harness.tree import at
from tests.harness.waiting import wait_until

PREFERRED, UNCLEAN = 0, 1
_ALL_NODES: Final = (1, 2, 3)


def elections(stage: Stage, when: str, rows: Sequence[TopicPartitions]) -> None:
    """ElectLeaders of each type, in each version; null, none, unknown ones and `rows`."""
    unknown = [TopicPartitions("t", [0, 9]), TopicPartitions("never", [0]), TopicPartitions("..", [-1])]
    asked = {"all": None, "none": [], "unknown ones": unknown, "chosen": [*rows]}
    for kind in (PREFERRED, UNCLEAN):
        for what, topics in asked.items():
            for version in (0, 1, 2) if kind == PREFERRED else (1, 2):
                request = ElectLeadersRequest(kind, topics, WAIT_MS)
                stage.ask(f"{when}: election {kind} of {what}", CONTROLLER, request, version)
            request = ElectLeadersRequest(kind, topics, WAIT_MS)
            stage.ask(f"{when}: election {kind} of {what}", OTHER, request, 2)
    stage.settle()


def odd_elections(stage: Stage) -> None:
    """Of types that there are not, of one partition twice."""
    twice = [TopicPartitions("t", [0, 0]), TopicPartitions("t", [0])]
    stage.ask("election of one twice", CONTROLLER, ElectLeadersRequest(PREFERRED, twice, WAIT_MS), 2)
    for kind in (2, -1):
        stage.ask(f"election {kind}", CONTROLLER, ElectLeadersRequest(kind, [], WAIT_MS), 2)


def moved(topic: str, partition: int, replicas: list[int] | None) -> ReassignableTopic:
    """One partition and its new replicas."""
    return ReassignableTopic(topic, [ReassignablePartition(partition, replicas)])


def alter(*topics: ReassignableTopic) -> AlterPartitionReassignmentsRequest:
    """What is to move."""
    return AlterPartitionReassignmentsRequest(WAIT_MS, [*topics])


def reassignments(stage: Stage, when: str) -> None:
    """What is refused, what is there already, and what moves nothing."""
    asked = {
        "unknown topic": [moved("never", 0, [1])],
        "unknown partition": [moved("t", 9, [1])],
        "negative partition": [moved("t", -1, [1])],
        "to nobody": [moved("t", 0, [])],
        "to one twice": [moved("t", 0, [1, 1])],
        "to an unknown broker": [moved("t", 0, [1, 9])],
        "to a negative broker": [moved("t", 0, [1, -1])],
        "cancelled, though none": [moved("t", 0, None)],
        "cancelled, unknown": [moved("never", 0, None), moved("t", 9, None)],
        "where it is": [moved("t", 0, [1, 2, 3])],
        "some of each": [moved("t", 0, [9]), moved("t", 1, [2, 3, 1]), moved("never", 3, [1])],
        "none": [],
        "no partitions": [ReassignableTopic("t", [])],
        "one twice": [moved("t", 2, [3, 1, 2]), moved("t", 2, [3, 1, 2])],
    }
    for what, topics in asked.items():
        stage.ask(f"{when}: {what}", CONTROLLER, alter(*topics), 0)
        stage.ask(f"{when}: {what}", OTHER, alter(*topics), 0)
    rows = [ListPartitionReassignmentsTopics("t", [0, 9]), ListPartitionReassignmentsTopics("never", [0])]
    stage.settle()
    for node in (CONTROLLER, OTHER):
        for what, listed in {"all": None, "none": [], "some": rows}.items():
            stage.ask(f"{when}: moves of {what}", node, ListPartitionReassignmentsRequest(WAIT_MS, listed), 0)


def list_offsets(topic: str, partition: int, timestamp: int, epoch: int = -1, replica: int = -1) -> Any:
    """One offset."""
    row = ListOffsetsPartition(partition, epoch, timestamp)
    return ListOffsetsRequest(replica, 0, [ListOffsetsTopic(topic, [row])])


def epoch_end(topic: str, partition: int, epoch: int, current: int = -1, replica: int = -1) -> Any:
    """The end of an epoch."""
    row = OffsetForLeaderPartition(partition, current, epoch)
    return OffsetForLeaderEpochRequest(replica, [OffsetForLeaderTopic(topic, [row])])


def fetch(
    stage: Stage,
    version: int,
    topic: str,
    partition: int,
    offset: int,
    *,
    epoch: int = -1,
    fetched: int = -1,
    replica: int = -1,
    replica_epoch: int = -1,
    topic_id: bytes | None = None,
) -> FetchRequest:
    """One partition; a follower's from `replica` >= 0."""
    row = FetchPartition(
        partition, epoch, offset, fetched if version >= 12 else -1, -1 if replica < 0 else 0, 1 << 20
    )
    named = (
        FetchTopic(topic=topic, partitions=[row])
        if version < 13
        else FetchTopic(topic_id=topic_id or stage.topic_id(topic), partitions=[row])
    )
    who: dict[str, Any] = {"replica_id": replica}
    if version >= 15:
        who = {"replica_state": ReplicaState(replica, replica_epoch)}
    return FetchRequest(max_wait_ms=100, min_bytes=1, topics=[named], **who)


def produce(topic: str, partition: int, data: bytes, acks: int = -1) -> ProduceRequest:
    """One batch."""
    rows = [PartitionProduceData(partition, data)]
    return ProduceRequest(None, acks, 2000, [TopicProduceData(topic, rows)])


def produced(stage: Stage, when: str, topic: str, partition: int, nodes: Sequence[int] = _ALL_NODES) -> None:
    """At the leader and at others, in all versions, with each acks."""
    for node in nodes:
        for version in range(3, 12):
            request = produce(topic, partition, batch(b"%s at %d" % (when.encode(), node)), -1)
            stage.ask(f"{when}: acks=-1 {topic}-{partition}", node, request, version)
        request = produce(topic, partition, batch(b"%s by %d" % (when.encode(), node)), 1)
        stage.ask(f"{when}: acks=1 {topic}-{partition}", node, request, 11)
    request = produce(topic, partition, batch(b"x"), 2)
    stage.ask(f"{when}: acks=2 {topic}-{partition}", nodes[0], request, 11)


def wait_read_by_all(stage: Stage, topic: str, partition: int) -> None:
    """Returns when all replicas show the same high watermark: followers hear of it a fetch later."""

    def same() -> bool:
        seen = set()
        for node in stage.cluster.members.keys() - stage.down:
            answer = stage.call(node, fetch(stage, 12, topic, partition, 0), 12)
            row = answer.responses[0].partitions[0]
            seen.add((row.error_code, row.high_watermark))
        return len(seen) == 1

    wait_until(same, f"{topic}-{partition} is not read alike", seconds=30)


def read(stage: Stage, when: str, topic: str, partition: int, nodes: Sequence[int] = _ALL_NODES) -> None:
    """ListOffsets, OffsetForLeaderEpoch and Fetch at the leader and at others, as a consumer."""
    current = stage.cluster.look().partitions[topic, partition].leader_epoch
    where = f"{topic}-{partition}"
    for node in nodes:
        for version in range(10):
            for kind, timestamp in {"latest": -1, "earliest": -2, "greatest": -3, "some time": 5}.items():
                request = list_offsets(topic, partition, timestamp)
                stage.ask(f"{when}: {kind} of {where}", node, request, version)
        for version in range(5):
            request = epoch_end(topic, partition, current)
            stage.ask(f"{when}: end of the epoch of {where}", node, request, version)
        for version in (4, 9, 11, 12, 13, 16, 17):
            request = fetch(stage, version, topic, partition, 0)
            stage.ask(f"{when}: fetch {where}", node, request, version)
        for offset in (-1, 1, 10_000):
            request = fetch(stage, 17, topic, partition, offset)
            stage.ask(f"{when}: fetch {where} from {offset}", node, request, 17)
        request = fetch(stage, 17, topic, 9, 0)
        stage.ask(f"{when}: fetch {topic}-9", node, request, 17)
        request = fetch(stage, 17, topic, 0, 0, topic_id=NOWHERE)
        stage.ask(f"{when}: fetch {where} by no id", node, request, 17)
        _read_with_epochs(stage, when, topic, partition, node)


def _read_with_epochs(stage: Stage, when: str, topic: str, partition: int, node: int) -> None:
    """The same with the leader epoch of now, with others, and with none."""
    current = stage.cluster.look().partitions[topic, partition].leader_epoch
    where = f"{topic}-{partition}"
    epochs = {"": -1, ", of now": current, ", of before": current - 1, ", of the future": current + 1}
    for name, epoch in epochs.items():
        for kind, timestamp in {"latest": -1, "earliest": -2}.items():
            request = list_offsets(topic, partition, timestamp, epoch)
            stage.ask(f"{when}: {kind} of {where}, asked with an epoch{name}", node, request, 8)
        for asked in (-1, 0, current, current + 1):
            request = epoch_end(topic, partition, asked, epoch)
            stage.ask(f"{when}: end of epoch {asked} of {where}{name}", node, request, 4)
        for version in (9, 11, 12, 17):
            request = fetch(stage, version, topic, partition, 0, epoch=epoch)
            stage.ask(f"{when}: fetch {where} with an epoch{name}", node, request, version)
        for version in (12, 17):
            for fetched in (0, current, current + 1):
                request = fetch(stage, version, topic, partition, 1, epoch=epoch, fetched=fetched)
                words = f"{when}: fetch {where} with an epoch{name}, after {fetched}"
                stage.ask(words, node, request, version)


def followed(stage: Stage, when: str, topic: str, partition: int, nodes: Sequence[int] = _ALL_NODES) -> None:
    """The same as a broker that follows, or says so; it asks for what changes nothing."""
    state = stage.cluster.look()
    part = state.partitions[topic, partition]
    where = f"{topic}-{partition}"
    for node in nodes:
        for replica in (-2, 9):
            for version in (4, 12, 14, 15, 17):
                request = fetch(stage, version, topic, partition, 0, replica=replica, epoch=part.leader_epoch)
                stage.ask(f"{when}: fetch {where} as {replica}", node, request, version)
                request = fetch(stage, version, topic, partition, 0, replica=replica)
                stage.ask(f"{when}: fetch {where} as {replica}, no epoch", node, request, version)
        for replica in (-2, 3, 9):
            for timestamp in (-1, -2):
                request = list_offsets(topic, partition, timestamp, part.leader_epoch, replica)
                stage.ask(f"{when}: offset {timestamp} of {where} as {replica}", node, request, 9)
            request = epoch_end(topic, partition, part.leader_epoch, part.leader_epoch, replica)
            stage.ask(f"{when}: end of the epoch of {where} as {replica}", node, request, 4)


def among_brokers(stage: Stage, when: str, topic: str, partition: int) -> None:
    """What only brokers ask each other, of former lives, former controllers, and in the name of others."""
    state = stage.cluster.look()
    part = state.partitions[topic, partition]
    epochs, others = state.brokers, next(iter(state.brokers.keys() - {part.leader}))
    for node in (CONTROLLER, OTHER):
        for version in (1, 2, 3):
            for name, broker, epoch in (
                ("unknown", 9, 5),
                *((("former", 2, epochs[2] - 1),) if version > 1 else ()),
            ):
                request: Any = ControlledShutdownRequest(broker, epoch)
                stage.ask(f"{when}: shutdown of an {name} broker", node, request, version)
        for name, broker, epoch in (
            ("an unknown broker", 9, 5),
            ("a broker without epoch", 2, -1),
            ("a former broker", 2, epochs[2] - 1),
            ("a future broker", 2, epochs[2] + 1),
            ("a broker", 2, epochs[2]),
        ):
            request = AllocateProducerIdsRequest(broker, epoch)
            stage.ask(f"{when}: producer ids for {name}", node, request, 0)
    leader, leader_epoch, version_now = (
        part.leader,
        part.leader_epoch,
        _partition_epoch(stage, topic, partition),
    )

    def change(
        sender: int = leader,
        broker_epoch: int | None = None,
        epoch: int = leader_epoch,
        partition_epoch: int = version_now,
        isr: Sequence[int] = tuple(part.isr),
        recovery: int = 0,
        index: int = partition,
        topic_id: bytes | None = None,
    ) -> AlterPartitionRequest:
        rows = AlterPartitionData(
            index, epoch, [*isr], [BrokerState(node) for node in isr], recovery, partition_epoch
        )
        named = AlterPartitionTopic(topic, topic_id or stage.topic_id(topic), [rows])
        sent = epochs.get(sender, 5) if broker_epoch is None else broker_epoch
        return AlterPartitionRequest(sender, sent, [named])

    changes = {
        "nothing": change(),
        "by a former broker": change(broker_epoch=epochs[leader] - 1),
        "by an unknown broker": change(sender=9),
        "of no topic": change(topic_id=NOWHERE),
        "of an unknown partition": change(index=9),
        "of a former leader": change(epoch=leader_epoch - 1),
        "of a future leader": change(epoch=leader_epoch + 1),
        "of a former partition epoch": change(partition_epoch=version_now - 1, isr=[leader]),
        "of a former partition epoch, nothing": change(partition_epoch=version_now - 1),
        "of a future partition epoch": change(partition_epoch=version_now + 1),
        "recovering, several": change(recovery=1),
        "with a broker that is gone": change(isr=[*part.isr, 9]),
    }
    for version in range(4):
        for name, asked in changes.items():
            for row in (row for topics in asked.topics for row in topics.partitions):
                row.leader_recovery_state = row.leader_recovery_state if version else 0
            stage.ask(f"{when}: change of {name}", CONTROLLER, asked, version)
    stage.ask(f"{when}: change of nothing", OTHER, changes["nothing"], 3)
    _orders(stage, when, topic, partition, others)


def _orders(stage: Stage, when: str, topic: str, partition: int, node: int) -> None:
    """Of controllers and for lives that are over; and what is known already."""
    state = stage.cluster.look()
    part, now, life = state.partitions[topic, partition], state.controller_epoch, state.brokers[node]
    leader = stage.cluster.members[part.leader]
    live = [LeaderAndIsrLiveLeader(part.leader, "127.0.0.1", leader.port)]
    for name, epoch, broker_epoch in (
        ("a former controller", now - 1, life),
        ("the controller to a former life", now, life - 1),
        ("the controller", now, life),
        ("the controller to whom it may concern", now, -1),
    ):
        for what, leader_epoch, topic_id, index in (
            ("known", part.leader_epoch, stage.topic_id(topic), partition),
            ("former", part.leader_epoch - 1, stage.topic_id(topic), partition),
            ("another topic's", part.leader_epoch, NOWHERE, partition),
        ):
            replicas, isr = [*part.replicas], [*part.isr]
            row = LeaderAndIsrPartitionState(
                topic, index, epoch, part.leader, leader_epoch, isr, 0, replicas, [], [], False, 0
            )
            order: Any = LeaderAndIsrRequest(
                *(CONTROLLER, False, epoch, broker_epoch, 0),
                topic_states=[LeaderAndIsrTopicState(topic, topic_id, [row])],
                live_leaders=live,
            )
            stage.ask(f"{when}: {what} leader, says {name}", node, order, 7)
        for what, leader_epoch, index in (
            ("a former", part.leader_epoch - 1, partition),
            ("an unknown", 5, 77),
        ):
            states = [StopReplicaTopicState(topic, [StopReplicaPartitionState(index, leader_epoch, False)])]
            order = StopReplicaRequest(CONTROLLER, False, epoch, broker_epoch, topic_states=states)
            stage.ask(f"{when}: end of {what} replica, says {name}", node, order, 4)
        if "former" in name:
            order = UpdateMetadataRequest(CONTROLLER, False, 0, epoch, broker_epoch, [], [], [])
            stage.ask(f"{when}: nobody lives, says {name}", node, order, 8)


def _partition_epoch(stage: Stage, topic: str, partition: int) -> int:
    async def version(client: Any) -> int:
        _, stat = await client.get(f"/brokers/topics/{topic}/partitions/{partition}/state")
        return int(stat.version)

    return at(stage.cluster.connect, version)
