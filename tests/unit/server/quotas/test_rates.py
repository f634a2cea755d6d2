"""Rates and buckets: what Kafka's `Rate`, `SampledStat` and `TokenBucket` say, said in another way.

`tests/compat/test_quotas_against_kafka.py` has the same steps made by Kafka's own classes.
"""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastlog.server.quotas.rates import LONGEST_MS, QuotaWindows, SampledRate, TokenBucket, throttle_ms

STEPS = st.lists(
    st.tuples(st.integers(0, 4000), st.sampled_from((0.0, 1.0, 2.5, 1000.0, -1.0, 77777.0)), st.booleans()),
    max_size=120,
)
WINDOWS = st.builds(QuotaWindows, st.integers(1, 12), st.sampled_from((1000, 2000, 30_000)))


class Model:
    """Every sample that ever was, in order; the last `samples + 1` of them are those that there are."""

    def __init__(self, windows: QuotaWindows) -> None:
        self.windows = windows
        self.begin: list[int] = []
        self.events: list[list[tuple[int, float]]] = []
        """(when, how much) in each; what was emptied has none, and `touched` says when."""
        self.touched: list[int] = []

    def kept(self) -> range:
        return range(max(0, len(self.begin) - self.windows.samples - 1), len(self.begin))

    def record(self, amount: float, now: int) -> None:
        if not self.begin or now - self.begin[-1] >= self.windows.window_ms:
            self.begin.append(now)
            self.events.append([])
            self.touched.append(now)
        self.events[-1].append((now, amount))
        self.touched[-1] = now

    def measure(self, now: int) -> tuple[float, int]:
        if not self.begin:
            self.begin.append(now)
            self.events.append([])
            self.touched.append(now)
        for index in self.kept():
            if now - self.touched[index] >= self.windows.samples * self.windows.window_ms:
                self.begin[index] = self.touched[index] = now
                self.events[index] = []
        oldest = min(self.begin[index] for index in self.kept())
        whole = (now - oldest) // self.windows.window_ms
        period = now - oldest + max(self.windows.samples - 1 - whole, 0) * self.windows.window_ms
        total = math.fsum(amount for index in self.kept() for _, amount in self.events[index])
        return total / (max(period, 1) / 1000), max(period, 1)


@settings(deadline=None)
@given(STEPS, WINDOWS)
def test_a_rate_is_that_of_the_model(steps: list[tuple[int, float, bool]], windows: QuotaWindows) -> None:
    rate, model, now = SampledRate(), Model(windows), 5000
    for pause, amount, looks in steps:
        now += pause
        rate.record(amount, now, windows)
        model.record(amount, now)
        if looks:
            (value, period), (expected, of_model) = rate.measure(now, windows), model.measure(now)
            assert period == of_model
            assert value == pytest.approx(expected, rel=1e-9, abs=1e-6)
    # However long it lives, it keeps one sample more than it counts.
    assert len(rate._samples) <= windows.samples + 1


def test_a_burst_counts_over_all_whole_windows_but_the_current_one() -> None:
    rate, windows = SampledRate(), QuotaWindows()
    rate.record(100_000, 0, windows)
    assert rate.measure(0, windows) == (10_000.0, 10_000)
    value, period = rate.measure(400, windows)
    assert (value, period) == pytest.approx((100_000 / 10.4, 10_400))
    # Kafka counts a sample until its last amount is too old, though it began before.
    assert rate.measure(10_999, windows)[0] > 0
    assert rate.measure(11_000, windows)[0] == 0


def test_what_is_taken_back_was_never_there() -> None:
    rate, windows = SampledRate(), QuotaWindows()
    rate.record(50, 0, windows)
    rate.record(1e9, 10, windows)
    rate.record(-1e9, 10, windows)
    assert rate.measure(10, windows)[0] == pytest.approx(50 / 10.01)


@pytest.mark.parametrize(
    ("rate", "limit", "period", "expected"),
    [
        (100.0, 100.0, 10_000, 0),
        (99.0, 100.0, 10_000, 0),
        (150.0, 100.0, 10_000, 5000),
        (100.006, 100.0, 10_000, 1),
        (100.004, 100.0, 10_000, 0),
        (1.0, 0.0, 10_000, LONGEST_MS),
        (1e12, 1e-3, 10_000, LONGEST_MS),
    ],
)
def test_how_long_is_waited(rate: float, limit: float, period: int, expected: int) -> None:
    assert throttle_ms(rate, limit, period) == expected


@settings(deadline=None)
@given(STEPS, WINDOWS, st.sampled_from((0.5, 1.0, 5.0, 100.0)))
def test_a_bucket_never_has_more_than_its_burst_and_fills_up_evenly(
    steps: list[tuple[int, float, bool]], windows: QuotaWindows, limit: float
) -> None:
    bucket, now, burst = TokenBucket(), 5000, limit * windows.seconds
    left = burst
    assert bucket.left(now, limit, windows) == burst
    for pause, amount, _ in steps:
        now += pause
        left = min(burst, left + limit * pause / 1000)
        assert bucket.left(now, limit, windows) == pytest.approx(left, abs=1e-6)
        left = min(burst, left - amount)
        assert bucket.take(amount, now, limit, windows) == pytest.approx(left, abs=1e-6)
