"""What the broker does when memory runs out all the same: a limit of the process or the machine is reached.

`MemoryError` costs the request that meets it: a handler's is its error, one in a callback is logged by the
event loop, and one in the event loop's own bookkeeping is caught here, as it would end the broker. Native
code has a reserve for what cannot fail (`hold_reserve`); it is set aside again as soon as there is room.
Freed memory goes back to the system every ten seconds: glibc would keep much of it for good.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from fastlog.native import give_back, hold_reserve, release_reserve
from fastlog.server.requests.logging_limits import LimitedLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastlog.base.tasks import Loop, Supervisor

_LOG: Final = logging.getLogger(__name__)
_CHECK_SECONDS: Final = 1.0
_GIVE_BACK_SECONDS: Final = 10.0
_LEAST_GIVEN_BACK: Final = 16 * 1024 * 1024


class BrokerLoop(asyncio.SelectorEventLoop):
    """An event loop that outlives a lack of memory."""

    _is_to_stop = False

    def run_forever(self) -> None:
        """Runs until `stop` is called."""
        self._is_to_stop = False
        while True:
            try:
                super().run_forever()
            except MemoryError:
                # What was ready stays ready: the next turn goes on with it, with the reserve's memory.
                release_reserve()
                if not self._is_to_stop:
                    continue
            return

    def stop(self) -> None:
        """Ends `run_forever` after this turn, also when that runs out of memory."""
        self._is_to_stop = True
        super().stop()


class LowMemory:
    """Keeps the reserve, and says when it was needed.

    Errors of callbacks for want of memory are logged here; all others go to the handler that the loop had.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, tasks: Supervisor, monotonic: Callable[[], float]
    ) -> None:
        self._loop = loop
        self._tasks = tasks
        self._log = LimitedLog(_LOG, monotonic)
        self._loops: list[Loop] = []
        self._was_there = True
        self._others = loop.get_exception_handler()

    def start(self) -> None:
        """Sets the reserve aside, and hears of errors of callbacks."""
        self._loop.set_exception_handler(self._on_exception)
        self._loops = [
            self._tasks.repeat("memory-reserve", self._refill, every=_CHECK_SECONDS),
            self._tasks.repeat("memory-return", self._give_back, every=_GIVE_BACK_SECONDS),
        ]

    async def stop(self) -> None:
        """Ends it."""
        for loop in self._loops:
            await loop.stop()
        self._loop.set_exception_handler(self._others)
        release_reserve()

    async def _refill(self) -> None:
        is_there = hold_reserve()
        if not is_there and self._was_there:
            _LOG.error("memory has run out: requests fail until some is free")
        elif is_there and not self._was_there:
            _LOG.warning("there is memory again")
        self._was_there = is_there

    async def _give_back(self) -> None:
        await asyncio.to_thread(give_back, _LEAST_GIVEN_BACK)

    def _on_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if isinstance(context.get("exception"), MemoryError):
            release_reserve()
            self._log.log(logging.ERROR, "memory", "no memory: %s", context.get("message"))
        elif self._others is not None:
            self._others(loop, context)
        else:
            loop.default_exception_handler(context)
