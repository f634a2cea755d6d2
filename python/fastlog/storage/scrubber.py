"""Reads all logs again and again, slowly, to find bytes that have changed.

What is read for the first time since a log was opened is checked in any case; the scrub is for the rest:
what changed after that, and what nobody reads. Damage takes the partition offline, like damage that a
consumer meets.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from fastlog.base.clock import Clock
from fastlog.base.quick_dataclass import dataclass
from fastlog.base.tasks import Loop, Supervisor
from fastlog.native import FastlogNativeError, StorageError
from fastlog.native.shapes import ScrubPosition
from fastlog.storage.disk_jobs import uninterrupted
from fastlog.storage.failures import DirectoryFailures
from fastlog.storage.partitions import OpenPartition, PartitionTable
from fastlog.storage.settings import StorageSettings

_LOG: Final = logging.getLogger(__name__)

_STEP_BYTES: Final = 1 << 20
# How soon after a pass that had nothing to read the next one may look again.
_LEAST_PAUSE_SECONDS: Final = 1.0


@dataclass(slots=True)
class ScrubStats:
    """Since the start of the broker.

    `covered_at` is the monotonic time at which the last pass that has ended began: everything was read since
    then. Until one has ended that is the start.
    """

    covered_at: float
    bytes: int = 0
    passes: int = 0


class Scrubber:
    """One log at a time, from `start` to `stop`; blocking work runs in threads, a step at a time."""

    def __init__(
        self,
        settings: StorageSettings,
        clock: Clock,
        table: PartitionTable,
        failures: DirectoryFailures,
        tasks: Supervisor | None = None,
    ) -> None:
        self._bytes_per_second = settings.scrub_bytes_per_second
        self._interval_seconds = settings.scrub_interval_ms / 1000
        self._clock = clock
        self._table = table
        self._failures = failures
        self._tasks = tasks or Supervisor(clock.monotonic)
        self._loop: Loop | None = None
        self.stats: Final = ScrubStats(covered_at=clock.monotonic())

    @property
    def enabled(self) -> bool:
        """Whether it reads anything at all."""
        return self._bytes_per_second > 0

    @property
    def age_seconds(self) -> float:
        """How long ago a byte can have been read last, at most."""
        return self._clock.monotonic() - self.stats.covered_at

    def start(self) -> None:
        """Begins with the first pass."""
        if self.enabled:
            self._loop = self._tasks.run("scrub", self._run)

    async def stop(self) -> None:
        """Stops; a step that is in a thread is waited for."""
        if self._loop is not None:
            await self._loop.stop()
            self._loop = None

    async def scrub_all(self) -> None:
        """One pass over the logs that are open now."""
        began = self._clock.monotonic()
        defects: list[Exception] = []
        for entry in self._table:
            try:
                await self._scrub(entry)
            except Exception as defect:  # noqa: BLE001 - the others have their turn, then it is raised
                defects.append(defect)
        if defects:
            raise defects[0]
        self.stats.covered_at = began
        self.stats.passes += 1

    async def _run(self) -> None:
        while True:
            began = self._clock.monotonic()
            await self.scrub_all()
            left = self._interval_seconds - (self._clock.monotonic() - began)
            await asyncio.sleep(max(left, _LEAST_PAUSE_SECONDS))

    async def _scrub(self, entry: OpenPartition) -> None:
        position: ScrubPosition | None = None
        while self._table.get(*entry.key) is entry:
            try:
                size, position = await uninterrupted(
                    asyncio.to_thread(entry.log.scrub, _STEP_BYTES, position)
                )
            except FastlogNativeError as error:
                self._note(entry, error)
                return
            self.stats.bytes += size
            if size and self.enabled:
                await asyncio.sleep(size / self._bytes_per_second)
            if position is None:
                return

    def _note(self, entry: OpenPartition, error: FastlogNativeError) -> None:
        if self._table.get(*entry.key) is not entry:
            return
        if entry.log.damage is not None:
            self._failures.log_failed(entry.log)
        elif isinstance(error, StorageError):
            _LOG.error("%s-%d could not be read through: %s", *entry.key, error)
        else:
            _LOG.warning("%s-%d could not be read through: %s", *entry.key, error)
