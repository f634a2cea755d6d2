"""The controller's queue: one event at a time, in the order in which they came (`ControllerEventManager`).

An event may take many turns of the event loop, but no other event begins before it has ended: what it has
read stays true but for what others write to the tree. Whoever asks for something waits in the same queue.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from fastlog.base.quick_dataclass import dataclass
from fastlog.base.tasks import Loop, Supervisor

_LOG: Final = logging.getLogger(__name__)
_TURN: Final = 200
"""How much is done between two turns of the event loop: some 200 partitions take a few milliseconds."""

T = TypeVar("T")
Action = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class _Event:
    name: str
    run: Action
    drop: Callable[[], None] | None


class EventQueue:
    """Used on the event loop. `on_failure` is awaited with what an event raised, before the next one.

    `on_event` is called after each.
    """

    def __init__(
        self,
        tasks: Supervisor,
        on_failure: Callable[[str, Exception], Awaitable[None]],
        on_event: Callable[[], object] = lambda: None,
    ) -> None:
        self._tasks = tasks
        self._on_failure = on_failure
        self._on_event = on_event
        self._waiting: deque[_Event] = deque()
        self._names: set[str] = set()
        self._some = asyncio.Event()
        self._loop: Loop | None = None
        self._closed = False
        self.running = ""
        """The name of the event that is carried out, or empty."""

    def __len__(self) -> int:
        return len(self._waiting)

    def start(self) -> None:
        """Begins to carry out events."""
        self._loop = self._tasks.run("controller", self._run)

    def put(self, name: str, run: Action, *, once: bool = False) -> None:
        """Adds an event. With `once` one that waits already under this name does for both."""
        if self._closed or (once and name in self._names):
            return
        self._add(_Event(name, run, None))

    async def ask(self, name: str, run: Callable[[], Awaitable[T]], refused: Callable[[], T]) -> T:
        """Carries out `run` when its turn comes and gives its answer; `refused()` if it is dropped before.

        What `run` raises is raised here, and told to `on_failure`.
        """
        if self._closed:
            return refused()
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        async def carry_out() -> None:
            try:
                given = await run()
            except BaseException as error:
                if not answer.done():
                    if isinstance(error, Exception):
                        answer.set_exception(error)
                    else:
                        answer.set_result(refused())
                raise
            if not answer.done():
                answer.set_result(given)

        def drop() -> None:
            if not answer.done():
                answer.set_result(refused())

        self._add(_Event(name, carry_out, drop))
        return await answer

    def drain(self) -> None:
        """Drops all that waits; who asked is refused."""
        waiting, self._waiting = self._waiting, deque()
        self._names.clear()
        for event in waiting:
            if event.drop is not None:
                event.drop()

    async def close(self) -> None:
        """Ends the work; the event that is carried out is cancelled."""
        self._closed = True
        self.drain()
        if self._loop is not None:
            await self._loop.stop()

    def _add(self, event: _Event) -> None:
        self._waiting.append(event)
        self._names.add(event.name)
        self._some.set()

    async def _run(self) -> None:
        while True:
            while not self._waiting:
                self._some.clear()
                await self._some.wait()
            event = self._waiting.popleft()
            # Another one of this name may come from now on: this one may have read already what changed.
            self._names.discard(event.name)
            self.running = event.name
            try:
                await event.run()
            except Exception as error:  # noqa: BLE001 - one event's failure is not that of the queue
                await self._on_failure(event.name, error)
            finally:
                self.running = ""
            self._on_event()


class Turns:
    """Lets others work during a long pass: `await turns.step()` after each element, or each few."""

    __slots__ = ("_left", "_size")

    def __init__(self, size: int = _TURN) -> None:
        self._size = self._left = size

    async def step(self, count: int = 1) -> None:
        """`count` elements have been dealt with."""
        self._left -= count
        if self._left <= 0:
            self._left = self._size
            await asyncio.sleep(0)
