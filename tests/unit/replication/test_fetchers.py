"""Which fetcher a partition belongs to, and fetchers that come and go."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fastlog.native import Log, LogConfig, build_batch
from fastlog.replication.fetchers import fetcher_index
from tests.harness.follower import FollowingBroker, QuickSettings, until
from tests.unit.replication.leader import Leader, Led

TOPIC_ID = bytes([1] * 16)


@pytest.mark.parametrize(
    ("key", "of_three", "of_seven"),
    # By Kafka's own `AbstractFetcherManager.getFetcherId`: abs(31 * "topic".hashCode() + partition) % n.
    [(("", 5), 2, 5), (("a", 0), 1, 4), (("a", 1), 2, 5), (("polygenelubricants", 0), 0, 0)],
)
def test_partitions_are_spread_as_in_kafka(key: tuple[str, int], of_three: int, of_seven: int) -> None:
    assert (fetcher_index(key, 3), fetcher_index(key, 7)) == (of_three, of_seven)
    assert fetcher_index(key, 1) == 0


async def leading(broker: FollowingBroker, leader: Leader, count: int, root: Path) -> None:
    """Gives the leader `count` partitions with a record each."""
    for number in range(count):
        log = Log.open(str(root / f"leader-{number}"), LogConfig())
        log.append(build_batch([(None, b"x", [], 1)]), leader_epoch=0)
        leader.partitions["t", number] = Led(log, 0, TOPIC_ID, high_watermark=1)


async def test_fetchers_come_and_go(tmp_path: Path) -> None:
    leaders: list[Leader] = []
    shared = Leader()

    async def connect(host: str, port: int, client_id: str, seconds: float) -> Leader:
        leader = Leader(partitions=shared.partitions, pause=0.01)
        leaders.append(leader)
        await asyncio.sleep(0)
        return await leader.connect(host, port, client_id, seconds)

    settings = QuickSettings(num_replica_fetchers=3)
    async with FollowingBroker(2, [tmp_path / "own"], connect=connect, settings=settings) as broker:
        broker.addresses[1] = ("leader", 1)
        await leading(broker, shared, 5, tmp_path)
        parts = [await broker.follow("t", TOPIC_ID, number, 1, 0) for number in range(5)]
        await until(lambda: all(part.high_watermark == 1 for part in parts), "no records")
        names = {f"broker-2-fetcher-{fetcher_index(('t', number), 3)}" for number in range(5)}
        assert {leader.client_id for leader in leaders} == names
        assert (broker.fetchers.followed, set(broker.fetchers.lags().values())) == (5, {0})

        settings.num_replica_fetchers = 1
        await broker.fetchers.resize()
        assert broker.fetchers.followed == 5
        shared.partitions["t", 3].log.append(build_batch([(None, b"y", [], 1)]), leader_epoch=0)
        await until(lambda: parts[3].log.log_end_offset == 2, "it is not fetched any more")
        # The other two have nothing to do: they end, and close their connections.
        await until(lambda: sum(leader.is_open for leader in leaders) == 1, "idle fetchers stay")

        await broker.fetchers.stop([part.key for part in parts])
        assert broker.fetchers.followed == 0
        await until(lambda: not any(leader.is_open for leader in leaders), "the last one stays")
        # A leader that it is itself, or nobody, is not fetched from.
        await broker.follow("t", TOPIC_ID, 0, -1, 1)
        assert broker.fetchers.followed == 0
        assert not broker.tasks.failing


async def test_a_leader_without_an_address_is_waited_for(tmp_path: Path) -> None:
    leader = Leader(pause=0.01)
    async with FollowingBroker(2, [tmp_path / "own"], connect=leader.connect) as broker:
        await leading(broker, leader, 1, tmp_path)
        part = await broker.follow("t", TOPIC_ID, 0, 1, 0)
        await until(lambda: broker.fetchers.stats.connection_failures > 1, "it does not try")
        broker.addresses[1] = ("leader", 1)
        await until(lambda: part.high_watermark == 1, "no records")
