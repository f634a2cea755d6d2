"""Does what the controller says: LeaderAndIsr, UpdateMetadata and StopReplica, one after the other.

| request        | what it changes                                                                        |
|----------------|----------------------------------------------------------------------------------------|
| LeaderAndIsr   | what is assigned to this broker; the reconciler brings its partitions to that          |
| UpdateMetadata | the cluster's view: brokers are replaced, partitions merged, leader -2 removes          |
| StopReplica    | with deletion what is assigned, and the disk; without, a partition follows nobody       |

A request may come several times, also to a broker that has been started again meanwhile: it names the broker
epoch of its receiver, and the epoch of the controller that sends it (`controller_fence`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from fastlog.base.uuids import ZERO_UUID
from fastlog.coordination.cluster_view import ClusterView, PartitionState, TopicState
from fastlog.coordination.controller.events import Turns
from fastlog.coordination.lifecycle import TopicObserver
from fastlog.coordination.member import assigned, cluster_updates, former_topic
from fastlog.coordination.member.controller_fence import ControllerFence
from fastlog.coordination.member.disk import directory_id, give_up_lost, on_disk
from fastlog.coordination.member.obstacles import Obstacles
from fastlog.coordination.member.overrides import Overrides, TopicOverrides
from fastlog.coordination.member.possible import Possible, placed_nowhere
from fastlog.coordination.member.sorted_out import SortedOut, refusal
from fastlog.errors import ErrorCode, FastlogError
from fastlog.replication.partition import PartitionKey
from fastlog.replication.reconciler import FAILURES, PARALLEL_PARTITIONS, Outcome, Reconciler
from fastlog.replication.replica_manager import ReplicaManager
from fastlog.storage.disk_jobs import in_parallel, in_parts
from fastlog.storage.log_manager import LogManager
from fastlog.wire.messages.leader_and_isr import (
    LeaderAndIsrPartitionState,
    LeaderAndIsrRequest,
    LeaderAndIsrResponse,
    LeaderAndIsrTopicState,
)
from fastlog.wire.messages.stop_replica import (
    StopReplicaPartitionError,
    StopReplicaRequest,
    StopReplicaResponse,
)
from fastlog.wire.messages.update_metadata import (
    UpdateMetadataRequest,
    UpdateMetadataResponse,
    UpdateMetadataTopicState,
)

_LOG: Final = logging.getLogger(__name__)
_PARTITIONS_PER_TURN: Final = 200
_TOPICS_PER_PART: Final = 100
"""Topics whose partitions are brought to new states at a time: a broker that starts is told of thousands."""
_FORGET_SECONDS: Final = 5.0
"""How long an UpdateMetadata waits for the offsets of deleted topics to be removed: that goes on then."""


class ControlReceiver:
    """Used on the event loop, by the controller's connection or by the controller in this process.

    `broker_epoch` gives that of this broker's registration, -1 before it. `on_view` is called when the view
    has changed, or partitions here. `partitions_of` reads how many partitions a topic has: which of them a
    group is in depends on that, and the controller does not speak of those that never had a leader.
    `made_at` reads when partitions were led for the first time, as the zxid of that; `topic_id_of` reads the
    id of a topic. `on_failure` is called when partitions could not be had.
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
        fence: ControllerFence,
        on_view: Callable[[cluster_updates.Changed], object],
        partitions_of: Callable[[str], Coroutine[None, None, int]],
        made_at: Callable[[Sequence[PartitionKey]], Coroutine[None, None, Mapping[PartitionKey, int]]],
        topic_id_of: Callable[[str], Coroutine[None, None, bytes | None]],
        on_failure: Callable[[], object] = lambda: None,
    ) -> None:
        self.fence: Final = fence
        """Which controllers are obeyed."""
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
        self._made_at = made_at
        self._topic_id_of = topic_id_of
        self._observer: TopicObserver | None = None
        self._obstacles = Obstacles(logs, on_failure)
        self._under_way: set[str] = set()
        """Topics whose partitions are being brought to new states."""
        self._lock = asyncio.Lock()
        self._forgetting: set[asyncio.Task[None]] = set()

    def observe(self, observer: TopicObserver) -> None:
        """Tells `observer` what becomes of topics from now on."""
        self._observer = observer

    async def leader_and_isr(self, request: LeaderAndIsrRequest) -> LeaderAndIsrResponse:
        """Leads and follows as the controller says; a code for each partition. Raises StoreError."""
        async with self._lock:
            if error := await self.fence.refused(request):
                return await refusal(request, error)
            found = await self._sort_out(request)
            if found.suspects:
                await self._find_lost(found)
            # Of all, first: what has been assigned when this fails would be refused as old the next time.
            await self._overrides.need({name: found.ids[name] for name in found.wanted})
            for some in in_parts(found.wanted.items(), _TOPICS_PER_PART):
                found.codes |= await self._assign(found.ids, dict(some))
                await asyncio.sleep(0)
            self._on_view(cluster_updates.Changed([], []))
            return await found.answer(request)

    async def update_metadata(self, request: UpdateMetadataRequest) -> UpdateMetadataResponse:
        """Shows the cluster as the controller sees it. Raises StoreError."""
        async with self._lock:
            if error := await self.fence.refused(request):
                return UpdateMetadataResponse(error_code=int(error))
            self._view.set_controller(request.controller_id)
            self._view.set_brokers(cluster_updates.brokers_of(request))
            gone: list[TopicState] = []
            topics = await self._possible(request)
            for some in cluster_updates.in_turns(topics, _PARTITIONS_PER_TURN):
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
            if not topics:
                self._on_view(cluster_updates.Changed([], []))
            if gone and self._observer is not None:
                await self._forget_deleted(self._observer, gone)
            return UpdateMetadataResponse()

    async def stop_replica(self, request: StopReplicaRequest) -> StopReplicaResponse:
        """Gives up partitions, or deletes them; a code for each."""
        async with self._lock:
            if error := await self.fence.refused(request):
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

    def why_not_led(self, topic: str) -> Exception | None:
        """What kept this broker from leading, or following, a partition of a topic as it was told to."""
        return next(iter(self._obstacles.of(topic).values()), None)

    def has_taken(self, topic: TopicState) -> bool:
        """Whether this broker leads what the view says that it leads of a topic, or has met an obstacle.

        The view may be told first.
        """
        if topic.name in self._under_way:
            return False
        here, failures = self._reconciler.view.get(topic.name), self._obstacles.of(topic.name)
        return all(
            partition.leader != self._node_id
            or number in failures
            or assigned.known_epoch(here, number) >= partition.leader_epoch
            for number, partition in enumerate(topic.partitions)
        )

    @property
    def may_try_again(self) -> bool:
        """Whether there are such partitions, or some not deleted, whose log directories are not offline."""
        return self._obstacles.may_try_again

    async def close(self) -> None:
        """Waits for what is under way."""
        async with self._lock:
            while self._forgetting:
                await asyncio.wait(self._forgetting)

    async def _pad(self, topics: list[TopicState]) -> None:
        for index, topic in enumerate(topics):
            if topic.internal and topic.name not in self._view.topics:
                topics[index] = cluster_updates.padded(topic, await self._partitions_of(topic.name))

    async def _sort_out(self, request: LeaderAndIsrRequest) -> SortedOut:
        """What of a request counts, and why the rest does not."""
        others = {leader.broker_id for leader in request.live_leaders} - {self._node_id}
        found = SortedOut()
        possible, turns = Possible(), Turns(_PARTITIONS_PER_TURN)
        for topic in request.topic_states:
            known = self._reconciler.view.get(topic.topic_name)
            numbers = (partition.partition_index for partition in topic.partition_states)
            error = possible.problem(topic.topic_name, numbers, known)
            if error is ErrorCode.NONE and topic.topic_name not in found.ids:
                await self._make_room(topic)
                known = self._reconciler.view.get(topic.topic_name)
            if error is ErrorCode.NONE and not found.is_of(topic, known):
                error = ErrorCode.INCONSISTENT_TOPIC_ID
            found.refused.append(error)
            if error is not ErrorCode.NONE:
                self._log_refused(request.controller_id, topic.topic_name, error)
                continue
            for partition in topic.partition_states:
                self._sort_in(found, topic, partition, known, has_source=partition.leader in others)
                await turns.step()
        return found

    def _sort_in(
        self,
        found: SortedOut,
        topic: LeaderAndIsrTopicState,
        partition: LeaderAndIsrPartitionState,
        known: TopicState | None,
        *,
        has_source: bool,
    ) -> None:
        name, number = topic.topic_name, partition.partition_index
        disk = on_disk(self._logs, name, number)
        code = assigned.assignment_error(
            partition, topic.topic_id, self._node_id, known, disk, has_source=has_source
        )
        if code is ErrorCode.NONE:
            states = found.wanted.setdefault(name, {})
            if number in states and states[number].leader_epoch > partition.leader_epoch:
                # The request names it twice.
                return
            if has_source:
                give_up_lost(self._logs, name, number)
            states[number] = assigned.state_of(partition)
            if assigned.may_be_lost(partition, disk, has_source=has_source):
                found.suspects.append((name, number))
        elif code is ErrorCode.KAFKA_STORAGE_ERROR:
            if disk.is_lost:
                self._note_lost(name, number, topic.topic_id)
            self._obstacles.note_refused(name, number)
        found.codes[name, number] = code

    async def _find_lost(self, found: SortedOut) -> None:
        """Whether partitions that are not here were led before this life of the broker. Raises StoreError.

        One that was made in it, by a controller that died before it could say that it is new, has nothing
        that could be lost.
        """
        made = await self._made_at(found.suspects)
        lost = {
            (name, number): found.ids[name]
            for name, number in found.suspects
            if 0 < made.get((name, number), 0) < self._broker_epoch()
        }
        if not lost:
            return
        for name, number in lost:
            found.wanted[name].pop(number, None)
            found.codes[name, number] = ErrorCode.KAFKA_STORAGE_ERROR
            self._obstacles.note_refused(name, number)
        await self._logs.note_lost(lost)
        _LOG.error(
            "%d partitions stay offline, among them %s: they were led before, and a log directory was empty "
            "when this broker started. Bring its directory back; or have others lead them (elect --unclean), "
            "and start this broker again; or start it with --allow-data-loss to begin them anew, empty",
            len(lost),
            ", ".join(f"{name}-{number}" for name, number in list(lost)[:10]),
        )

    async def _possible(self, request: UpdateMetadataRequest) -> list[UpdateMetadataTopicState]:
        """Topics without those that cannot be: views have no place for them."""
        possible, turns = Possible(), Turns(_PARTITIONS_PER_TURN)
        found: list[UpdateMetadataTopicState] = []
        for topic in request.topic_states:
            numbers = (partition.partition_index for partition in topic.partition_states)
            error = possible.problem(topic.topic_name, numbers, self._view.topics.get(topic.topic_name))
            if error is ErrorCode.NONE and any(map(placed_nowhere, topic.partition_states)):
                error = ErrorCode.INVALID_REPLICA_ASSIGNMENT
            if error is ErrorCode.NONE:
                found.append(topic)
            else:
                self._log_refused(request.controller_id, topic.topic_name, error)
            await turns.step()
        return found

    @staticmethod
    def _log_refused(controller_id: int, topic: str, error: ErrorCode) -> None:
        name = ascii(topic)[:300]
        _LOG.warning("what controller %d says of topic %s is refused: %s", controller_id, name, error.name)

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
        self._under_way.update(changed)
        try:
            outcome = await self._reconciler.apply(before.updated(changed), each_on_its_own=True)
        finally:
            self._under_way.difference_update(changed)
        keys = {(name, number) for name, states in wanted.items() for number in states}
        self._tell(outcome, keys)
        self._obstacles.note(keys, outcome)
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

    async def _delete(self, keys: Sequence[PartitionKey]) -> dict[PartitionKey, ErrorCode]:
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
        self._obstacles.note(keys, Outcome())

        async def remove(key: PartitionKey) -> None:
            topic_id = directory_id(self._logs, *key)
            if topic_id is not None:
                try:
                    await self._logs.delete(*key, topic_id)
                except FAILURES as error:
                    _LOG.warning("%s-%d cannot be deleted: %s", *key, error)
                    failed[key] = ErrorCode.KAFKA_STORAGE_ERROR

        await in_parallel(PARALLEL_PARTITIONS, leftovers, remove)
        self._obstacles.note_deletions(keys, failed)
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
            if (replica := self._replicas.find(key)) is not None:
                replica.take_offline()
            what = "cannot be had here" if replica is None else "is offline"
            _LOG.error("%s-%d %s, as its controller is told: %s", *key, what, error)
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
                except FastlogError as error:
                    # As at a stop: whoever reads the groups next finds that it is another topic.
                    _LOG.warning("what groups have of topic %s stays: %s", topic.name, error)
                except Exception:  # noqa: BLE001 - the topic is gone, whatever is left of it elsewhere
                    _LOG.exception("what groups have of topic %s stays", topic.name)

        task = asyncio.create_task(forget())
        self._forgetting.add(task)
        task.add_done_callback(self._forgetting.discard)
        await asyncio.wait([task], timeout=_FORGET_SECONDS)
