"""Background work that a defect must not end: every loop of the broker runs here, under a name.

A loop that dies, of whatever it may be, is logged with its traceback, counted, and started again after a
pause that doubles from failure to failure. From a failure until it has worked again for some time its name
stands in `Supervisor.failing`, which turns readiness red.

| what                                           | here          | works again when                         |
|------------------------------------------------|---------------|------------------------------------------|
| a body that loops by itself                    | `run`         | it has run for `steady_seconds`          |
| a pass that is made again and again            | `repeat`      | a pass came to its end, and the same time|
| callbacks: timers, readers, chains of futures  | `guard`       | `steady_seconds` without a failure       |

Work of a single request needs none of this: whoever asked learns of its failure. Used on the event loop only.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final, ParamSpec

__all__ = ["Guard", "Loop", "Supervisor", "outcome_of"]

P = ParamSpec("P")
Body = Callable[[], Coroutine[Any, Any, object]]

_LOG: Final = logging.getLogger(__name__)
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 30.0
_STEADY_SECONDS: Final = 10.0
_CALLBACKS: Final = "callbacks"


class _Record:
    """What is known of one loop; it outlives the loop, as its count does."""

    def __init__(self, name: str, monotonic: Callable[[], float]) -> None:
        self.name: Final = name
        self.failures = 0
        self.passes = 0
        self.reason = ""
        self.failed_at = float("-inf")
        self.works = True
        self.by_passes = False
        """Whether only a pass that came to its end shows that it works."""
        self.is_under_way = False
        """Whether a pass is being made."""
        self._resting: asyncio.Future[None] | None = None
        self._hurried = False
        self._monotonic = monotonic

    def note(self, error: BaseException, *, works: bool) -> None:
        """A failure; `works` when what failed goes on by itself."""
        self.failures += 1
        self.reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        self.failed_at = self._monotonic()
        self.works = works

    def is_failing(self, steady_seconds: float) -> bool:
        """Whether it failed just now, or has not worked since."""
        return not self.works or self._monotonic() - self.failed_at < steady_seconds

    async def rest(self, seconds: float) -> None:
        """Waits until the next pass is due, or `hurry` was called since the last one began to rest."""
        if not self._hurried:
            self._resting = asyncio.get_running_loop().create_future()
            try:
                await asyncio.wait([self._resting], timeout=seconds)
            finally:
                self._resting = None
        self._hurried = False

    def hurry(self) -> int:
        """Has a pass made that begins after this moment; gives how many there are after it."""
        self._hurried = True
        if self._resting is not None and not self._resting.done():
            self._resting.set_result(None)
        # One that is under way may have asked for the time already.
        return self.passes + (2 if self.is_under_way else 1)


class Guard:
    """Calls what must not end the chain that it is part of."""

    def __init__(self, record: _Record) -> None:
        self._record = record

    def __call__(self, action: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> bool:
        """Whether `action` came to its end. What it raises is logged and counted."""
        try:
            action(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - the chain goes on, whatever it was
            self.failed(error)
            return False
        return True

    def failed(self, error: BaseException) -> None:
        """The same for a failure that was met elsewhere."""
        self._record.note(error, works=True)
        _LOG.error("background work (%s) failed", self._record.name, exc_info=error)


class Loop:
    """One supervised loop. A body that returns has done its work and is not started again."""

    def __init__(self, record: _Record, body: Body, supervisor: Supervisor) -> None:
        self.body = body
        self._record = record
        self._supervisor = supervisor
        self._pause = supervisor.first_pause
        self._ending = False
        self._over = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._task = self._begin()

    @property
    def name(self) -> str:
        """Its name, as it stands in metrics and in the log."""
        return self._record.name

    @property
    def passes(self) -> int:
        """How many passes came to their end since the start of the broker (`repeat`)."""
        return self._record.passes

    @property
    def is_over(self) -> bool:
        """Whether it has ended for good."""
        return self._over.is_set()

    async def stop(self) -> None:
        """Cancels it and returns when it has ended: a body that waits for a thread may take its time."""
        self._end()
        self._task.cancel()
        await self._over.wait()

    async def finish(self) -> None:
        """The same for a body that ends by itself: it is not cancelled, only never started again."""
        self._end()
        await self._over.wait()

    def _end(self) -> None:
        self._ending = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._over.set()

    def _begin(self) -> asyncio.Task[BaseException | None]:
        task = asyncio.create_task(outcome_of(self.body), name=f"fastlog-{self.name}")
        task.add_done_callback(self._on_end)
        return task

    def _begin_again(self) -> None:
        self._timer = None
        self._record.works = not self._record.by_passes
        self._task = self._begin()

    def _on_end(self, task: asyncio.Task[BaseException | None]) -> None:
        # A cancellation that nobody here asked for is a way to die like any other.
        error = asyncio.CancelledError() if task.cancelled() else task.result()
        if error is None or self._ending:
            if error is not None and not isinstance(error, asyncio.CancelledError):
                _LOG.error("background work (%s) failed while it was stopped", self.name, exc_info=error)
            self._over.set()
            return
        pause = self._supervisor.pause_after(self._record, self._pause)
        self._pause = min(2 * pause, self._supervisor.longest_pause)
        self._record.note(error, works=False)
        _LOG.error(
            "background work (%s) failed and is started again in %.1f s", self.name, pause, exc_info=error
        )
        self._timer = asyncio.get_running_loop().call_later(pause, self._begin_again)


class Supervisor:
    """All background work of one broker. `monotonic` in seconds decides how long a failure is remembered."""

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        first_pause: float = _FIRST_PAUSE_SECONDS,
        longest_pause: float = _LONGEST_PAUSE_SECONDS,
        steady_seconds: float = _STEADY_SECONDS,
    ) -> None:
        self.first_pause: Final = first_pause
        self.longest_pause: Final = longest_pause
        self._steady_seconds = steady_seconds
        self._monotonic = monotonic
        self._records: dict[str, _Record] = {}
        self.loops: dict[str, Loop] = {}
        """The newest loop of each name."""

    @property
    def failures(self) -> dict[str, int]:
        """How often each has failed, by name; all that ever ran."""
        return {name: record.failures for name, record in self._records.items()}

    @property
    def failing(self) -> dict[str, str]:
        """Why each has failed that is not known to work again, by name."""
        return {
            name: record.reason
            for name, record in self._records.items()
            if name != _CALLBACKS and record.is_failing(self._steady_seconds)
        }

    def run(self, name: str, body: Body) -> Loop:
        """Runs `body` until it returns or the loop is stopped."""
        return self._start(self._record(name), body)

    def repeat(
        self,
        name: str,
        action: Callable[[], Awaitable[object]],
        *,
        every: Callable[[], float] | float,
        first: float | None = None,
    ) -> Loop:
        """Makes a pass, waits `every` seconds, and so on; before the first one `first` seconds if given.

        After a failure the next pass comes when the pause is over, not when it would have been due.
        """
        record = self._record(name)
        record.by_passes = True
        waits = [] if first is None else [first]

        async def passes() -> None:
            if waits:
                await record.rest(waits.pop())
            while True:
                record.is_under_way = True
                try:
                    await action()
                finally:
                    record.is_under_way = False
                record.passes += 1
                record.works = True
                await record.rest(every() if callable(every) else every)

        return self._start(record, passes)

    def hurry(self, names: Iterable[str]) -> dict[str, int]:
        """Ends the pauses of these loops (`repeat`), as far as they run: the clock they go by was moved.

        Gives by name how many passes there are when one is made that has begun after this call.
        """
        due: dict[str, int] = {}
        for name in names:
            loop = self.loops.get(name)
            if loop is not None and not loop.is_over:
                due[name] = self._records[name].hurry()
        return due

    def guard(self, name: str) -> Guard:
        """A guard for callbacks. Guards of one name count together."""
        return Guard(self._record(name))

    def on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An exception handler for the event loop: what nobody caught is counted, and logged as ever.

        It turns nothing red: much of this runs for single clients, and nothing has stopped by it.
        """
        error = context.get("exception")
        if isinstance(error, BaseException) and not isinstance(error, OSError):
            self._record(_CALLBACKS).note(error, works=True)
        loop.default_exception_handler(context)

    def pause_after(self, record: _Record, pause: float) -> float:
        """How long to wait after a failure: short again when the last one is long ago."""
        return pause if record.is_failing(2 * self._steady_seconds) else self.first_pause

    def _start(self, record: _Record, body: Body) -> Loop:
        loop = self.loops[record.name] = Loop(record, body, self)
        return loop

    def _record(self, name: str) -> _Record:
        record = self._records.get(name)
        if record is None:
            record = self._records[name] = _Record(name, self._monotonic)
        return record


async def outcome_of(body: Body) -> BaseException | None:
    """What `body` raised, or None. A cancellation is raised on.

    A task that itself raises SystemExit or KeyboardInterrupt would take the event loop down with it.
    """
    try:
        await body()
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - handed on as a value
        return error
    return None
