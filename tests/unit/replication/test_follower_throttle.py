"""How much replicas that are not in sync may fetch."""

from __future__ import annotations

import pytest

from fastlog.base.clock import ManualClock
from fastlog.replication.follower_throttle import FollowerThrottle
from fastlog.replication.throttled_replicas import throttled_partitions
from tests.unit.replication.followers import FollowerWorld, batch


@pytest.mark.parametrize(
    ("setting", "partitions"),
    [("*", None), ("0:2,1:1, 3 : 2", {0, 3}), ("", set()), ("0:1", set()), ("nonsense,4:2,:", {4})],
)
def test_a_topic_names_its_throttled_replicas(setting: str, partitions: set[int] | None) -> None:
    assert throttled_partitions(setting, 2) == partitions


def test_what_came_too_soon_is_waited_for() -> None:
    clock, topics = ManualClock(), {"t": "0:2"}
    rate: list[int | None] = [100]
    throttle = FollowerThrottle(2, lambda topic: topics.get(topic, ""), lambda: rate[0], clock.monotonic)
    assert [throttle.covers(key) for key in (("t", 0), ("t", 1), ("u", 0))] == [True, False, False]
    topics["t"] = "*"
    assert throttle.covers(("t", 1))
    assert throttle.took(100) == 0
    assert throttle.took(50) == 0.5
    clock.advance(500)
    assert throttle.took(0) == 0
    clock.advance(60_000)
    assert throttle.took(300) == 2.0
    rate[0] = 0
    assert throttle.took(1) == 1.0
    rate[0] = None
    assert throttle.took(1 << 40) == 0


async def test_a_throttled_replica_pauses_while_it_is_behind() -> None:
    clock = ManualClock()
    throttle = FollowerThrottle(2, lambda _: "*", lambda: 100, clock.monotonic)
    async with FollowerWorld(throttle=throttle) as world:
        led, partition = world.led(), world.partition()
        world.leader.max_bytes = 100
        for _ in range(3):
            led.log.append(batch(b"x" * 200), leader_epoch=0)
        led.high_watermark = 3
        world.follow(partition)
        await world.steps(5)
        assert partition.log.log_end_offset == 1
        wake = world.fetcher.positions.next_wake
        assert wake is not None
        assert wake > 1
        assert not world.fetcher.positions.cutting
