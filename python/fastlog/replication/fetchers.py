"""What this broker follows: a fetcher for each leader and share of its partitions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from fastlog.base.clock import Clock
from fastlog.base.java_hash import java_hash
from fastlog.base.tasks import Loop, Supervisor
from fastlog.replication.fetch_context import (
    Address,
    Connect,
    FetchContext,
    FetcherStats,
    FetchSettings,
    Throttle,
    connect,
)
from fastlog.replication.partition import NO_LEADER, Partition, PartitionKey
from fastlog.storage.truncation import LogTruncation

if TYPE_CHECKING:
    from fastlog.replication.fetcher import Fetcher
    from fastlog.replication.watermarks import HighWatermarks
    from fastlog.storage.io import IoLoop
    from fastlog.storage.log_manager import LogManager


def fetcher_index(key: PartitionKey, fetchers: int) -> int:
    """Which of the `fetchers` of its leader a partition belongs to, as in Kafka."""
    if fetchers == 1:
        # The default: names of thousands of partitions need not be hashed when their leader changes.
        return 0
    topic, partition = key
    mixed = (31 * java_hash(topic) + partition) & 0xFFFFFFFF
    if mixed >= 0x80000000:
        mixed = 0x100000000 - mixed
    # The most negative number has no positive counterpart: Kafka takes 0.
    return 0 if mixed == 0x80000000 else mixed % fetchers


class FetcherManager:
    """`Fetchers` over connections. Used on the event loop only."""

    def __init__(self, context: FetchContext, tasks: Supervisor) -> None:
        self._context = context
        self._tasks = tasks
        self._fetchers: dict[tuple[int, int], tuple[Fetcher, Loop]] = {}
        self._places: dict[PartitionKey, Fetcher] = {}

    @property
    def stats(self) -> FetcherStats:
        """What the fetchers have done."""
        return self._context.stats

    @property
    def followed(self) -> int:
        """Partitions that are fetched, or will be when their fetcher can."""
        return sum(len(fetcher.positions) for fetcher, _ in self._fetchers.values())

    def lags(self) -> dict[PartitionKey, int]:
        """Records up to the leader's high watermark that are not here, where there was an answer so far."""
        return {
            position.key: position.lag
            for fetcher, _ in self._fetchers.values()
            for position in fetcher.positions
            if position.lag is not None
        }

    def max_lag(self) -> int:
        """The largest of them, 0 when there are none."""
        return max(self.lags().values(), default=0)

    async def follow(self, partition: Partition) -> None:
        """Fetches for a partition from its leader, in its leader epoch; what there was in another epoch ends.

        The log must be fenced for that epoch. Without another broker as its leader it is not fetched.
        """
        await self.stop([partition.key])
        if partition.leader_id in (NO_LEADER, self._context.node_id):
            return
        index = fetcher_index(partition.key, self._context.settings().num_replica_fetchers)
        fetcher = self._fetcher(partition.leader_id, index)
        self._places[partition.key] = fetcher
        fetcher.follow(partition)

    async def stop(self, keys: Iterable[PartitionKey]) -> None:
        """Ends fetching for partitions: afterwards nothing of theirs is appended, cut or under way."""
        by_fetcher: dict[Fetcher, list[PartitionKey]] = {}
        for key in keys:
            self.stats.failed.pop(key, None)
            fetcher = self._places.pop(key, None)
            if fetcher is not None:
                by_fetcher.setdefault(fetcher, []).append(key)
        await asyncio.gather(*(fetcher.stop(of_it) for fetcher, of_it in by_fetcher.items()))

    async def resize(self) -> None:
        """`num.replica.fetchers` has changed: gives each partition to the fetcher that it now belongs to."""
        fetchers = self._context.settings().num_replica_fetchers
        for key, fetcher in list(self._places.items()):
            position = fetcher.positions.find(key)
            if position is not None and fetcher.index != fetcher_index(key, fetchers):
                await self.follow(position.partition)

    async def close(self) -> None:
        """Ends all of it."""
        fetchers, self._fetchers = self._fetchers, {}
        self._places.clear()
        await asyncio.gather(*(_end(fetcher, loop) for fetcher, loop in fetchers.values()))

    def _fetcher(self, leader_id: int, index: int) -> Fetcher:
        found = self._fetchers.get((leader_id, index))
        if found is None:
            # A broker that follows nobody need not load what it takes.
            from fastlog.replication.fetcher import Fetcher

            fetcher = Fetcher(leader_id, index, self._context, self._retired)
            loop = self._tasks.run(f"fetcher-{leader_id}-{index}", fetcher.run)
            found = self._fetchers[leader_id, index] = (fetcher, loop)
        return found[0]

    def _retired(self, fetcher: Fetcher) -> bool:
        """A fetcher without partitions ends."""
        self._fetchers.pop((fetcher.leader_id, fetcher.index), None)
        return True


def make_fetchers(
    node_id: int,
    *,
    broker_epoch: Callable[[], int],
    address_of: Callable[[int], Address | None],
    io: IoLoop,
    logs: LogManager,
    watermarks: HighWatermarks,
    clock: Clock,
    tasks: Supervisor,
    settings: Callable[[], FetchSettings],
    connect: Connect = connect,
    throttle: Throttle | None = None,
) -> FetcherManager:
    """The fetchers of a broker over its logs. `address_of` gives a broker's listener for brokers."""
    truncations = LogTruncation(
        io,
        logs.table,
        truncated=logs.cleaner.checkpoints.truncated,
        checkpoint=logs.housekeeping.checkpoint_directory,
    )
    context = FetchContext(
        node_id,
        broker_epoch,
        address_of,
        io,
        truncations,
        clock.monotonic,
        settings,
        note_write=logs.housekeeping.note_write,
        keep_watermarks=watermarks.keep,
        connect=connect,
        throttle=throttle,
    )
    return FetcherManager(context, tasks)


async def _end(fetcher: Fetcher, loop: Loop) -> None:
    await fetcher.drain()
    await loop.stop()
