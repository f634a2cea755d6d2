"""Where produce and fetch requests wait until a partition moves far enough or their time is up.

Operations are watched by key, in the order in which they came. One timer serves them all: a heap of deadlines
on the event loop's monotonic clock. Everything happens on the event loop, so nothing can move between an
operation's own first check and `park`.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from fastlog.replication.replica import PartitionKey

_LOG: Final = logging.getLogger(__name__)
_COMPACT_ABOVE: Final = 256


class TimerLoop(Protocol):
    """What the purgatory needs of an event loop."""

    def time(self) -> float:
        """Monotonic seconds."""
        ...

    def call_at(self, when: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        """Calls back once, at `when` or later."""
        ...


class Operation(ABC):
    """A request that waits; one object may wait several times, one after the other.

    Each wait ends with exactly one call of `complete` or `expire`, unless it is cancelled.
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
        """Whether the wait is over, now that `key` moved. Must not change anything."""

    @abstractmethod
    def complete(self) -> None:
        """The wait is over."""

    @abstractmethod
    def expire(self) -> None:
        """The deadline passed, or no more waiting is allowed."""


class Purgatory:
    """Parked operations of one broker. At most `limit` wait at once; one more is expired right away."""

    def __init__(self, loop: TimerLoop, *, limit: int = 1_000_000) -> None:
        self._loop = loop
        self._limit = limit
        self._watched: dict[PartitionKey, dict[Operation, None]] = {}
        self._deadlines: list[tuple[float, int, Operation]] = []
        self._last_ticket = 0
        self._parked = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def __len__(self) -> int:
        return self._parked

    def park(self, operation: Operation, keys: Iterable[PartitionKey], wait_ms: float) -> None:
        """Lets an operation, which is not ready, wait for any of `keys`, and at most `wait_ms`."""
        if self._closed or self._parked >= self._limit or wait_ms <= 0:
            _end(operation.expire)
            return
        self._parked += 1
        self._last_ticket += 1
        operation._ticket = self._last_ticket
        operation._keys = tuple(dict.fromkeys(keys))
        for key in operation._keys:
            self._watched.setdefault(key, {})[operation] = None
        operation._parked_at = self._loop.time()
        deadline = operation._parked_at + wait_ms / 1000
        heapq.heappush(self._deadlines, (deadline, self._last_ticket, operation))
        self._set_timer()

    def check(self, key: PartitionKey) -> None:
        """A partition moved: completes what is ready now."""
        watchers = self._watched.get(key)
        if watchers:
            for operation in list(watchers):
                if operation._ticket and operation.is_ready(key):
                    self._release(operation)
                    _end(operation.complete)

    def cancel(self, operation: Operation) -> None:
        """Nobody waits for the answer any more (connection lost): the operation is dropped silently."""
        if operation._ticket:
            self._release(operation)

    def end_early(self, operation: Operation) -> None:
        """Ends one wait now, as if its time were up."""
        if operation._ticket:
            self._release(operation)
            _end(operation.expire)

    def drain(self, *, force: bool) -> None:
        """Ends waits now: all of them with `force`, otherwise those that may end early. For shutdown."""
        for entry in sorted(self._deadlines, key=lambda entry: entry[:2]):
            operation = entry[2]
            if _is_waiting(entry) and (force or operation.early_end):
                self._release(operation)
                _end(operation.expire)

    def close(self) -> None:
        """Ends all waits, and lets no operation wait from now on."""
        self._closed = True
        self.drain(force=True)
        self._deadlines.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _release(self, operation: Operation) -> None:
        operation._ticket = 0
        operation.waited += self._loop.time() - operation._parked_at
        self._parked -= 1
        for key in operation._keys:
            watchers = self._watched[key]
            del watchers[operation]
            if not watchers:
                del self._watched[key]
        operation._keys = ()
        # The heap keeps released operations until their deadline; it is rebuilt when most of it is dead.
        if len(self._deadlines) > _COMPACT_ABOVE and len(self._deadlines) > 2 * self._parked:
            self._deadlines = [entry for entry in self._deadlines if _is_waiting(entry)]
            heapq.heapify(self._deadlines)

    def _set_timer(self) -> None:
        deadlines = self._deadlines
        while deadlines and not _is_waiting(deadlines[0]):
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
            entry = heapq.heappop(self._deadlines)
            if _is_waiting(entry):
                self._release(entry[2])
                _end(entry[2].expire)
        self._set_timer()


def _is_waiting(entry: tuple[float, int, Operation]) -> bool:
    return entry[2]._ticket == entry[1]


def _end(action: Callable[[], None]) -> None:
    """One operation that fails must not keep the others from ending."""
    try:
        action()
    except Exception:  # noqa: BLE001 - whatever it was, it is logged, and the broker goes on
        _LOG.exception("a parked request could not be ended")
