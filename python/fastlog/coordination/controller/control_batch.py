"""What one decision has the brokers told: LeaderAndIsr, UpdateMetadata and StopReplica, one request of each
kind for a broker (`ControllerBrokerRequestBatch`).

| request        | to                             | partitions                                        |
|----------------|--------------------------------|---------------------------------------------------|
| LeaderAndIsr   | those named with `lead`        | these; leaders among them with their endpoint     |
| UpdateMetadata | all registered, after a `lead` | those of `lead` and of `update`, with the brokers |
| StopReplica    | those named with `stop`        | these, with the leader epoch of that moment       |

Only registered brokers are told anything, with their epoch of the moment in which the requests are made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from fastlog.coordination.controller.context import ControllerContext
from fastlog.coordination.controller.data import DURING_DELETION, NO_LEADER, Leadership
from fastlog.coordination.controller.flow import in_turns
from fastlog.replication.partition import PartitionKey
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

ControlMessage = LeaderAndIsrRequest | UpdateMetadataRequest | StopReplicaRequest


class ControlRequest(NamedTuple):
    """A request for one broker. Requests share what is in them: nobody may change it."""

    broker: int
    message: ControlMessage


class ControlBatch:
    """Filled while a change is decided, then made into requests once."""

    def __init__(self, context: ControllerContext) -> None:
        self._context = context
        self._leading: dict[int, dict[PartitionKey, LeaderAndIsrPartitionState]] = {}
        self._stopping: dict[int, dict[PartitionKey, StopReplicaPartitionState]] = {}
        self._updated: dict[int, None] = {}
        self._changed: dict[PartitionKey, None] = {}

    def __bool__(self) -> bool:
        """Whether anybody is told anything."""
        return bool(self._leading or self._stopping or self._updated)

    def lead(self, brokers: Iterable[int], key: PartitionKey, *, is_new: bool) -> None:
        """Tells brokers the partition's leadership and assignment, and all brokers its metadata.

        `is_new` replicas may be made although a directory is offline. Once said of a broker, it stays.
        """
        leadership = self._context.leadership(key)
        if leadership is None:
            return
        state = self._leader_and_isr(key, leadership, is_new=is_new)
        for broker in brokers:
            states = self._leading.setdefault(broker, {})
            before = states.get(key)
            if before is not None and before.is_new and not is_new:
                states[key] = replace(state, is_new=True)
            else:
                states[key] = state
        self.update_all((key,))

    def stop(self, brokers: Iterable[int], key: PartitionKey, *, delete: bool) -> None:
        """Tells brokers to give up a replica, or to delete it. Once said that it is deleted, it stays so."""
        leadership = self._context.leadership(key)
        if key[0] in self._context.deleting:
            epoch = DURING_DELETION
        else:
            epoch = NO_LEADER if leadership is None else leadership.leader_epoch
        for broker in brokers:
            states = self._stopping.setdefault(broker, {})
            before = states.get(key)
            deleted = delete or (before is not None and before.delete_partition)
            states[key] = StopReplicaPartitionState(key[1], epoch, deleted)

    def update(self, brokers: Iterable[int], keys: Iterable[PartitionKey]) -> None:
        """Tells brokers which brokers there are, and the metadata of all partitions named to this batch."""
        self._updated.update(dict.fromkeys(brokers))
        self._changed.update(dict.fromkeys(keys))

    def update_all(self, keys: Iterable[PartitionKey]) -> None:
        """The same for all registered brokers."""
        self.update(self._context.brokers, keys)

    def requests(self, controller_id: int, listener: str) -> Iterator[ControlRequest]:
        """The requests in the order in which they are to be sent: each broker gets its three in this order.

        `listener` is the one that brokers use among themselves.
        """
        return (step for step in self.steps(controller_id, listener) if step is not None)

    def steps(self, controller_id: int, listener: str) -> Iterator[ControlRequest | None]:
        """The same, with None where others may have a turn; nothing may change the context meanwhile."""
        yield from self._leader_and_isr_requests(controller_id, listener)
        yield from self._update_metadata_requests(controller_id)
        yield from self._stop_replica_requests(controller_id)

    def _leader_and_isr_requests(self, controller_id: int, listener: str) -> Iterator[ControlRequest]:
        for broker, states in self._leading.items():
            registered = self._context.brokers.get(broker)
            if registered is None:
                continue
            topics: dict[str, list[LeaderAndIsrPartitionState]] = {}
            for (topic, _), state in states.items():
                topics.setdefault(topic, []).append(state)
            yield ControlRequest(
                broker,
                LeaderAndIsrRequest(
                    controller_id=controller_id,
                    controller_epoch=self._context.epoch,
                    broker_epoch=registered.epoch,
                    topic_states=[
                        LeaderAndIsrTopicState(topic, self._context.topic_id(topic), of_topic)
                        for topic, of_topic in topics.items()
                    ],
                    live_leaders=self._live_leaders({state.leader for state in states.values()}, listener),
                ),
            )

    def _live_leaders(self, leaders: set[int], listener: str) -> list[LeaderAndIsrLiveLeader]:
        found = []
        for broker in sorted(leaders & self._context.brokers.keys()):
            endpoint = self._context.brokers[broker].endpoint(listener)
            if endpoint is not None:
                found.append(LeaderAndIsrLiveLeader(broker, endpoint.host, endpoint.port))
        return found

    def _update_metadata_requests(self, controller_id: int) -> Iterator[ControlRequest | None]:
        receivers = [broker for broker in self._updated if broker in self._context.brokers]
        if not receivers:
            return
        topics: dict[str, list[UpdateMetadataPartitionState]] = {}
        for key, due in in_turns(self._changed):
            if due:
                yield None
            leadership = self._context.leadership(key)
            if leadership is not None:
                topics.setdefault(key[0], []).append(self._metadata(key, leadership))
        topic_states = [
            UpdateMetadataTopicState(topic, self._context.topic_id(topic), states)
            for topic, states in topics.items()
        ]
        live_brokers = [
            UpdateMetadataBroker(
                id_=broker.id,
                endpoints=[
                    UpdateMetadataEndpoint(endpoint.port, endpoint.host, endpoint.listener, endpoint.protocol)
                    for endpoint in broker.endpoints
                ],
                rack=broker.rack,
            )
            for broker in self._context.brokers.values()
        ]
        for receiver in receivers:
            yield ControlRequest(
                receiver,
                UpdateMetadataRequest(
                    controller_id=controller_id,
                    controller_epoch=self._context.epoch,
                    broker_epoch=self._context.brokers[receiver].epoch,
                    topic_states=topic_states,
                    live_brokers=live_brokers,
                ),
            )

    def _stop_replica_requests(self, controller_id: int) -> Iterator[ControlRequest]:
        for broker, states in self._stopping.items():
            registered = self._context.brokers.get(broker)
            if registered is None:
                continue
            topics: dict[str, list[StopReplicaPartitionState]] = {}
            for (topic, _), state in states.items():
                topics.setdefault(topic, []).append(state)
            yield ControlRequest(
                broker,
                StopReplicaRequest(
                    controller_id=controller_id,
                    controller_epoch=self._context.epoch,
                    broker_epoch=registered.epoch,
                    topic_states=[
                        StopReplicaTopicState(topic, of_topic) for topic, of_topic in topics.items()
                    ],
                ),
            )

    def _leader_and_isr(
        self, key: PartitionKey, leadership: Leadership, *, is_new: bool
    ) -> LeaderAndIsrPartitionState:
        assignment = self._context.assignment(key)
        return LeaderAndIsrPartitionState(
            partition_index=key[1],
            controller_epoch=leadership.controller_epoch,
            leader=leadership.leader,
            leader_epoch=leadership.leader_epoch,
            isr=list(leadership.isr),
            partition_epoch=leadership.partition_epoch,
            replicas=list(assignment.replicas),
            adding_replicas=list(assignment.adding),
            removing_replicas=list(assignment.removing),
            is_new=is_new,
            leader_recovery_state=int(leadership.recovering),
        )

    def _metadata(self, key: PartitionKey, leadership: Leadership) -> UpdateMetadataPartitionState:
        replicas = self._context.assignment(key).replicas
        deleted = key[0] in self._context.deleting
        return UpdateMetadataPartitionState(
            partition_index=key[1],
            controller_epoch=leadership.controller_epoch,
            leader=DURING_DELETION if deleted else leadership.leader,
            leader_epoch=0 if deleted else leadership.leader_epoch,
            isr=list(leadership.isr),
            zk_version=0 if deleted else leadership.partition_epoch,
            replicas=list(replicas),
            offline_replicas=[replica for replica in replicas if not self._context.is_online(replica, key)],
        )
