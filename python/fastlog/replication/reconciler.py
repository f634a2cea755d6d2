"""Brings this broker's partitions from one view of the topics to the next: the difference of the two says
what to lead, what to follow and what to stop. A start is the difference to the empty view.

| a partition                                             | step                                    |
|---------------------------------------------------------|-----------------------------------------|
| is to be here, and its state is another one than before | LEAD or FOLLOW, as its leader says      |
| is here, and this broker is none of its replicas now    | STOP: its log stays                     |
| is here, and its topic is gone, or another of its name  | DELETE                                  |
| is here, and its topic has other configs                | CONFIGURE, once for the topic           |

What a change costs depends on the change, not on how many topics there are. Views are compared by identity:
whoever changes one leaves the topics that are as they were.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import field
from enum import Enum
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from fastlog.base.persistent_map import PersistentMap
from fastlog.base.quick_dataclass import dataclass
from fastlog.errors import FastlogError
from fastlog.native import FastlogNativeError
from fastlog.replication.partition import PartitionKey
from fastlog.storage.disk_jobs import in_parallel

_LOG: Final = logging.getLogger(__name__)

PARALLEL_PARTITIONS: Final = 16
FAILURES: Final = (FastlogError, FastlogNativeError, OSError, MemoryError)
"""What a disk may answer, as the layers below raise it; and a lack of memory, which passes as well."""
_WHOLE_TOPIC: Final = -1


class AssignedPartition(Protocol):
    """Who leads and follows a partition. Two states that are equal mean the same."""

    @property
    def leader(self) -> int:
        """Node id; -1 when there is none."""
        ...

    @property
    def replicas(self) -> tuple[int, ...]:
        """Node ids of all who are to have it."""
        ...


class AssignedTopic(Protocol):
    """A topic as a view shows it."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def topic_id(self) -> bytes:
        """16 bytes: another topic of the same name has another one."""
        ...

    @property
    def partitions(self) -> Sequence[AssignedPartition]:
        """By number."""
        ...

    @property
    def configs(self) -> Mapping[str, str]:
        """Its own overrides."""
        ...


T = TypeVar("T", bound=AssignedTopic)
H = TypeVar("H", bound=AssignedTopic, contravariant=True)


class PartitionHost(Protocol[H]):
    """Carries out steps. Idempotent: each may be called again after a crash. Raises one of `FAILURES`."""

    async def lead(self, topic: H, partition: int) -> None:
        """Makes sure that the log exists durably, and takes writes for it."""
        ...

    async def follow(self, topic: H, partition: int) -> None:
        """Makes sure that the log exists durably, and takes no writes for it."""
        ...

    async def stop(self, topic: H, partition: int, *, delete: bool) -> None:
        """Stops serving the partition; with `delete` its directory is taken out of the way, durably."""
        ...

    async def configure(self, topic: H) -> None:
        """Gives all partitions of a topic their settings."""
        ...


class Action(Enum):
    """What is done with a partition, or (CONFIGURE) with all of a topic's."""

    LEAD = "lead"
    FOLLOW = "follow"
    STOP = "stop"
    DELETE = "delete"
    CONFIGURE = "configure"


class Step(NamedTuple, Generic[T]):
    """One thing to do. `topic` is the state that comes, for DELETE the one that was."""

    action: Action
    topic: T
    partition: int

    @property
    def key(self) -> PartitionKey:
        """(topic, partition)."""
        return self.topic.name, self.partition


@dataclass(slots=True)
class Outcome:
    """What became of a change: partitions that are led now, and why others are not as they should be."""

    led: list[PartitionKey] = field(default_factory=list)
    failed: dict[PartitionKey, Exception] = field(default_factory=dict)
    unconfigured: dict[str, Exception] = field(default_factory=dict)
    """Topics that did not take their new configs."""

    @property
    def failed_topics(self) -> dict[str, Exception]:
        """The first failure of each topic."""
        first: dict[str, Exception] = {}
        for (topic, _), error in self.failed.items():
            first.setdefault(topic, error)
        return first


def steps(node_id: int, before: T | None, after: T | None) -> list[Step[T]]:
    """What is to be done when a topic goes from one state to another; None: there is no such topic."""
    if before is not None and (after is None or after.topic_id != before.topic_id):
        gone = [
            Step(Action.DELETE, before, number)
            for number, partition in enumerate(before.partitions)
            if node_id in partition.replicas
        ]
        return gone + steps(node_id, None, after)
    if after is None:
        return []
    former = () if before is None else before.partitions
    found: list[Step[T]] = []
    for number, partition in enumerate(after.partitions):
        old = former[number] if number < len(former) else None
        if node_id in partition.replicas:
            if old != partition:
                action = Action.LEAD if partition.leader == node_id else Action.FOLLOW
                found.append(Step(action, after, number))
        elif old is not None and node_id in old.replicas:
            found.append(Step(Action.STOP, after, number))
    if before is not None and before.configs != after.configs:
        found.append(Step(Action.CONFIGURE, after, _WHOLE_TOPIC))
    return found


class Reconciler(Generic[T]):
    """The one who decides about this broker's partitions. One call at a time."""

    def __init__(self, node_id: int, host: PartitionHost[T]) -> None:
        self.node_id: Final = node_id
        self._host = host
        self._view: PersistentMap[str, T] = PersistentMap()
        # Partitions that are not led or followed as the view says, by topic.
        self._behind: dict[str, set[int]] = {}
        # What is still to be stopped or deleted, by topic name; there may have been several of that name.
        self._owed: dict[str, dict[tuple[bytes, int], Step[T]]] = {}

    @property
    def view(self) -> PersistentMap[str, T]:
        """The topics to which the partitions have been brought, but for those that met an obstacle."""
        return self._view

    @property
    def behind(self) -> Mapping[str, Collection[int]]:
        """The partitions that wait for `retry` to be led or followed, by topic."""
        return self._behind

    @property
    def owed(self) -> Collection[str]:
        """The names of topics of which partitions wait for `retry` to be stopped or deleted."""
        return self._owed

    async def start(self, view: PersistentMap[str, T], can_serve: Callable[[str, int], bool]) -> Outcome:
        """The first view. Partitions that cannot be served are let alone.

        One that meets an obstacle does not stop the others.
        """
        self._view = view
        wanted = [step for topic in view.values() for step in steps(self.node_id, None, topic)]
        return await self._carry_out([step for step in wanted if can_serve(*step.key)], each_on_its_own=True)

    async def apply(self, view: PersistentMap[str, T], *, each_on_its_own: bool = False) -> Outcome:
        """Brings the partitions to another view.

        The first obstacle of a topic keeps its other partitions from being tried: they wait for `retry`, too.
        Not so where each partition is on its own.
        """
        before, self._view = self._view, view
        wanted: list[Step[T]] = []
        for name, old, new in before.differences(view):
            if new is None or (old is not None and old.topic_id != new.topic_id):
                self._behind.pop(name, None)
                wanted += self._take_owed_deletions(name)
            wanted += steps(self.node_id, old, new)
        return await self._carry_out(wanted, each_on_its_own=each_on_its_own)

    async def delete(self, view: PersistentMap[str, T], gone: Iterable[tuple[T, int]]) -> Outcome:
        """Goes to a view without partitions that this broker is to have no more, and deletes these.

        `gone` are (topic as it was, partition). What fails is done again by the next call, or by `retry`.
        """
        self._view = view
        wanted = [Step(Action.DELETE, topic, partition) for topic, partition in gone]
        for step in wanted:
            numbers = self._behind.get(step.topic.name)
            if numbers is not None:
                numbers.discard(step.partition)
                if not numbers:
                    del self._behind[step.topic.name]
        return await self._carry_out(wanted, each_on_its_own=True)

    async def remove(self, topics: Sequence[T]) -> Outcome:
        """Deletes the partitions of topics that are gone for good, also of those that no view has shown.

        What fails is done again by the next call, or by `retry`.
        """
        self._view = self._view.without(topic.name for topic in topics)
        wanted: list[Step[T]] = []
        for topic in topics:
            self._behind.pop(topic.name, None)
            wanted += steps(self.node_id, topic, None)
            owed = self._take_owed_deletions(topic.name)
            wanted += [step for step in owed if step.topic.topic_id != topic.topic_id]
        return await self._carry_out(wanted)

    async def retry(self, topics: Iterable[str], *, each_on_its_own: bool = False) -> Outcome:
        """Tries again what met an obstacle of some topics: as `apply`, or each on its own as `start`."""
        again: list[Step[T]] = []
        for name in topics:
            again += self._owed.pop(name, {}).values()
            if name in self._behind:
                numbers, topic = self._behind.pop(name), self._view[name]
                wanted = steps(self.node_id, None, topic)
                again += [step for step in wanted if step.partition in numbers]
        return await self._carry_out(again, each_on_its_own=each_on_its_own)

    async def configure_all(self) -> None:
        """The defaults of topics are others now. A log that does not take its settings keeps what it has."""
        for topic in self._view.values():
            try:
                await self._host.configure(topic)
            except FAILURES as error:
                _LOG.warning("topic %s keeps its former settings: %s", topic.name, error)

    async def _carry_out(self, lot: Sequence[Step[T]], *, each_on_its_own: bool = False) -> Outcome:
        outcome = Outcome()
        stuck: set[str] = set()

        async def carry_out(step: Step[T]) -> None:
            name = step.topic.name
            if name in stuck and step.action is not Action.CONFIGURE and not each_on_its_own:
                self._note(step)
                return
            try:
                await self._do(step)
            except Exception as error:  # noqa: BLE001 - it is the step's own, and told as its outcome
                if step.action is Action.CONFIGURE:
                    outcome.unconfigured[name] = error
                    return
                if not isinstance(error, FAILURES):
                    # A defect, or no thread to be had: no reason to leave others half done, and for ever.
                    _LOG.exception("%s-%d: %s", name, step.partition, step.action.value, exc_info=error)
                stuck.add(name)
                outcome.failed[step.key] = error
                self._note(step)
                return
            self._caught_up(step)
            if step.action is Action.LEAD:
                outcome.led.append(step.key)

        # A name is free again when the topic that had it is gone.
        gone = [step for step in lot if step.action is Action.DELETE]
        await in_parallel(PARALLEL_PARTITIONS, gone, carry_out)
        await in_parallel(
            PARALLEL_PARTITIONS, [step for step in lot if step.action is not Action.DELETE], carry_out
        )
        return outcome

    async def _do(self, step: Step[T]) -> None:
        match step.action:
            case Action.LEAD:
                await self._host.lead(step.topic, step.partition)
            case Action.FOLLOW:
                await self._host.follow(step.topic, step.partition)
            case Action.STOP | Action.DELETE:
                await self._host.stop(step.topic, step.partition, delete=step.action is Action.DELETE)
            case Action.CONFIGURE:
                await self._host.configure(step.topic)

    def _take_owed_deletions(self, name: str) -> list[Step[T]]:
        owed = self._owed.pop(name, {}).values()
        return [step for step in owed if step.action is Action.DELETE]

    def _caught_up(self, step: Step[T]) -> None:
        self._settle_debt(step)
        numbers = self._behind.get(step.topic.name)
        if numbers is not None:
            numbers.discard(step.partition)
            if not numbers:
                del self._behind[step.topic.name]

    def _note(self, step: Step[T]) -> None:
        if step.action in (Action.LEAD, Action.FOLLOW):
            self._settle_debt(step)
            self._behind.setdefault(step.topic.name, set()).add(step.partition)
        else:
            owed = self._owed.setdefault(step.topic.name, {})
            owed[step.topic.topic_id, step.partition] = step

    def _settle_debt(self, step: Step[T]) -> None:
        """What was owed of a partition is done, or it is to be here again."""
        owed = self._owed.get(step.topic.name)
        if owed is not None:
            owed.pop((step.topic.topic_id, step.partition), None)
            if not owed:
                del self._owed[step.topic.name]
