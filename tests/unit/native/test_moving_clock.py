"""The clock that a test moves, in Python and in the engine."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fastlog.base.clock import Clock
from fastlog.native import ClockAhead, Log, LogConfig, build_batch, read_batches
from fastlog.native.moving_clock import MovingClock


def test_it_goes_on_as_time_does_and_further() -> None:
    clock = MovingClock(1000)
    assert isinstance(clock, Clock)
    assert 0 <= clock.now_ms() - time.time() * 1000 - 999 < 5000
    wall, monotonic = clock.now_ms(), clock.monotonic()
    clock.advance(3_600_000)
    assert 3_600_000 <= clock.now_ms() - wall < 3_605_000
    assert 3600 <= clock.monotonic() - monotonic < 3605
    assert clock.ahead.milliseconds == 3_601_000
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)


def test_logs_move_with_it(tmp_path: Path) -> None:
    ahead = ClockAhead()
    log = Log.open(str(tmp_path), LogConfig(timestamp_type="LogAppendTime"), ahead=ahead)
    for _ in range(2):
        log.append(build_batch([(b"k", b"v", [], 1)]))
        ahead.advance(86_400_000)
    first, second = (record[1] for record in read_batches(log.read(0, 1000)))
    assert 86_400_000 <= second - first < 86_410_000
