"""Retention by time and size over real logs, at times that the test sets."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastlog.base.clock import ManualClock
from fastlog.base.uuids import random_uuid
from fastlog.native import IoEngine, Log, LogConfig, build_batch
from fastlog.storage.io import IoLoop
from fastlog.storage.log_manager import LogManager
from fastlog.storage.recovery import Opening
from fastlog.storage.settings import StorageSettings

HOUR = 3_600_000
ID = random_uuid()


class Store:
    """One log directory, opened as often as a test likes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        # The engine notes by the system's clock when it renames a file.
        self.clock = ManualClock(int(time.time() * 1000))
        self.io = IoLoop(IoEngine(1))

    async def start(self, config: LogConfig) -> LogManager:
        manager = LogManager(StorageSettings(log_dirs=[self.directory]), self.clock, self.io)
        found = (await manager.prepare()).partitions
        await manager.confirm_identity("c", 1)
        await manager.open([Opening(entry, ID, config) for entry in found])
        return manager

    def fill(self, log: Log, batches: int, *, timestamp: int) -> None:
        for number in range(batches):
            log.append(build_batch([(None, b"%04d" % number * 100, [], timestamp)]))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = Store(tmp_path / "data")
    yield made
    await made.io.close()


def files(log: Log, suffix: str) -> list[str]:
    return sorted(path.name for path in Path(log.path).iterdir() if path.name.endswith(suffix))


async def test_old_segments_go_after_their_time(store: Store) -> None:
    config = LogConfig(segment_bytes=1024, retention_ms=HOUR, file_delete_delay_ms=60_000)
    manager = await store.start(config)
    log = await manager.create("t", ID, 0, config)
    now = store.clock.now_ms()
    store.fill(log, 10, timestamp=now - HOUR + 1000)
    store.fill(log, 10, timestamp=now)
    segments = log.segment_count
    assert segments > 8
    assert await manager.housekeeping.retain() == 0
    store.clock.advance(1001)
    removed = await manager.housekeeping.retain()
    assert 0 < removed < segments
    assert log.segment_count == segments - removed
    assert 8 <= log.log_start_offset <= 10
    assert log.log_end_offset == 20
    assert len(files(log, ".log.deleted")) == removed
    assert await manager.housekeeping.purge() == 0
    store.clock.advance(60_000)
    assert await manager.housekeeping.purge() > 0
    assert files(log, ".deleted") == []
    assert await manager.shutdown()
    # What is gone stays gone.
    again = await store.start(config)
    reopened = again.get("t", 0)
    assert reopened is not None
    assert (reopened.log_start_offset, reopened.log_end_offset) == (log.log_start_offset, 20)
    await again.shutdown()


async def test_a_log_does_not_outgrow_its_size(store: Store) -> None:
    config = LogConfig(segment_bytes=1024, retention_bytes=4096, retention_ms=-1)
    manager = await store.start(config)
    log = await manager.create("t", ID, 0, config)
    store.fill(log, 40, timestamp=store.clock.now_ms())
    before = log.size_bytes
    assert await manager.housekeeping.retain() > 0
    assert 4096 <= log.size_bytes < 4096 + 2048 < before
    assert await manager.housekeeping.retain() == 0
    await manager.shutdown()


async def test_nothing_is_deleted_without_limits(store: Store) -> None:
    config = LogConfig(segment_bytes=1024, retention_ms=-1, retention_bytes=-1)
    manager = await store.start(config)
    log = await manager.create("t", ID, 0, config)
    store.fill(log, 20, timestamp=0)
    store.clock.advance(1000 * HOUR)
    assert await manager.housekeeping.retain() == 0
    assert log.log_start_offset == 0
    await manager.shutdown()


async def test_new_limits_hold_at_once(store: Store) -> None:
    config = LogConfig(segment_bytes=1024, retention_ms=-1)
    manager = await store.start(config)
    log = await manager.create("t", ID, 0, config)
    store.fill(log, 20, timestamp=store.clock.now_ms() - HOUR)
    await manager.update_config("t", LogConfig(segment_bytes=1024, retention_ms=HOUR // 2))
    assert await manager.housekeeping.retain() == 10 or log.log_start_offset > 0
    await manager.shutdown()


async def test_retention_stays_below_the_high_watermark(store: Store) -> None:
    config = LogConfig(segment_bytes=1024, retention_ms=1)
    manager = await store.start(config)
    log = await manager.create("t", ID, 0, config)
    store.fill(log, 20, timestamp=store.clock.now_ms() - HOUR)
    manager.set_retention_limit(lambda topic, partition: 9)
    await manager.housekeeping.retain()
    assert 0 < log.log_start_offset <= 9
    manager.set_retention_limit(lambda topic, partition: 20)
    await manager.housekeeping.retain()
    assert log.log_start_offset > 9
    await manager.shutdown()


async def test_checkpoints_bound_what_a_crash_makes_the_next_start_check(store: Store) -> None:
    config = LogConfig(segment_bytes=2048)
    manager = await store.start(config)
    log = await manager.create("t", ID, 0, config)
    store.fill(log, 50, timestamp=store.clock.now_ms())
    store.clock.advance(60_000)
    await manager.housekeeping.watch()
    await manager.housekeeping.checkpoint()
    store.fill(log, 5, timestamp=store.clock.now_ms())
    size = log.size_bytes
    for directory in manager.directories:
        directory.close()
    again = await store.start(config)
    reopened = again.get("t", 0)
    assert reopened is not None
    assert reopened.log_end_offset == 55
    scanned = reopened.recovery_report["bytes_scanned"]
    assert 0 < scanned < size / 5
    assert await again.shutdown()
    clean = await store.start(config)
    last = clean.get("t", 0)
    assert last is not None
    assert last.recovery_report["bytes_scanned"] == 0
    await clean.shutdown()


async def test_deleted_records_stay_deleted_after_a_crash(store: Store) -> None:
    config = LogConfig(segment_bytes=1 << 20)
    manager = await store.start(config)
    log = await manager.create("t", ID, 0, config)
    store.fill(log, 20, timestamp=store.clock.now_ms())
    assert await manager.advance_log_start("t", 0, 7) == 7
    assert not await manager.keep_log_starts([("t", 0)])
    for directory in manager.directories:
        directory.close()
    again = await store.start(config)
    reopened = again.get("t", 0)
    assert reopened is not None
    assert (reopened.log_start_offset, reopened.log_end_offset) == (7, 20)
    await again.shutdown()
