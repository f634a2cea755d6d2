"""A tree and brokers for flows: writes are carried out in memory, and what is sent is kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from fastlog.coordination.controller.context import ControllerContext
from fastlog.coordination.controller.control_batch import ControlMessage
from fastlog.coordination.controller.creation import create_partitions
from fastlog.coordination.controller.data import Assignment, Endpoint, Leadership, LiveBroker
from fastlog.coordination.controller.flow import (
    Flow,
    ReadUnclean,
    SendBatch,
    Stale,
    StateWrite,
    WriteAssignments,
    WriteResult,
    WriteStates,
    Written,
)
from fastlog.replication.partition import PartitionKey
from fastlog.wire.messages.leader_and_isr import LeaderAndIsrPartitionState, LeaderAndIsrRequest
from fastlog.wire.messages.stop_replica import StopReplicaPartitionState, StopReplicaRequest
from fastlog.wire.messages.update_metadata import UpdateMetadataPartitionState, UpdateMetadataRequest

T = TypeVar("T")
CONTROLLER = 100
Key = PartitionKey


def live(broker: int, epoch: int, rack: str | None = None) -> LiveBroker:
    """A broker with a listener for brokers and one for clients."""
    return LiveBroker(
        broker,
        epoch,
        (Endpoint("INNER", f"inner-{broker}", 9000 + broker, 0), Endpoint("OUTER", f"b{broker}", 9092, 1)),
        rack,
    )


class World:
    """`nodes` are the state nodes as they are stored; `sent` the requests since `forget`, in order."""

    def __init__(self, brokers: Iterable[int] = ()) -> None:
        self.context = ControllerContext(epoch=5, epoch_zk_version=6)
        self.zxid = 1000
        self.nodes: dict[Key, Leadership] = {}
        self.assignments: dict[str, dict[int, Assignment]] = {}
        self.sent: list[tuple[int, ControlMessage]] = []
        self.unclean: set[str] = set()
        self.asked_unclean: list[frozenset[str]] = []
        self.writes: list[StateWrite] = []
        # Called before a write, so that somebody else can be quicker.
        self.before_write: Callable[[StateWrite], None] = lambda write: None
        for broker in brokers:
            self.context.put_broker(live(broker, self.next_zxid()))

    def next_zxid(self) -> int:
        self.zxid += 1
        return self.zxid

    def run(self, flow: Flow[T]) -> T:
        """Carries a flow out."""
        reply: object = None
        while True:
            try:
                command = flow.send(reply)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            reply = None
            if isinstance(command, WriteStates):
                assert len({write.key for write in command.writes}) == len(command.writes)
                reply = {write.key: self._write(write) for write in command.writes}
            elif isinstance(command, WriteAssignments):
                self.next_zxid()
                self.assignments[command.topic] = dict(command.partitions)
            elif isinstance(command, SendBatch):
                assert command.batch
                self.sent.extend(command.batch.requests(CONTROLLER, "INNER"))
            elif isinstance(command, ReadUnclean):
                self.asked_unclean.append(command.topics)
                reply = command.topics & self.unclean

    def _write(self, write: StateWrite) -> WriteResult:
        self.before_write(write)
        now = self.nodes.get(write.key)
        if write.expected is None:
            if now is not None:
                return Stale(now)
            version = 0
        elif now is None or now.partition_epoch != write.expected:
            return Stale(now)
        else:
            version = now.partition_epoch + 1
        self.writes.append(write)
        self.nodes[write.key] = replace(write.leadership, partition_epoch=version, zxid=self.next_zxid())
        return Written(version, self.zxid)

    def create(self, topic: str, *replicas: Sequence[int]) -> None:
        """Makes a topic; nothing of that is left in `sent`."""
        self.context.put_topic(topic, topic.encode().ljust(16, b"-"))
        for number, ids in enumerate(replicas):
            self.context.put_assignment((topic, number), Assignment(tuple(ids)))
        self.assignments[topic] = dict(self.context.topics[topic])
        self.run(create_partitions(self.context, self.context.partitions_of(topic)))
        self.forget()

    def put_state(self, key: Key, leader: int, isr: Collection[int], **fields: int) -> None:
        """Has a state stored as if it had come about long ago."""
        now = replace(self.nodes[key], leader=leader, isr=tuple(isr), **fields)  # type: ignore[arg-type]
        self.nodes[key] = now
        self.context.put_leadership(key, now)

    def state(self, key: Key) -> tuple[int, int, tuple[int, ...]]:
        """Leader, leader epoch and in-sync set; the context and the tree agree on them."""
        now = self.nodes[key]
        assert self.context.leadership(key) == now
        return now.leader, now.leader_epoch, now.isr

    def forget(self) -> None:
        self.sent.clear()
        self.writes.clear()

    def told_to_lead(self, key: Key) -> dict[int, LeaderAndIsrPartitionState]:
        """What brokers were last told in LeaderAndIsr of a partition."""
        return {
            broker: state
            for broker, message in self.sent
            if isinstance(message, LeaderAndIsrRequest)
            for topic in message.topic_states
            for state in topic.partition_states
            if (topic.topic_name, state.partition_index) == key
        }

    def told_metadata(self, key: Key) -> dict[int, UpdateMetadataPartitionState]:
        """What brokers were last told in UpdateMetadata of a partition."""
        return {
            broker: state
            for broker, message in self.sent
            if isinstance(message, UpdateMetadataRequest)
            for topic in message.topic_states
            for state in topic.partition_states
            if (topic.topic_name, state.partition_index) == key
        }

    def told_to_stop(self, key: Key) -> dict[int, StopReplicaPartitionState]:
        """What brokers were last told in StopReplica of a partition."""
        return {
            broker: state
            for broker, message in self.sent
            if isinstance(message, StopReplicaRequest)
            for topic in message.topic_states
            for state in topic.partition_states
            if (topic.topic_name, state.partition_index) == key
        }

    def updated(self) -> list[int]:
        """Brokers that got UpdateMetadata, in order."""
        return [broker for broker, message in self.sent if isinstance(message, UpdateMetadataRequest)]
