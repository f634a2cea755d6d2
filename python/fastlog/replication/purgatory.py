"""Where produce and fetch requests wait until a partition moves far enough or their time is up.

Operations are looked at by key, in the order in which they came, or are nudged by whoever knows what they
wait for (a fetch, whose partitions are watched from one fetch to the next). One timer serves them all: a heap
of deadlines on the event loop's monotonic clock. Everything happens on the event loop, so nothing can move
between an operation's own first check and `park`.

One record may end thousands of waits. They are ended at once as long as that takes a few milliseconds in a
round of the event loop; the others follow in the next rounds, in order, and other work comes in between.
"""

from __future__ import annotations

import asyncio
import heapq
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from fastlog.base.tasks import Guard, Supervisor
from fastlog.replication.partition import PartitionKey

_COMPACT_ABOVE: Final = 256
TURN_SECONDS: Final = 0.004
"""How long waits are looked at and ended in one round of the event loop."""
_UNCOUNTED: Final = 3
"""How many of four looks are not counted: a round that ends a single wait does without its own end."""


class TimerLoop(Protocol):
    """What the purgatory needs of an event loop."""

    def time(self) -> float:
        """Monotonic seconds."""
        ...

    def call_at(self, when: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        """Calls back once, at `when` or later."""
        ...

    def call_soon(self, callback: Callable[[], object]) -> object:
        """Calls back once, in the next round."""
        ...


class Operation(ABC):
    """A request that waits; one object may wait several times, one after the other.

    Each wait ends with exactly one call of `complete` or `expire`, unless it is cancelled. When that raises,
    or `is_ready` does, `failed` is the last that it hears: nothing else would end it.
    """

    __slots__ = ("_keys", "_parked_at", "_ticket", "waited")

    early_end: bool = False
    """Whether the wait may end before its time without an error (a fetch: the answer is just short)."""

    def __init__(self) -> None:
        self._ticket = 0
        self._keys: tuple[PartitionKey, ...] = ()
        self._parked_at = 0.0
        self.waited = 0.0
        """Seconds spent parked, in all waits that are over."""

    @property
    def is_parked(self) -> bool:
        """Whether it waits at this moment."""
        return self._ticket != 0

    @abstractmethod
    def is_ready(self, key: PartitionKey) -> bool:
        """Whether the wait is over, now that `key` moved. Must not change anything but notes of its own."""

    @abstractmethod
    def complete(self) -> None:
        """The wait is over."""

    @abstractmethod
    def expire(self) -> None:
        """The deadline passed, or no more waiting is allowed."""

    @abstractmethod
    def failed(self, error: BaseException) -> None:
        """It raised `error` and is out of the purgatory: whoever waits for it must learn that."""


class Purgatory:
    """Parked operations of one broker. At most `limit` wait at once; one more is expired right away."""

    def __init__(self, loop: TimerLoop, *, limit: int = 1_000_000, guard: Guard | None = None) -> None:
        # One operation that fails must not keep the others from ending.
        self._guard = guard or Supervisor().guard("purgatory")
        self._loop = loop
        self._limit = limit
        self._watched: dict[PartitionKey, dict[Operation, None]] = {}
        self._waiting: dict[int, Operation] = {}
        """By ticket, in the order in which they were parked."""
        self._deadlines: list[tuple[float, int]] = []
        """A heap of (deadline, ticket). A wait that is over leaves its entry, not its operation."""
        self._last_ticket = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        # What is to be done: keys that moved, those who watched the first of them, waits that end early.
        self._moved: dict[PartitionKey, None] = {}
        self._looks: deque[tuple[Operation, int, PartitionKey]] = deque()
        self._ending: deque[tuple[Operation, int]] = deque()
        self._working = False
        self._goes_on = False
        self._round_ends = 0.0
        self._asked = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def park(self, operation: Operation, keys: Iterable[PartitionKey], wait_ms: float) -> None:
        """Lets an operation, which is not ready, wait for any of `keys` or a nudge, and at most `wait_ms`."""
        if self._closed or len(self._waiting) >= self._limit or wait_ms <= 0:
            self._call(operation, operation.expire)
            return
        self._last_ticket += 1
        operation._ticket = self._last_ticket
        self._waiting[self._last_ticket] = operation
        operation._keys = tuple(dict.fromkeys(keys))
        for key in operation._keys:
            self._watched.setdefault(key, {})[operation] = None
        operation._parked_at = self._loop.time()
        deadline = operation._parked_at + wait_ms / 1000
        heapq.heappush(self._deadlines, (deadline, self._last_ticket))
        self._set_timer()

    def check(self, key: PartitionKey) -> None:
        """A partition moved: completes what is ready by now, soon if not at once."""
        if key in self._watched:
            self._moved[key] = None
            if not (self._working or self._goes_on):
                self._work()

    def nudge(self, operation: Operation, key: PartitionKey) -> None:
        """Looks at one operation, for which `key` moved, soon if not at once; ignored unless it waits."""
        if operation._ticket:
            self._looks.append((operation, operation._ticket, key))
            if not (self._working or self._goes_on):
                self._work()

    def cancel(self, operation: Operation) -> None:
        """Nobody waits for the answer any more (connection lost): the operation is dropped silently."""
        if operation._ticket:
            self._release(operation)

    def end_early(self, operation: Operation) -> None:
        """Ends one wait, as if its time were up, soon if not at once."""
        if operation._ticket:
            self._ending.append((operation, operation._ticket))
            if not (self._working or self._goes_on):
                self._work()

    def end_all(self) -> None:
        """Ends all waits, as if their time were up, soon if not at once. For a shutdown."""
        self._ending.extend(self._in_order())
        if not (self._working or self._goes_on):
            self._work()

    def close(self) -> None:
        """Ends all waits now, as nobody is served any more, and lets no operation wait from now on."""
        self._closed = True
        for operation, ticket in self._in_order():
            if operation._ticket == ticket:
                self._expire(operation)
        self._deadlines.clear()
        self._moved.clear()
        self._looks.clear()
        self._ending.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _in_order(self) -> list[tuple[Operation, int]]:
        """All that wait, the earliest deadline first, with their tickets."""
        waiting = self._waiting
        return [(waiting[ticket], ticket) for _, ticket in sorted(self._deadlines) if ticket in waiting]

    # -- what is to be done, a turn at a time --------------------

    def _work(self) -> None:
        """Does what is to be done, or a part of it. What that brings about is done by the same loop, not in a
        call inside the call."""
        self._working = True
        try:
            while self._looks or self._moved or self._ending:
                self._step()
                if self._turn_is_over():
                    self._goes_on = True
                    self._loop.call_soon(self._go_on)
                    return
        finally:
            self._working = False

    def _go_on(self) -> None:
        self._goes_on = False
        self._asked = _UNCOUNTED
        self._work()

    def _step(self) -> None:
        """Does one thing."""
        if self._looks:
            self._look(*self._looks.popleft())
        elif self._ending:
            operation, ticket = self._ending.popleft()
            if operation._ticket == ticket:
                self._expire(operation)
        else:
            key = next(iter(self._moved))
            del self._moved[key]
            watchers = self._watched.get(key)
            if watchers:
                operations = iter(watchers)
                first = next(operations)
                if len(watchers) > 1:
                    self._looks.extend([(operation, operation._ticket, key) for operation in operations])
                self._look(first, first._ticket, key)

    def _look(self, operation: Operation, ticket: int, key: PartitionKey) -> None:
        if operation._ticket != ticket:
            # That wait has ended meanwhile.
            return
        try:
            ready = operation.is_ready(key)
        except BaseException as error:  # noqa: BLE001 - the others have their turn
            self._release(operation)
            self._fail(operation, error)
            return
        if ready:
            self._release(operation)
            self._call(operation, operation.complete)

    def _expire(self, operation: Operation) -> None:
        self._release(operation)
        self._call(operation, operation.expire)

    def _call(self, operation: Operation, action: Callable[[], object]) -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - the others have their turn
            self._fail(operation, error)

    def _fail(self, operation: Operation, error: BaseException) -> None:
        self._guard.failed(error)
        self.cancel(operation)
        self._guard(operation.failed, error)

    def _turn_is_over(self) -> bool:
        """Whether this round's time is used up. One of the first to ask begins it."""
        if self._round_ends:
            return self._loop.time() >= self._round_ends
        self._asked += 1
        if not self._asked & _UNCOUNTED:
            self._round_ends = self._loop.time() + TURN_SECONDS
            self._loop.call_soon(self._next_round)
        return False

    def _next_round(self) -> None:
        self._round_ends = 0.0

    # -- the parts of a wait --------------------

    def _release(self, operation: Operation) -> None:
        del self._waiting[operation._ticket]
        operation._ticket = 0
        operation.waited += self._loop.time() - operation._parked_at
        for key in operation._keys:
            watchers = self._watched[key]
            del watchers[operation]
            if not watchers:
                del self._watched[key]
        operation._keys = ()
        # The heap keeps entries until their deadline; it is rebuilt when most of it is dead.
        if len(self._deadlines) > _COMPACT_ABOVE and len(self._deadlines) > 2 * len(self._waiting):
            self._deadlines = [entry for entry in self._deadlines if entry[1] in self._waiting]
            heapq.heapify(self._deadlines)

    def _set_timer(self) -> None:
        deadlines = self._deadlines
        while deadlines and deadlines[0][1] not in self._waiting:
            heapq.heappop(deadlines)
        if not deadlines:
            return
        when = deadlines[0][0]
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._deadlines and self._deadlines[0][0] <= now:
            operation = self._waiting.get(heapq.heappop(self._deadlines)[1])
            if operation is not None:
                self._expire(operation)
                if self._turn_is_over():
                    break
        # What is due already comes in the next round.
        self._set_timer()
