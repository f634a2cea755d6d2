"""The two clocks and the one that tests move."""

from __future__ import annotations

import time

import pytest

from fastlog.base.clock import Clock, ManualClock, SystemClock


def test_system_clock_reads_the_operating_system() -> None:
    clock = SystemClock()
    before = time.time_ns() // 1_000_000
    now = clock.now_ms()
    after = time.time_ns() // 1_000_000
    assert before <= now <= after
    assert clock.monotonic() <= clock.monotonic()


def test_manual_clock_moves_both_clocks() -> None:
    clock = ManualClock(1_000)
    clock.advance(250)
    assert (clock.now_ms(), clock.monotonic()) == (1_250, 0.25)
    clock.jump_wall(-2_000)
    assert (clock.now_ms(), clock.monotonic()) == (-750, 0.25)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)


@pytest.mark.parametrize("clock", [SystemClock(), ManualClock()])
def test_both_fit_the_protocol(clock: object) -> None:
    assert isinstance(clock, Clock)
