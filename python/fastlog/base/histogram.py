"""A histogram that costs one binary search and two additions per observation.

Plain lists and floats: the request path bumps them, whoever exports them reads them. For one event loop or
one thread; a reader elsewhere sees each number whole, though not all of the same moment.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

__all__ = ["LATENCY_BOUNDS", "Histogram"]

LATENCY_BOUNDS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
"""Upper bounds in seconds, from what a request takes in memory to what its longest wait takes."""


class Histogram:
    """Counts per bucket, and the sum of what was observed.

    `bounds` rise; a value belongs to the first bound that is not below it (Prometheus' `le`). `counts` has
    one more entry than `bounds`, for what is above all of them; it is not cumulative.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = LATENCY_BOUNDS) -> None:
        self.bounds: Final = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """One more value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def __add__(self, other: Histogram) -> Histogram:
        """Both together. They must have the same bounds."""
        if self.bounds != other.bounds:
            raise ValueError("histograms with different bounds cannot be added")
        both = Histogram(self.bounds)
        both.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        both.sum = self.sum + other.sum
        return both

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)
