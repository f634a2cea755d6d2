"""Does what the controller says: LeaderAndIsr, UpdateMetadata and StopReplica, one after the other.

| request        | what it changes                                                                        |
|----------------|----------------------------------------------------------------------------------------|
| LeaderAndIsr   | what is assigned to this broker; the reconciler brings its partitions to that          |
| UpdateMetadata | the cluster's view: brokers are replaced, partitions merged, leader -2 removes          |
| StopReplica    | with deletion what is assigned, and the disk; without, a partition follows nobody       |

A request may come several times, also to a broker that has been started again meanwhile: it names the broker
epoch of its receiver, and the epoch of the controller that sends it (KAFKA-6082, KAFKA-7235).
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from typing import Final

from fastlog.base.uuids import ZERO_UUID
from fastlog.coordination.cluster_view import ClusterView, PartitionState, TopicState
from fastlog.coordination.lifecycle import TopicObserver
from fastlog.coordination.member import assigned, cluster_updates, former_topic
from fastlog.coordination.member.disk import directory_id, give_up_lost, on_disk
from fastlog.coordination.member.overrides import Overrides, TopicOverrides
from fastlog.errors import ErrorCode
from fastlog.replication.partition import PartitionKey
from fastlog.replication.reconciler import FAILURES, PARALLEL_PARTITIONS, Outcome, Reconciler
from fastlog.replication.replica_manager import ReplicaManager
from fastlog.storage.disk_jobs import in_parallel, in_parts
from fastlog.storage.log_manager import LogManager
from fastlog.wire.messages.leader_and_isr import (
    LeaderAndIsrPartitionError,
    LeaderAndIsrRequest,
    LeaderAndIsrResponse,
    LeaderAndIsrTopicError,
    LeaderAndIsrTopicState,
)
from fastlog.wire.messages.stop_replica import (
    StopReplicaPartitionError,
    StopReplicaRequest,
    StopReplicaResponse,
)
from fastlog.wire.messages.update_metadata import UpdateMetadataRequest, UpdateMetadataResponse

_LOG: Final = logging.getLogger(__name__)
_PARTITIONS_PER_TURN: Final = 200
_TOPICS_PER_PART: Final = 100
"""Topics whose partitions are brought to new states at a time: a broker that starts is told of thousands."""
_ANY_EPOCH: Final = -1
_FORGET_SECONDS: Final = 5.0
"""How long an UpdateMetadata waits for the offsets of deleted topics to be removed: that goes on then."""


class ControlReceiver:
    """Used on the event loop, by the controller's connection or by the controller in this process.

    `broker_epoch` gives that of this broker's registration, -1 before it. `on_view` is called when the view
    has changed. `partitions_of` reads how many partitions a topic has: which of them a group is in depends
    on that, and the controller does not speak of those that never had a leader. `topic_id_of` reads the id of
    a topic.
    """

    def __init__(
        self,
        *,
        node_id: int,
        view: ClusterView,
        reconciler: Reconciler[TopicState],
        logs: LogManager,
        replicas: ReplicaManager,
        overrides: TopicOverrides,
        broker_epoch: Callable[[], int],
        on_view: Callable[[cluster_updates.Changed], object],
        partitions_of: Callable[[str], Coroutine[None, None, int]],
        topic_id_of: Callable[[str], Coroutine[None, None, bytes | None]],
    ) -> None:
        self.controller_epoch = 0
        """The highest that a request has named."""
        self.has_heard_of_topics = False
        """Whether an UpdateMetadata has named any."""
        self._node_id = node_id
        self._view = view
        self._reconciler = reconciler
        self._logs = logs
        self._replicas = replicas
        self._overrides = overrides
        self._broker_epoch = broker_epoch
        self._on_view = on_view
        self._partitions_of = partitions_of
        self._topic_id_of = topic_id_of
        self._observer: TopicObserver | None = None
        self._lock = asyncio.Lock()
        self._forgetting: set[asyncio.Task[None]] = set()

    def observe(self, observer: TopicObserver) -> None:
        """Tells `observer` what becomes of topics from now on."""
        self._observer = observer

    async def leader_and_isr(self, request: LeaderAndIsrRequest) -> LeaderAndIsrResponse:
        """Leads and follows as the controller says; a code for each partition. Raises StoreError."""
        async with self._lock:
            if error := self._refused(request):
                return LeaderAndIsrResponse(error_code=int(error))
            codes: dict[PartitionKey, ErrorCode] = {}
            wanted: dict[str, dict[int, PartitionState]] = {}
            ids = {topic.topic_name: topic.topic_id for topic in request.topic_states}
            looked_at = 0
            for topic in request.topic_states:
                await self._make_room(topic)
                known = self._reconciler.view.get(topic.topic_name)
                for partition in topic.partition_states:
                    number = partition.partition_index
                    disk = on_disk(self._logs, topic.topic_name, number)
                    code = assigned.assignment_error(partition, topic.topic_id, self._node_id, known, disk)
                    codes[topic.topic_name, number] = code
                    if code is ErrorCode.NONE:
                        if partition.leader != self._node_id:
                            give_up_lost(self._logs, topic.topic_name, number)
                        state = assigned.state_of(partition)
                        wanted.setdefault(topic.topic_name, {})[number] = state
                    elif disk.is_lost and code is ErrorCode.KAFKA_STORAGE_ERROR:
                        self._note_lost(topic.topic_name, number, topic.topic_id)
                    looked_at += 1
                    if not looked_at % _PARTITIONS_PER_TURN:
                        await asyncio.sleep(0)
            # Of all, first: what has been assigned when this fails would be refused as old the next time.
            await self._overrides.need({name: ids[name] for name in wanted})
            for some in in_parts(wanted.items(), _TOPICS_PER_PART):
                codes |= await self._assign(ids, dict(some))
                await asyncio.sleep(0)
            return LeaderAndIsrResponse(
                topics=[
                    LeaderAndIsrTopicError(
                        topic.topic_id,
                        [
                            LeaderAndIsrPartitionError(
                                partition_index=part.partition_index,
                                error_code=int(codes[topic.topic_name, part.partition_index]),
                            )
                            for part in topic.partition_states
                        ],
                    )
                    for topic in request.topic_states
                ]
            )

    async def update_metadata(self, request: UpdateMetadataRequest) -> UpdateMetadataResponse:
        """Shows the cluster as the controller sees it. Raises StoreError."""
        async with self._lock:
            if error := self._refused(request):
                return UpdateMetadataResponse(error_code=int(error))
            self._view.set_controller(request.controller_id)
            self._view.set_brokers(cluster_updates.brokers_of(request))
            gone: list[TopicState] = []
            for some in cluster_updates.in_turns(request.topic_states, _PARTITIONS_PER_TURN):
                present = {
                    topic.topic_name: topic.topic_id for topic in some if cluster_updates.is_present(topic)
                }
                await self._overrides.need(present)
                changed = cluster_updates.merged(self._view.snapshot.topics, some, self._overrides.get)
                await self._pad(changed.put)
                self._view.remove_topics(topic.name for topic in changed.gone)
                if changed.put:
                    self._view.put_topics(changed.put)
                for topic in changed.gone:
                    self._overrides.forget(topic.name)
                gone += changed.gone
                self.has_heard_of_topics = True
                self._on_view(changed)
                await asyncio.sleep(0)
            if not request.topic_states:
                self._on_view(cluster_updates.Changed([], []))
            if gone and self._observer is not None:
                await self._forget_deleted(self._observer, gone)
            return UpdateMetadataResponse()

    async def stop_replica(self, request: StopReplicaRequest) -> StopReplicaResponse:
        """Gives up partitions, or deletes them; a code for each."""
        async with self._lock:
            if error := self._refused(request):
                return StopReplicaResponse(error_code=int(error))
            codes: dict[PartitionKey, ErrorCode] = {}
            delete: list[PartitionKey] = []
            stop: list[PartitionKey] = []
            for topic in request.topic_states:
                known = self._reconciler.view.get(topic.topic_name)
                for partition in topic.partition_states:
                    key = topic.topic_name, partition.partition_index
                    is_offline = (
                        self._logs.offline_reason(*key) is not None and not partition.delete_partition
                    )
                    codes[key] = assigned.stop_error(
                        partition.leader_epoch, known, partition.partition_index, offline=is_offline
                    )
                    if codes[key] is ErrorCode.NONE:
                        (delete if partition.delete_partition else stop).append(key)
            for some in in_parts(stop, _PARTITIONS_PER_TURN):
                codes |= await self._stop(some)
            for some in in_parts(delete, _PARTITIONS_PER_TURN):
                codes |= await self._delete(some)
            return StopReplicaResponse(
                partition_errors=[
                    StopReplicaPartitionError(topic, number, int(code))
                    for (topic, number), code in codes.items()
                ]
            )

    async def set_overrides(self, changed: Mapping[str, Overrides]) -> dict[str, Exception]:
        """The overrides of topics are others now: in the view, and for the partitions of this broker.

        Returns which topics did not take them here.
        """
        async with self._lock:
            changed = {name: values for name, values in changed.items() if self._overrides.put(name, values)}
            self._view.put_topics(
                [
                    replace(topic, configs=self._overrides.get(name))
                    for name in changed
                    if (topic := self._view.topics.get(name)) is not None
                ]
            )
            here = self._reconciler.view
            updated = {
                name: replace(here[name], configs=self._overrides.get(name))
                for name in changed
                if name in here
            }
            outcome = await self._reconciler.apply(here.updated(updated), each_on_its_own=True)
            return dict(outcome.unconfigured)

    async def configure_all(self) -> None:
        """The broker's defaults of topics are others now."""
        async with self._lock:
            await self._reconciler.configure_all()

    async def close(self) -> None:
        """Waits for what is under way."""
        async with self._lock:
            while self._forgetting:
                await asyncio.wait(self._forgetting)

    async def _pad(self, topics: list[TopicState]) -> None:
        for index, topic in enumerate(topics):
            if topic.internal and topic.name not in self._view.topics:
                topics[index] = cluster_updates.padded(topic, await self._partitions_of(topic.name))

    def _refused(
        self, request: LeaderAndIsrRequest | UpdateMetadataRequest | StopReplicaRequest
    ) -> ErrorCode:
        """Notes the epoch of a controller that may give orders; why this one may not, or NONE."""
        if _ANY_EPOCH < request.broker_epoch < self._broker_epoch():
            return ErrorCode.STALE_BROKER_EPOCH
        if request.controller_epoch < self.controller_epoch:
            _LOG.warning(
                "a request of controller %d in epoch %d, which is over: it is in %d now",
                *(request.controller_id, request.controller_epoch, self.controller_epoch),
            )
            return ErrorCode.STALE_CONTROLLER_EPOCH
        self.controller_epoch = request.controller_epoch
        return ErrorCode.NONE

    async def _assign(
        self, ids: Mapping[str, bytes], wanted: Mapping[str, Mapping[int, PartitionState]]
    ) -> dict[PartitionKey, ErrorCode]:
        """Brings partitions to new states; those that could not be, with their codes."""
        before = self._reconciler.view
        changed: dict[str, TopicState] = {}
        for name, states in wanted.items():
            changed[name] = assigned.with_partitions(
                before.get(name), name, ids[name], states, self._overrides.get(name)
            )
        outcome = await self._reconciler.apply(before.updated(changed), each_on_its_own=True)
        self._tell(outcome, {(name, number) for name, states in wanted.items() for number in states})
        return self._failed(outcome)

    async def _make_room(self, topic: LeaderAndIsrTopicState) -> None:
        """A topic of another id that is of this name no more, as the tree has it, is set aside."""
        name, topic_id = topic.topic_name, topic.topic_id
        numbers = (partition.partition_index for partition in topic.partition_states)
        former = former_topic.of(self._reconciler, self._logs, name, topic_id, numbers)
        if not former or topic_id == ZERO_UUID or await self._topic_id_of(name) != topic_id:
            return
        if self._observer is not None:
            for key in former_topic.assigned_of(self._reconciler, name, topic_id):
                self._observer.on_partition_resigned(*key)
        await former_topic.set_aside(self._reconciler, self._logs, name, former)

    async def _stop(self, keys: Iterable[PartitionKey]) -> dict[PartitionKey, ErrorCode]:
        """Partitions follow nobody from now on, in the epoch that they are in: their logs stay."""
        view = self._reconciler.view
        changed: dict[str, TopicState] = {}
        stopped: set[PartitionKey] = set()
        for name, number in keys:
            topic = changed.get(name) or view.get(name)
            if topic is None or assigned.known_epoch(topic, number) < 0:
                continue
            state = replace(topic.partitions[number], leader=-1)
            changed[name] = assigned.with_partitions(
                topic, name, topic.topic_id, {number: state}, topic.configs
            )
            stopped.add((name, number))
        if not changed:
            return {}
        outcome = await self._reconciler.apply(view.updated(changed), each_on_its_own=True)
        self._tell(outcome, stopped)
        return self._failed(outcome)

    async def _delete(self, keys: Iterable[PartitionKey]) -> dict[PartitionKey, ErrorCode]:
        view = self._reconciler.view
        numbers: defaultdict[str, set[int]] = defaultdict(set)
        leftovers: list[PartitionKey] = []
        gone: list[tuple[TopicState, int]] = []
        for name, number in keys:
            topic = view.get(name)
            if topic is None or assigned.known_epoch(topic, number) < 0:
                leftovers.append((name, number))
                continue
            numbers[name].add(number)
            gone.append((topic, number))
            if self._observer is not None:
                self._observer.on_partition_resigned(name, number)
        after = {name: assigned.without_partitions(view[name], frozenset(of)) for name, of in numbers.items()}
        view = view.updated({name: topic for name, topic in after.items() if topic is not None})
        view = view.without(name for name, topic in after.items() if topic is None)
        outcome = await self._reconciler.delete(view, gone)
        failed = self._failed(outcome)

        async def remove(key: PartitionKey) -> None:
            topic_id = directory_id(self._logs, *key)
            if topic_id is not None:
                try:
                    await self._logs.delete(*key, topic_id)
                except FAILURES as error:
                    _LOG.warning("%s-%d cannot be deleted: %s", *key, error)
                    failed[key] = ErrorCode.KAFKA_STORAGE_ERROR

        await in_parallel(PARALLEL_PARTITIONS, leftovers, remove)
        return failed

    def _tell(self, outcome: Outcome, changed: set[PartitionKey]) -> None:
        if self._observer is None:
            return
        led = set(outcome.led)
        for key in changed - led:
            self._observer.on_partition_resigned(*key)
        for key in outcome.led:
            self._observer.on_partition_led(*key)

    def _failed(self, outcome: Outcome) -> dict[PartitionKey, ErrorCode]:
        """The controller takes these for offline from now on, and so must everybody here."""
        for key, error in sorted(outcome.failed.items()):
            _LOG.error("%s-%d is offline, as its controller is told: %s", *key, error)
            replica = self._replicas.find(key)
            if replica is not None:
                replica.take_offline()
        return dict.fromkeys(outcome.failed, ErrorCode.KAFKA_STORAGE_ERROR)

    def _note_lost(self, topic: str, partition: int, topic_id: bytes) -> None:
        if self._logs.offline_reason(topic, partition) is None:
            self._logs.note_missing(topic, partition, topic_id)
            _LOG.error(
                "%s-%d stays offline: %s. Bring its directory back, or start with --allow-data-loss to begin "
                "it anew, empty",
                *(topic, partition, self._logs.offline_reason(topic, partition)),
            )

    async def _forget_deleted(self, observer: TopicObserver, gone: Iterable[TopicState]) -> None:
        """Offsets of a deleted topic must not become those of another one of its name: it is waited for."""

        async def forget() -> None:
            for topic in gone:
                try:
                    await observer.on_topic_deleted(topic)
                except Exception:  # noqa: BLE001 - the topic is gone, whatever is left of it elsewhere
                    _LOG.exception("what groups have of topic %s stays", topic.name)

        task = asyncio.create_task(forget())
        self._forgetting.add(task)
        task.add_done_callback(self._forgetting.discard)
        await asyncio.wait([task], timeout=_FORGET_SECONDS)
