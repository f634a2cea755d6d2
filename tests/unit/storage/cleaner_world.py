"""Logs that only say how dirty they are, and a manager with a cleaner over them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastlog.native import CleanerThrottle, CompactionAborted
from fastlog.storage.cleaner_settings import CompactionPolicy
from fastlog.storage.log_manager import LogManager
from fastlog.storage.recovery import Opening
from tests.unit.storage.fakes import FakeConfig, FakeLog, LogOpener
from tests.unit.storage.store import ID, Store

COMPACT = FakeConfig(compact=True, delete=False)


@dataclass
class FakeState:
    """`CompactionState`."""

    first_dirty_offset: int = 0
    checkpoint_valid: bool = True
    cleanable_bytes: int = 0
    dirty_ratio: float = 0.0
    compaction_delay_ms: int = 0
    removal_due: bool = False


@dataclass
class FakeReport:
    """`CompactionReport`."""

    cleaned_to: int
    map_full: bool = False
    map_records: int = 5
    map_memory_bytes: int = 120
    bytes_read: int = 1000
    bytes_kept: int = 400
    records_read: int = 10
    records_kept: int = 4
    invalid_records: int = 0
    throttled_seconds: float = 0.0


@dataclass
class CompactableLog(FakeLog):
    """A log whose dirtiness the test sets. `gate` blocks `compact` until it is set or stopped,
    `look_gate` the look before it."""

    dirty: FakeState = field(default_factory=FakeState)
    cleaned_to: int | None = None
    invalid_records: int = 0
    error: Exception | None = None
    look_error: Exception | None = None
    gate: threading.Event | None = None
    look_gate: threading.Event | None = None
    entered: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[int, int, int, dict[str, int]]] = field(default_factory=list)
    compacted: list[dict[str, Any]] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)
    stopped: bool = False

    def compaction_state(self, clean_from: int, max_offset: int, now_ms: int, **lags: int) -> FakeState:
        self.asked.append((clean_from, max_offset, now_ms, lags))
        if self.look_gate is not None:
            assert self.look_gate.wait(30)
        if self.look_error is not None:
            raise self.look_error
        return self.dirty

    def compact(
        self, clean_from: int, max_offset: int, now_ms: int, *, throttle: CleanerThrottle, **options: Any
    ) -> FakeReport:
        self.stopped = False
        self.threads.add(threading.current_thread().name)
        self.compacted.append({"clean_from": clean_from, "max_offset": max_offset, **options})
        self.entered.set()
        while self.gate is not None and not self.gate.wait(0.005):
            if self.stopped or throttle.cancelled or self.closed:
                raise CompactionAborted("it was stopped")
        if self.error is not None:
            raise self.error
        self.dirty = FakeState(first_dirty_offset=self.dirty.first_dirty_offset)
        cleaned_to = self.log_end_offset if self.cleaned_to is None else self.cleaned_to
        return FakeReport(cleaned_to, invalid_records=self.invalid_records)

    def stop_compaction(self) -> None:
        self.stopped = True


class CleanerOpener(LogOpener):
    """`Log.open` for such logs."""

    def __call__(self, path: str, config: Any, **options: Any) -> Any:
        log = CompactableLog(path, config, options)
        self.logs[path] = log
        return log


class CleanerStore(Store):
    """Log directories of such logs; `policies` holds the settings of topics, where not the defaults."""

    def __init__(self, root: Path, directories: int = 1) -> None:
        super().__init__(root, directories)
        self.opener: LogOpener = CleanerOpener()
        self.policies: dict[str, CompactionPolicy] = {}
        self.limits: dict[str, int | None] = {}

    async def opened(self, config: FakeConfig = COMPACT) -> LogManager:
        """A manager with every partition found on disk open, under `config`."""
        manager = await self.manager()
        preparation = await manager.prepare()
        await manager.confirm_identity("vPeOCWypqUOSepEvx0cbog", 1)
        await manager.open([Opening(found, ID, config) for found in preparation.partitions])  # type: ignore[arg-type]
        manager.cleaner.set_hooks(self.policy, lambda topic, partition: self.limits.get(topic, 1000))
        return manager

    def policy(self, topic: str) -> CompactionPolicy | None:
        """The settings of a topic."""
        return self.policies.get(topic, CompactionPolicy())


async def add(
    manager: LogManager, topic: str, ratio: float = 0.0, *, records: int = 10, config: FakeConfig = COMPACT
) -> Any:
    """A partition with a log of so many records and this share of dirty bytes."""
    log: Any = await manager.create(topic, ID, 0, config)  # type: ignore[arg-type]
    log.append(b"x" * records)
    log.dirty = FakeState(cleanable_bytes=int(ratio * 100), dirty_ratio=ratio)
    return log


async def until(condition: Callable[[], bool]) -> None:
    """Returns when `condition` holds."""
    for _ in range(4000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come about")
