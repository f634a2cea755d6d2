"""The counters of the request path and the histogram under them."""

from __future__ import annotations

import pytest

from fastlog.base.histogram import Histogram
from fastlog.server.observability.metrics import BrokerMetrics


def test_a_value_belongs_to_the_first_bound_that_is_not_below_it() -> None:
    histogram = Histogram((1.0, 2.0, 5.0))
    for value in (0.0, 1.0, 1.5, 2.0, 4.9, 5.0, 5.1, 100.0):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 2, 2]
    assert histogram.count == 8
    assert histogram.sum == pytest.approx(119.5)


def test_histograms_add_up() -> None:
    one, other = Histogram((1.0,)), Histogram((1.0,))
    one.observe(0.5)
    other.observe(0.5)
    other.observe(3.0)
    both = one + other
    assert (both.counts, both.sum, one.counts) == ([2, 1], 4.0, [1, 0])
    with pytest.raises(ValueError, match="different bounds"):
        one + Histogram((2.0,))


def test_waits_are_no_work() -> None:
    metrics = BrokerMetrics()
    metrics.answered(1, 0.002)
    metrics.answered_late(1, 1.0, parked=0.5, sending=0.25)
    # Clocks that are read one after the other may make the parts a little longer than the whole.
    metrics.answered_late(1, 0.3, parked=0.3000001, sending=0.0)
    times = metrics.times[1]
    assert times.total().sum == pytest.approx(1.302)
    assert times.busy().sum == pytest.approx(0.252)
    assert times.total().count == times.busy().count == 3
    assert (times.parked, times.sending) == (pytest.approx(0.8000001), 0.25)
