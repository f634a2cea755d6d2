"""The waits at the end of a run: each has a bound, and all of them share it.

A disk that hangs, a thread that never comes back or a defect in one part must not keep the process from
ending. What is given up or fails is named in the log; nobody vouches for the state on the disk then.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastlog.base.tasks import outcome_of

__all__ = ["Ending"]

_LOG: Final = logging.getLogger(__name__)
_MARGIN_SECONDS: Final = 30.0
# What comes after a part that used the time up gets this much each: most of it needs no more.
_LEAST_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 0.5


class Ending:
    """One stop. `seconds` may pass in all without headway; what makes headway may take as long as it does.

    To flush a large log takes its time, and to be cut short would only move the work to the next start.
    """

    def __init__(
        self, seconds: float = _MARGIN_SECONDS, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.gave_up: Final[list[str]] = []
        """What was not waited for to its end: it may still be at work."""
        self.failed: Final[list[str]] = []
        """What came to an end that it should not have."""
        self._left = seconds
        self._monotonic = monotonic
        self._steps = 0

    @property
    def went_well(self) -> bool:
        """Whether everything so far came to its proper end."""
        return not self.gave_up and not self.failed

    def headway(self) -> None:
        """Called by what is waited for: something was done, and it was not the last thing."""
        self._steps += 1

    async def wait(self, what: str, work: Callable[[], Coroutine[Any, Any, object]]) -> bool:
        """Whether `work` came to its end. When not, it is left to itself, and `what` is noted."""
        task = asyncio.create_task(outcome_of(work), name=f"fastlog-ending-{what}")
        self._left = max(self._left, _LEAST_SECONDS)
        while not task.done() and self._left > 0:
            began, steps = self._monotonic(), self._steps
            await asyncio.wait([task], timeout=min(self._left, _LOOK_SECONDS))
            if steps == self._steps:
                self._left -= self._monotonic() - began
        if not task.done():
            task.cancel()
            self.gave_up.append(what)
            _LOG.error("the stop does not wait any longer for: %s", what)
            return False
        error = asyncio.CancelledError() if task.cancelled() else task.result()
        if error is not None:
            self._fail(what, error)
        return error is None

    def call(self, what: str, work: Callable[[], object]) -> bool:
        """The same for what does not wait."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the rest has to end all the same
            self._fail(what, error)
            return False
        return True

    def _fail(self, what: str, error: BaseException) -> None:
        self.failed.append(what)
        _LOG.error("the stop goes on after a failure of: %s", what, exc_info=error)
