"""What a cluster did in the last hour, measured by looking at the ends of its logs: rates, sizes and lag.

Every interval (10 s at least) one look: the ends of all partitions (one request for each broker), the groups
with their offsets (one for each coordinator), and less often the sizes of replicas. A look that takes long is
followed by a longer pause, so that no more than a tenth of the time is spent on looking. All is in memory: a
float for each topic and each group and interval of the hour, and the ends of partitions (`end_tracks`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from array import array
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from fastlog.client.admin.group_batches import offsets_of_groups
from fastlog.client.admin.groups import list_groups
from fastlog.client.admin.log_dirs import describe_log_dirs
from fastlog.client.errors import ClientError
from fastlog.client.leaders import LATEST, OffsetAt, list_offsets
from fastlog.client.metadata import ClusterMetadata, TopicPartition
from fastlog.client.offset_values import OffsetAndMetadata
from fastlog.console.end_tracks import EndTracks
from fastlog.errors import FastlogError
from fastlog.verbs.desk import Desk

__all__ = ["Sampler"]

_LOG: Final = logging.getLogger("fastlog.console")
_HOUR: Final = 3600.0
_PARTITIONS_AT_ONCE: Final = 2000
_GROUPS_AT_ONCE: Final = 200
_MOST_PARTITIONS: Final = 100_000
_MOST_GROUPS: Final = 10_000
_SIZES_SECONDS: Final = 60.0
_UNKNOWN: Final = float("nan")


class _Series:
    """Values at the sampler's times; NaN where nothing was known."""

    __slots__ = ("first", "values")

    def __init__(self, first: int) -> None:
        self.first = first
        self.values: array[float] = array("f")

    def put(self, index: int, value: float) -> None:
        while self.first + len(self.values) < index:
            self.values.append(_UNKNOWN)
        self.values.append(value)

    def drop(self, before: int) -> None:
        gone = before - self.first
        if gone > 64:
            del self.values[:gone]
            self.first = before


class Sampler:
    """Measures while `run` runs; a `History` for verbs. `wall` gives seconds since 1970."""

    def __init__(
        self,
        desk: Desk,
        interval: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._desk = desk
        self._interval = interval
        self._clock = clock
        self._wall = wall
        self._times: deque[tuple[int, float]] = deque()
        self._index = -1
        self._at: float | None = None
        self._ends: dict[TopicPartition, int] = {}
        self._tracks = EndTracks()
        self._rates: dict[str, _Series] = {}
        self._lags: dict[str, _Series] = {}
        self._sizes: dict[str, int] = {}
        self._sizes_at = -_HOUR
        self._topic_groups: dict[str, list[str]] = {}
        self._topic_lags: dict[str, int] = {}
        self._group_lags: dict[str, int] = {}
        self.problem: str | None = None
        """Why the last look failed; None when it did not."""

    # -- measuring --------------------

    async def run(self) -> None:
        """Looks for ever; what goes wrong is told by `problem`, and looked at again. To be cancelled."""
        while True:
            began = self._clock()
            try:
                await self.look()
                self.problem = None
            except FastlogError as error:
                if self.problem is None:
                    _LOG.warning("the cluster cannot be measured: %s", error)
                self.problem = str(error)
            taken = self._clock() - began
            await asyncio.sleep(max(self._interval - taken, taken * 9, 1.0))

    async def look(self) -> None:
        """One look. Raises ClientError when nothing can be had."""
        metadata = await self._desk.metadata(fresh=True)
        ends = await self._look_at_ends(metadata)
        now, wall = self._clock(), self._wall()
        self._index += 1
        self._times.append((self._index, wall))
        while self._times and wall - self._times[0][1] > _HOUR:
            self._times.popleft()
        self._put_rates(ends, now)
        self._ends, self._at = ends, now
        self._tracks.put(wall, ends)
        await self._look_at_groups(ends)
        if now - self._sizes_at >= _SIZES_SECONDS:
            self._sizes_at = now
            self._sizes = await self._look_at_sizes(metadata)
        self._forget()

    async def _look_at_ends(self, metadata: ClusterMetadata) -> dict[TopicPartition, int]:
        names = [
            item.name for topic in metadata.topics.values() for item in topic.partitions if item.leader >= 0
        ][:_MOST_PARTITIONS]
        ends: dict[TopicPartition, int] = {}
        for at in range(0, len(names), _PARTITIONS_AT_ONCE):
            some = names[at : at + _PARTITIONS_AT_ONCE]
            found = await list_offsets(self._desk.cluster, dict.fromkeys(some, LATEST), timeout_ms=10_000)
            ends |= {name: row.offset for name, row in found.items() if isinstance(row, OffsetAt)}
            await asyncio.sleep(0)
        return ends

    def _put_rates(self, ends: Mapping[TopicPartition, int], now: float) -> None:
        if self._at is None or now <= self._at:
            return
        seconds = now - self._at
        grown: dict[str, int] = {}
        for name, end in ends.items():
            before = self._ends.get(name)
            if before is not None:
                grown[name.topic] = grown.get(name.topic, 0) + max(0, end - before)
        for topic, count in grown.items():
            self._put(self._rates, topic, count / seconds)

    def _put(self, table: dict[str, _Series], name: str, value: float) -> None:
        series = table.get(name)
        if series is None:
            series = table[name] = _Series(self._index)
        series.put(self._index, value)

    async def _look_at_groups(self, ends: Mapping[TopicPartition, int]) -> None:
        listed = (await list_groups(self._desk.cluster)).rows[:_MOST_GROUPS]
        topic_groups: dict[str, list[str]] = {}
        topic_lags: dict[str, int] = {}
        group_lags: dict[str, int] = {}
        for at in range(0, len(listed), _GROUPS_AT_ONCE):
            found = await offsets_of_groups(self._desk.cluster, listed[at : at + _GROUPS_AT_ONCE])
            for group, rows in found.items():
                if isinstance(rows, ClientError):
                    continue
                lags: dict[str, int] = {}
                for name, row in rows.items():
                    if isinstance(row, OffsetAndMetadata) and name in ends:
                        lags[name.topic] = lags.get(name.topic, 0) + max(0, ends[name] - row.offset)
                for topic, lag in lags.items():
                    topic_groups.setdefault(topic, []).append(group)
                    topic_lags[topic] = topic_lags.get(topic, 0) + lag
                if lags:
                    group_lags[group] = sum(lags.values())
            await asyncio.sleep(0)
        for group, lag in group_lags.items():
            self._put(self._lags, group, lag)
        self._topic_groups, self._topic_lags, self._group_lags = topic_groups, topic_lags, group_lags

    async def _look_at_sizes(self, metadata: ClusterMetadata) -> dict[str, int]:
        leaders = {item.name: item.leader for topic in metadata.topics.values() for item in topic.partitions}
        sizes: dict[str, int] = {}
        for node, directories in (await describe_log_dirs(self._desk.cluster, metadata.brokers)).items():
            for directory in () if isinstance(directories, ClientError) else directories:
                for replica in directory.replicas:
                    if not replica.is_future and leaders.get(replica.name) == node:
                        topic = replica.name.topic
                        sizes[topic] = sizes.get(topic, 0) + replica.size_bytes
        return sizes

    def _forget(self) -> None:
        """What is older than an hour, and what is not there any more."""
        first = self._times[0][0]
        for table in (self._rates, self._lags):
            gone = [name for name, series in table.items() if series.first + len(series.values) <= first]
            for name in gone:
                del table[name]
            for series in table.values():
                series.drop(first)

    # -- History --------------------

    def records_per_second(self, topic: str) -> float | None:
        """Of the last interval."""
        series = self._rates.get(topic)
        if series is None or series.first + len(series.values) <= self._index:
            return None
        return round(series.values[-1], 3)

    def size_bytes(self, topic: str) -> int | None:
        """Of the leaders' replicas, as of the last look at sizes."""
        return self._sizes.get(topic)

    def group_lag(self, group: str) -> int | None:
        """Records, over all partitions."""
        return self._group_lags.get(group)

    def topic_groups(self, topic: str) -> Sequence[str]:
        """Groups that have committed offsets of the topic."""
        return self._topic_groups.get(topic, ())

    def topic_lag(self, topic: str) -> int | None:
        """Records that these groups have not read yet, together."""
        return self._topic_lags.get(topic)

    def lag_seconds(self, topic: str, partition: int, offset: int) -> float | None:
        """How long ago the end was at this offset; None where that was before the first look."""
        found = self._tracks.seconds_since(TopicPartition(topic, partition), offset, self._wall())
        return None if found is None else round(found, 1)

    def series(self, kind: str, name: str) -> dict[str, Any]:
        """Times (ms since 1970) and values (null: unknown) of `records_per_second` or `lag`."""
        series = (self._rates if kind == "records_per_second" else self._lags).get(name)
        times, values = [], []
        for index, wall in self._times:
            place = -1 if series is None else index - series.first
            known = series is not None and 0 <= place < len(series.values)
            value = series.values[place] if series is not None and known else _UNKNOWN
            times.append(round(wall * 1000))
            values.append(None if value != value else round(value, 3))
        return {"name": name, "kind": kind, "times": times, "values": values}
