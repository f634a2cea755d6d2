"""Where the ends of partitions were in the last hour: each look of the last minute, then one a minute.

An hour of 15,000 partitions takes some 8 MB: a number for each of them and each time that is kept.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Mapping
from itertools import pairwise
from typing import Final

from fastlog.client.metadata import TopicPartition

__all__ = ["EndTracks"]

_HOUR: Final = 3600.0
_MINUTE: Final = 60.0
_UNKNOWN: Final = -1


class EndTracks:
    """Ends by partition and time (seconds since 1970)."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._tracks: dict[TopicPartition, array[int]] = {}

    def __len__(self) -> int:
        return len(self._times)

    def put(self, wall: float, ends: Mapping[TopicPartition, int]) -> None:
        """The ends of now; partitions that are not among them are forgotten."""
        count = len(self._times)
        for name in self._tracks.keys() - ends.keys():
            del self._tracks[name]
        for name, end in ends.items():
            track = self._tracks.get(name)
            if track is None:
                track = self._tracks[name] = array("q", [_UNKNOWN]) * count
            track.append(end)
        self._times.append(wall)
        self._thin(wall)

    def _thin(self, wall: float) -> None:
        """Drops what is older than an hour, and between minutes what is older than one."""
        times = self._times
        gone = [at for at, time in enumerate(times) if wall - time > _HOUR]
        old = [at for at, time in enumerate(times) if _MINUTE < wall - time <= _HOUR]
        gone += [at for before, at in pairwise(old) if times[at] // _MINUTE == times[before] // _MINUTE]
        for at in sorted(gone, reverse=True):
            del times[at]
            for track in self._tracks.values():
                del track[at]

    def seconds_since(self, name: TopicPartition, offset: int, wall: float) -> float | None:
        """How long before `wall` the end was at this offset, between two looks in proportion.

        None where that was before the first look.
        """
        track = self._tracks.get(name)
        if track is None:
            return None
        first = next((at for at, end in enumerate(track) if end != _UNKNOWN), len(track))
        at = bisect_right(track, offset, first)
        if at == first:
            return None
        then, end = self._times[at - 1], track[at - 1]
        if at < len(track):
            then += (self._times[at] - then) * (offset - end) / max(1, track[at] - end)
        return max(0.0, wall - then)
