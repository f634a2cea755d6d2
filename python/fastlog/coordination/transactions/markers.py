"""Markers: what is owed to the leaders of a decided transaction's partitions, until all of them have them.

    Prepare* is in the log -> a `Completion` -> a queue for each leader's broker -> outcomes
                                   ^                                                  |
                                   +---- parked for a moment, then to the leader of then
    nothing is owed any more -> Complete* is written

| a partition's outcome                               | what follows                                        |
|-----------------------------------------------------|-----------------------------------------------------|
| NONE                                                | done                                                |
| unknown there, not led there, offline, too few      | asked again, whoever leads it then                  |
| in sync, timed out, no connection                   |                                                     |
| UNSUPPORTED_FOR_MESSAGE_FORMAT, UNSUPPORTED_VERSION | given up: it can have no transactions               |
| INVALID_PRODUCER_EPOCH                              | given up: a later epoch of the producer is there,   |
|                                                     | which only a later decision can have brought        |
| TRANSACTION_COORDINATOR_FENCED                      | the transaction is left to whoever coordinates it   |
| others                                              | asked again, and the log tells                      |

Partitions of topics that do not exist any more are given up; those without a leader wait for one. What is
owed is in memory alone: who takes over a partition of the coordinators' topic sends all markers again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from fastlog.coordination.transactions.completions import Completion, MarkerTarget, Outcomes
from fastlog.coordination.transactions.state import TopicPartition, Transaction
from fastlog.errors import ErrorCode, FastlogError

if TYPE_CHECKING:
    from fastlog.base.tasks import Loop, Supervisor
    from fastlog.coordination.cluster_view import ClusterView
    from fastlog.coordination.transactions.table import Coordinated

_LOG: Final = logging.getLogger(__name__)
AGAIN_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 1.0
_IN_FLIGHT: Final = 5
_MARKERS_AT_ONCE: Final = 512
_PARTITIONS_AT_ONCE: Final = 4096
# How often a partition is looked for above those that the view has of its topic, before it counts as gone.
_MOST_LOOKS: Final = 100

_GIVEN_UP: Final = frozenset(
    {
        ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT,
        ErrorCode.UNSUPPORTED_VERSION,
        ErrorCode.INVALID_PRODUCER_EPOCH,
    }
)
_PASSING: Final = frozenset(
    {
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.REQUEST_TIMED_OUT,
        ErrorCode.NOT_ENOUGH_REPLICAS,
        ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        ErrorCode.KAFKA_STORAGE_ERROR,
        ErrorCode.NETWORK_EXCEPTION,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
    }
)


MissingTopics = Callable[[Sequence[str]], Coroutine[None, None, set[str]]]

Owed = dict[Completion, set[TopicPartition]]


class Markers:
    """Brings markers to where they belong. `target_of` makes the way to a broker; `on_done` is told of each
    completion that owes nothing any more. `missing_topics`: see `GroupLeadership`."""

    def __init__(
        self,
        *,
        view: ClusterView,
        target_of: Callable[[int], MarkerTarget],
        on_done: Callable[[Completion], None],
        tasks: Supervisor,
        missing_topics: MissingTopics | None = None,
    ) -> None:
        self._view = view
        self._target_of = target_of
        self._on_done = on_done
        self._tasks = tasks
        self._guard = tasks.guard("transaction-markers")
        self._missing_topics = missing_topics
        self._open: set[Completion] = set()
        self._queues: dict[int, Owed] = {}
        self._targets: dict[int, MarkerTarget] = {}
        self._in_flight: dict[int, int] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._silent: set[int] = set()
        """Brokers that have not answered, of which the log has told."""
        self._parked: Owed = {}
        self._has_parked = asyncio.Event()
        self._loop: Loop | None = None

    @property
    def owed(self) -> int:
        """Transactions that wait for markers."""
        return len(self._open)

    def __iter__(self) -> Iterator[Completion]:
        """These transactions, as of now."""
        return iter(list(self._open))

    def start(self) -> None:
        """Begins to look after those that are parked."""
        self._loop = self._tasks.run("transaction-markers", self._run)

    def send(self, place: Coordinated, transaction: Transaction) -> None:
        """A decision is in the log, and the completion of it is pending."""
        completion = Completion(place, transaction)
        self._open.add(completion)
        if len(completion.left) > _PARTITIONS_AT_ONCE:
            # In turns.
            self._park(completion, completion.left)
            return
        self._route(completion, set(completion.left))
        self._look_at(completion)

    def forget(self, place: Coordinated) -> None:
        """The leadership has ended; others send markers for these transactions."""
        self._open = {completion for completion in self._open if completion.place is not place}

    async def close(self) -> None:
        """Nothing is sent any more."""
        self._open.clear()
        if self._loop is not None:
            await self._loop.stop()
        for task in list(self._sending):
            task.cancel()
        if self._sending:
            await asyncio.wait(set(self._sending))
        for target in self._targets.values():
            await target.close()

    # -- where markers go --------------------

    def _route(self, completion: Completion, partitions: set[TopicPartition]) -> bool:
        """Whether a marker is on its way to a leader."""
        has_leaders = False
        snapshot = self._view.snapshot
        alive = {broker.id for broker in snapshot.brokers}
        for topic, number in partitions:
            found = snapshot.topics.get(topic)
            if found is None and self._missing_topics is None:
                completion.left.discard((topic, number))
                continue
            leader = -1
            if found is not None and number < len(found.partitions):
                leader = found.partitions[number].leader
            elif found is not None and (self._missing_topics is None or completion.looks >= _MOST_LOOKS):
                completion.left.discard((topic, number))
                continue
            if leader in alive:
                self._queues.setdefault(leader, {}).setdefault(completion, set()).add((topic, number))
                self._ask_for_sending(leader)
                has_leaders = True
            else:
                self._park(completion, {(topic, number)})
        return has_leaders

    def _park(self, completion: Completion, partitions: set[TopicPartition]) -> None:
        self._parked.setdefault(completion, set()).update(partitions)
        self._has_parked.set()

    async def _run(self) -> None:
        """Looks for other leaders of what is parked."""
        pause = AGAIN_SECONDS
        while True:
            await self._has_parked.wait()
            await asyncio.sleep(pause)
            self._has_parked.clear()
            parked, self._parked = self._parked, {}
            try:
                has_leaders = await self._look_for_leaders(parked)
            except BaseException:
                # Nothing that is owed is lost: what was seen to already is harmless to see to again.
                for completion, left in parked.items():
                    self._park(completion, left & completion.left)
                raise
            # Leaders that stay away are looked for less often.
            pause = AGAIN_SECONDS if has_leaders else min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _look_for_leaders(self, parked: Owed) -> bool:
        """Sees to all that is parked, in turns; whether there are any leaders."""
        missing = await self._missing(parked)
        has_leaders = False
        for completion, left in parked.items():
            completion.looks += 1
            async for some in _lots(left):
                if not self._is_open(completion):
                    break
                gone = {key for key in some if key[0] in missing and key[0] not in self._view.topics}
                completion.left -= gone
                some -= gone
                if some:
                    has_leaders |= self._route(completion, some)
            self._look_at(completion)
        return has_leaders

    async def _missing(self, parked: Owed) -> set[str]:
        """Topics of these partitions that do not exist, in a cluster whose view may not show all."""
        unseen: set[str] = set()
        for completion, left in parked.items():
            if self._is_open(completion):
                async for some in _lots(left):
                    unseen |= {topic for topic, _ in some if topic not in self._view.topics}
        if not unseen or self._missing_topics is None:
            return unseen
        return await self._missing_topics(sorted(unseen))

    # -- sending --------------------

    def _ask_for_sending(self, broker: int) -> None:
        if self._in_flight.get(broker, 0) < _IN_FLIGHT:
            self._in_flight[broker] = self._in_flight.get(broker, 0) + 1
            task = asyncio.create_task(self._send(broker))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self, broker: int) -> None:
        """Sends what there is for a broker, until there is nothing."""
        try:
            while owed := self._take(broker):
                try:
                    markers = [completion.marker_for(left) for completion, left in owed.items()]
                    outcomes = await self._target(broker).write(markers)
                    if len(outcomes) != len(markers):
                        raise FastlogError(f"it answered {len(outcomes)} of {len(markers)} markers")
                    self._silent.discard(broker)
                except Exception as error:  # noqa: BLE001 - whatever it was, the markers are owed
                    log = _LOG.debug if broker in self._silent else _LOG.warning
                    log("broker %d takes no markers: %s", broker, error)
                    self._silent.add(broker)
                    outcomes = [dict.fromkeys(left, ErrorCode.NETWORK_EXCEPTION) for left in owed.values()]
                for (completion, left), outcome in zip(owed.items(), outcomes, strict=True):
                    self._guard(self._take_in, broker, completion, left, outcome)
        finally:
            self._in_flight[broker] -= 1

    def _take(self, broker: int) -> Owed:
        """The next markers for a broker, and no more than go into a request."""
        queue = self._queues.get(broker, {})
        taken: Owed = {}
        room = _PARTITIONS_AT_ONCE
        for completion in list(queue):
            if len(taken) >= _MARKERS_AT_ONCE or room <= 0:
                break
            left = queue.pop(completion)
            if not self._is_open(completion):
                continue
            if len(left) > room:
                rest = queue[completion] = set(left)
                left = {rest.pop() for _ in range(room)}
            taken[completion] = left
            room -= len(left)
        return taken

    def _target(self, broker: int) -> MarkerTarget:
        target = self._targets.get(broker)
        if target is None:
            target = self._targets[broker] = self._target_of(broker)
        return target

    def _take_in(
        self, broker: int, completion: Completion, asked: set[TopicPartition], outcomes: Outcomes
    ) -> None:
        if not self._is_open(completion):
            return
        name = completion.transaction.transactional_id
        again: set[TopicPartition] = set()
        for partition in asked:
            code = outcomes.get(partition, ErrorCode.UNKNOWN_SERVER_ERROR)
            if code is ErrorCode.TRANSACTION_COORDINATOR_FENCED:
                _LOG.error("%s: broker %d knows a later coordinator; its end is left to that", name, broker)
                self._open.discard(completion)
                return
            if code is ErrorCode.NONE or code in _GIVEN_UP:
                if code is not ErrorCode.NONE:
                    _LOG.error("%s: no marker for %s-%d: %s", name, *partition, code.name)
                completion.left.discard(partition)
            else:
                if code not in _PASSING and not completion.is_told:
                    completion.is_told = True
                    _LOG.error("%s: no marker for %s-%d yet: %s", name, *partition, code.name)
                again.add(partition)
        if again:
            self._park(completion, again)
        self._look_at(completion)

    def _is_open(self, completion: Completion) -> bool:
        return completion in self._open

    def _look_at(self, completion: Completion) -> None:
        if not completion.left and self._is_open(completion):
            self._open.discard(completion)
            self._on_done(completion)


async def _lots(partitions: set[TopicPartition]) -> AsyncIterator[set[TopicPartition]]:
    """So many of them that nobody has to wait for long, with turns for others in between."""
    rows = iter(list(partitions))
    while some := set(islice(rows, _PARTITIONS_AT_ONCE)):
        yield some
        await asyncio.sleep(0)
