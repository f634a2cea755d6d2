"""Turns of the event loop: a long request works for a few milliseconds, then others come first.

All long requests together get one turn in each round of the loop, so that a hundred of them hold up a short
request no longer than one does. They take turns in the order in which they asked. What is not counted in a
turn is the work between two looks at the clock: loops look after each element, codecs after a few.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from fastlog.wire import Steps

T = TypeVar("T")

TURN_SECONDS: Final = 0.004
"""How long the long requests work in one round of the event loop, all together."""

AT_ONCE_SECONDS: Final = 0.001
"""A request that takes no longer is a short one: it need not wait for its turn."""

_WEIGHED_AT_ONCE: Final = 64 * 1024
_LOT: Final = 32


def at_once(steps: Steps[T]) -> T:
    """Runs a generator of few steps to its end, and returns its result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


class Abandoned(Exception):
    """The client is gone, or the broker stops: what is left of the request is not done."""


LEAVING_SECONDS: Final = 1.0
"""How long requests go on for a peer that sends no more: most of those have left, and wait for no answer."""


class Asker(Protocol):
    """Whoever waits for the answer (`Exchange`)."""

    is_lost: bool

    def grow(self, size: int) -> bool:
        """The answer has grown; whether it may go on without `room`."""
        ...

    def has_room(self) -> bool:
        """Whether the answer may grow."""
        ...

    async def room(self) -> None:
        """Waits, not for long, until the answer may grow."""
        ...

    @property
    def half_closed_since(self) -> float | None:
        """Monotonic seconds when the peer said that it sends no more."""
        ...


class Turns:
    """The turns of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ends = 0.0
        self._begun = False
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._waking = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.waits = 0
        """How often a long request has waited for its next turn."""
        self.closed = False
        """Whether long requests end at the end of their turn: the broker stops."""

    def close(self) -> None:
        """Ends requests that are not done by the end of their turn."""
        self.closed = True

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs the work of a long request in a task. It raises nothing."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def wait_tasks(self, seconds: float) -> None:
        """Waits for what was started and still runs, at most so many seconds."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    def over(self) -> bool:
        """Whether this round's turn is used up. The first to ask begins it."""
        if self._begun:
            return monotonic() >= self._ends
        self._begun = True
        self._ends = monotonic() + TURN_SECONDS
        self._loop.call_soon(self._next_round)
        return False

    async def wait(self) -> None:
        """Waits for another turn."""
        turn: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(turn)
        self.waits += 1
        if not self._waking:
            self._waking = True
            self._loop.call_soon(self._wake)
        await turn

    def _next_round(self) -> None:
        self._begun = False

    def _wake(self) -> None:
        """Lets the next one go on, in the next round."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                break
        self._waking = bool(self._waiting)
        if self._waking:
            self._loop.call_soon(self._wake)


class Pace:
    """The turns of one request. One of many that begin in the same round is not to be done `at_once`."""

    __slots__ = ("_asker", "_full", "_since", "_turns")

    def __init__(self, turns: Turns, asker: Asker, *, at_once: bool = True) -> None:
        self._turns = turns
        self._asker = asker
        self._since = monotonic() if at_once else float("-inf")
        self._full = False

    def grow(self, size: int) -> bool:
        """The answer has so many bytes more; whether it may go on. If not, the next `pause` lasts until
        there is room. Raises KafkaError when the answer is too large."""
        may_go_on = self._asker.grow(size)
        self._full = not may_go_on
        return may_go_on

    def weigh(self, steps: Steps[T], bytes_each: int) -> Steps[T]:
        """The same steps, each of which adds so many bytes to the answer."""
        size = 0
        while True:
            try:
                next(steps)
            except StopIteration as end:
                result: T = end.value
                return result
            size += bytes_each
            if size >= _WEIGHED_AT_ONCE:
                self.grow(size)
                size = 0
            yield

    def over(self) -> bool:
        """Whether it is time to `pause`."""
        return self._full or (monotonic() - self._since >= AT_ONCE_SECONDS and self._turns.over())

    async def pause(self) -> None:
        """Lets others go first if the turn is over. Raises Abandoned when nobody waits for the answer."""
        if self.over():
            await self._turns.wait()
            self._since = monotonic()
        self._check_wanted()
        while self._full:
            await self._asker.room()
            self._full = not self._asker.has_room()
            self._check_wanted()

    def _check_wanted(self) -> None:
        if self._asker.is_lost or self._turns.closed:
            raise Abandoned
        half = self._asker.half_closed_since
        if half is not None and monotonic() - half > LEAVING_SECONDS:
            raise Abandoned

    def each(self, items: Iterable[T]) -> AsyncIterator[T]:
        """The items, with a `pause` between any two: one who is gone after the first gets no second."""
        return _Each(self, iter(items))

    def lots(self, items: Sequence[T]) -> AsyncIterator[Sequence[T]]:
        """The items in lots, with a `pause` between any two lots: for elements of a few microseconds each.

        A pause for every one of them would weigh as much as the work.
        """
        if len(items) <= _LOT:
            return self.each((items,) if items else ())
        return self.each(items[start : start + _LOT] for start in range(0, len(items), _LOT))

    def begin(self, steps: Steps[None]) -> bool:
        """Runs a generator for as long as a short request takes; whether it is at its end."""
        try:
            next(steps)
            while not self._full and monotonic() - self._since < AT_ONCE_SECONDS:
                next(steps)
        except StopIteration:
            return True
        return False

    async def run(self, steps: Steps[T]) -> T:
        """Runs a generator to its end, and returns its result."""
        if self._full:
            await self.pause()
        while True:
            try:
                next(steps)
                while not self.over():
                    next(steps)
            except StopIteration as end:
                result: T = end.value
                return result
            await self.pause()


class _Each(Generic[T]):
    """Not an asynchronous generator: one that is left early would need the event loop to be closed."""

    __slots__ = ("_first", "_items", "_pace")

    def __init__(self, pace: Pace, items: Iterator[T]) -> None:
        self._pace = pace
        self._items = items
        self._first = True

    def __aiter__(self) -> _Each[T]:
        return self

    async def __anext__(self) -> T:
        for item in self._items:
            if self._first:
                self._first = False
            else:
                await self._pace.pause()
            return item
        raise StopAsyncIteration
