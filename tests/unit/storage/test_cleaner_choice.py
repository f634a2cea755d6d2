"""Which log is compacted: ratio, lags, tombstones; first by what the engine says, then with real logs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fastlog.base.clock import ManualClock
from fastlog.native import Log, LogConfig, build_batch
from fastlog.storage.cleaner_choice import Candidate, LogToClean, choose, look
from fastlog.storage.cleaner_settings import CleanerSettings, CompactionPolicy
from tests.unit.storage.cleaner_world import FakeState

HOUR = 3_600_000


def target(policy: CompactionPolicy | None = None, **state: Any) -> LogToClean:
    """A log in this state."""
    entry: Any = object()
    return LogToClean(entry, policy or CompactionPolicy(), 0, 100, FakeState(**state))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "policy", "expected"),
    [
        ({"dirty_ratio": 0.5}, {}, False),
        ({"dirty_ratio": 0.51}, {}, True),
        ({"dirty_ratio": 0.01}, {"min_dirty_ratio": 0.0}, True),
        ({"dirty_ratio": 0.0}, {"min_dirty_ratio": 0.0}, False),
        ({"dirty_ratio": 0.01, "cleanable_bytes": 5, "compaction_delay_ms": 1}, {}, True),
        ({"dirty_ratio": 0.0, "cleanable_bytes": 0, "compaction_delay_ms": 1}, {}, False),
        ({"removal_due": True}, {}, True),
    ],
)
def test_what_is_worth_compacting(state: dict[str, Any], policy: dict[str, Any], expected: bool) -> None:
    assert target(CompactionPolicy(**policy), **state).is_worth_it is expected


def test_the_dirtiest_goes_first() -> None:
    dirty, dirtier, dirtiest = target(dirty_ratio=0.6), target(dirty_ratio=0.7), target(dirty_ratio=0.9)
    strict = target(CompactionPolicy(min_dirty_ratio=0.99), dirty_ratio=0.95)
    tombstones = target(removal_due=True)
    assert choose([dirty, tombstones, dirtiest, strict, dirtier]) is dirtiest
    assert choose([tombstones, dirty]) is dirty
    assert choose([strict, tombstones]) is tombstones
    assert choose([strict]) is None
    assert choose([]) is None


def test_what_threads_share() -> None:
    settings = CleanerSettings(threads=4, dedupe_buffer_bytes=4000, load_factor=0.5)
    assert settings.map_bytes == 500
    # As it may be while the cleaner is off.
    assert CleanerSettings(threads=0, dedupe_buffer_bytes=1000, load_factor=0.5).map_bytes == 500
    assert settings.rate is None
    assert CleanerSettings(bytes_per_second=1.7976931348623157e308).rate is None
    assert CleanerSettings(bytes_per_second=5e6).rate == 5e6


class Entry:
    """`OpenPartition` as far as it counts here."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.key = ("t", 0)


class RealLog:
    """A log of single-record batches of a hundred bytes in segments of about ten."""

    def __init__(self, path: Path, clock: ManualClock) -> None:
        self.clock = clock
        self.log = Log.open(str(path), LogConfig(segment_bytes=2048, compact=True, segment_ms=1 << 60))

    def fill(self, keys: Sequence[int], *, age_ms: int = 0) -> None:
        for key in keys:
            record = (b"key-%d" % key, b"v" * 100, [], self.clock.now_ms() - age_ms)
            self.log.append(build_batch([record]))

    def look(self, *, limit: int | None = None, clean_from: int | None = None, **policy: Any) -> LogToClean:
        candidate = Candidate(Entry(self.log), CompactionPolicy(**policy), clean_from)  # type: ignore[arg-type]
        found = look(candidate, self.log.log_end_offset if limit is None else limit, self.clock.now_ms())
        assert found is not None
        return found


@pytest.fixture
def real(tmp_path: Path) -> RealLog:
    return RealLog(tmp_path / "t-0", ManualClock())


def test_a_log_that_may_not_be_compacted_is_not_looked_at(real: RealLog) -> None:
    candidate = Candidate(Entry(real.log), CompactionPolicy(), 0)  # type: ignore[arg-type]
    assert look(candidate, None, 0) is None


def test_ratio_is_by_bytes_of_sealed_segments(real: RealLog) -> None:
    real.fill(range(5))
    assert not real.look().is_worth_it  # the active segment does not count
    real.fill(range(100))
    rows = real.log.segments()
    found = real.look()
    assert found.state.dirty_ratio == 1.0
    assert found.state.first_uncleanable_offset == rows[-1][0]
    middle = rows[len(rows) // 2][0]
    assert real.log.compact(-1, middle, real.clock.now_ms()).cleaned_to == middle
    rows = real.log.segments()
    clean = sum(size for base, size, _ in rows if base < middle)
    dirty = sum(size for base, size, _ in rows[:-1] if base >= middle)
    assert real.look(clean_from=middle).state.dirty_ratio == pytest.approx(dirty / (clean + dirty))


def test_nothing_at_or_above_the_last_stable_offset(real: RealLog) -> None:
    real.fill(range(100))
    second = real.log.segments()[1][0]
    state = real.look(limit=second + 1).state
    assert state.first_uncleanable_offset == second
    assert not real.look(limit=0).is_worth_it


def test_min_compaction_lag(real: RealLog) -> None:
    real.fill(range(50), age_ms=2 * HOUR)
    real.fill(range(50), age_ms=0)
    young = next(base for base, _, stamp in real.log.segments() if stamp > real.clock.now_ms() - HOUR)
    assert real.look(min_lag_ms=HOUR).state.first_uncleanable_offset == young
    assert not real.look(min_lag_ms=3 * HOUR).is_worth_it
    real.clock.advance(HOUR + 1)
    assert real.look(min_lag_ms=HOUR).state.first_uncleanable_offset == real.log.segments()[-1][0]


def test_max_compaction_lag(real: RealLog) -> None:
    real.fill(range(100))
    lazy = {"min_dirty_ratio": 1.0, "max_lag_ms": HOUR}
    assert not real.look(**lazy).is_worth_it
    real.clock.advance(HOUR)
    assert not real.look(**lazy).is_worth_it
    real.clock.advance(1)
    assert real.look(**lazy).is_worth_it
    # What is clean is not overdue.
    real.log.compact(-1, real.log.log_end_offset, real.clock.now_ms())
    assert not real.look(**lazy, clean_from=real.log.segments()[-1][0]).is_worth_it


@pytest.mark.parametrize("clean_from", [10_000, -1])
def test_a_checkpoint_outside_of_the_log_starts_again(real: RealLog, clean_from: int) -> None:
    real.fill(range(100))
    found = real.look(clean_from=clean_from)
    assert found.state.first_dirty_offset == 0
    assert found.state.dirty_ratio == 1.0
