"""One compaction of one log under way, and how it is given up."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from fastlog.native import CleanerThrottle, CompactionAborted, CompactionReport
from fastlog.storage.cleaner_choice import LogToClean

_LOG: Final = logging.getLogger(__name__)
_AGAIN_SECONDS: Final = 0.05


class Run:
    """Made on the event loop; `compact` is called in a thread. `reason` is set once it is to end early."""

    def __init__(self, target: LogToClean, memory_bytes: int, throttle: CleanerThrottle, now_ms: int) -> None:
        self.target: Final = target
        self.memory_bytes: Final = memory_bytes
        self.reason: str | None = None
        self._throttle = throttle
        self._now_ms = now_ms
        self._ended = asyncio.Event()
        self._interrupting: asyncio.Task[None] | None = None

    def compact(self) -> CompactionReport | None:
        """Compacts the log; blocks. None when that was interrupted. Raises what `Log.compact` raises."""
        target = self.target
        try:
            return target.entry.log.compact(
                target.clean_from,
                target.limit,
                self._now_ms,
                delete_retention_ms=target.policy.delete_retention_ms,
                min_lag_ms=target.policy.min_lag_ms,
                memory_bytes=self.memory_bytes,
                throttle=self._throttle,
            )
        except CompactionAborted as error:
            self.reason = self.reason or str(error)
            return None

    def interrupt(self, reason: str) -> None:
        """Has it end soon: within the time of one batch and one fsync."""
        if self._interrupting is None:
            self.reason = self.reason or reason
            self._interrupting = asyncio.create_task(self._interrupt(), name="fastlog-cleaner-interrupt")

    async def wait(self) -> None:
        """Returns when its thread has left the log."""
        await self._ended.wait()
        if self._interrupting is not None:
            await self._interrupting

    def ended(self) -> None:
        """Its thread has left the log."""
        self._ended.set()

    async def _interrupt(self) -> None:
        # Between the look at `reason` and the engine's own beginning there is nothing to stop yet.
        while not self._ended.is_set():
            try:
                await asyncio.to_thread(self.target.entry.log.stop_compaction)
            except Exception:  # noqa: BLE001 - it is asked again; whoever waits for the end must not be left
                _LOG.exception("a compaction could not be told to stop, it is told again")
            try:
                async with asyncio.timeout(_AGAIN_SECONDS):
                    await self._ended.wait()
            except TimeoutError:
                continue
