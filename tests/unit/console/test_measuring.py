"""What the sampler keeps: rates, lag in seconds, and no more than an hour of it."""

from __future__ import annotations

from typing import Any

import pytest

from fastlog.client.metadata import ClusterMetadata, PartitionInfo, TopicInfo, TopicPartition
from fastlog.console import sampler as module
from fastlog.console.end_tracks import EndTracks
from fastlog.console.sampler import Sampler
from fastlog.errors import ErrorCode
from tests.unit.verbs.records import desk_of

P0, P1 = TopicPartition("t", 0), TopicPartition("t", 1)
START = 1_796_000_040.0


def test_lag_in_seconds_is_that_of_the_log() -> None:
    tracks = EndTracks()
    for at in range(6):
        tracks.put(START + 10 * at, {P0: 100 * at, P1: 7})
    now = START + 50
    assert tracks.seconds_since(P0, 500, now) == 0
    assert tracks.seconds_since(P0, 300, now) == 20
    assert tracks.seconds_since(P0, 250, now) == 25
    assert tracks.seconds_since(P0, 0, now) == 50
    # Nothing has come for as long as we have looked: the last one is current.
    assert tracks.seconds_since(P1, 7, now) == 0
    assert tracks.seconds_since(P1, 6, now) is None
    assert tracks.seconds_since(TopicPartition("t", 2), 0, now) is None


def test_partitions_that_come_later_or_go() -> None:
    tracks = EndTracks()
    tracks.put(START, {P0: 5})
    tracks.put(START + 10, {P0: 6, P1: 3})
    assert tracks.seconds_since(P1, 3, START + 10) == 0
    assert tracks.seconds_since(P1, 2, START + 10) is None
    tracks.put(START + 20, {P1: 4})
    assert tracks.seconds_since(P0, 6, START + 20) is None
    assert tracks.seconds_since(P1, 3, START + 20) == 10


def test_an_hour_is_kept_and_one_look_of_each_minute() -> None:
    tracks = EndTracks()
    for at in range(1000):
        tracks.put(START + 10 * at, {P0: at})
    assert len(tracks) <= 60 + 8
    now = START + 9990
    assert tracks.seconds_since(P0, 999, now) == 0
    assert tracks.seconds_since(P0, 996, now) == 30
    long_ago = tracks.seconds_since(P0, 700, now)
    assert long_ago is not None
    assert abs(long_ago - 2990) <= 10
    assert tracks.seconds_since(P0, 100, now) is None


async def test_rates_and_series(monkeypatch: pytest.MonkeyPatch) -> None:
    now, ends = [0.0], {P0: 100, P1: 50}

    async def metadata(self: Any, *, fresh: bool = False) -> ClusterMetadata:
        parts = tuple(
            PartitionInfo("t", name.partition, 1, 0, (1,), (1,), (), ErrorCode.NONE) for name in ends
        )
        return ClusterMetadata("c", 1, {}, {"t": TopicInfo("t", bytes(16), False, parts, ErrorCode.NONE)})

    async def look_at_ends(self: Any, found: ClusterMetadata) -> dict[TopicPartition, int]:
        return {item.name: ends[item.name] for item in found.topics["t"].partitions}

    async def nothing(self: Any, found: Any) -> dict[str, int]:
        return {}

    monkeypatch.setattr(module.Desk, "metadata", metadata)
    monkeypatch.setattr(Sampler, "_look_at_ends", look_at_ends)
    monkeypatch.setattr(Sampler, "_look_at_groups", nothing)
    monkeypatch.setattr(Sampler, "_look_at_sizes", nothing)
    sampler = Sampler(desk_of(), clock=lambda: now[0], wall=lambda: START + now[0])
    await sampler.look()
    assert sampler.records_per_second("t") is None
    now[0], ends[P0], ends[P1] = 10.0, 200, 100
    await sampler.look()
    assert sampler.records_per_second("t") == 15
    # A topic that was made anew: its log is shorter, which is no negative rate.
    now[0], ends[P0], ends[P1] = 20.0, 0, 100
    await sampler.look()
    assert sampler.records_per_second("t") == 0
    series = sampler.series("records_per_second", "t")
    assert series["values"] == [None, 15, 0]
    assert series["times"] == [round((START + at) * 1000) for at in (0, 10, 20)]
    assert sampler.series("lag", "none")["values"] == [None] * 3
    for at in range(3, 1000):
        now[0], ends[P0] = 10.0 * at, ends[P0] + 10
        await sampler.look()
    series = sampler.series("records_per_second", "t")
    assert len(series["times"]) == len(series["values"]) <= 361
    assert set(series["values"]) == {1.0}
    assert len(sampler._rates["t"].values) < 500
