"""A broker that only follows: log directories, threads, partitions and fetchers, without a server."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from fastlog.base.clock import SystemClock
from fastlog.base.tasks import Supervisor
from fastlog.native import IoEngine, LogConfig
from fastlog.replication.fetch_context import Address, Connect, Throttle, connect
from fastlog.replication.fetchers import FetcherManager, make_fetchers
from fastlog.replication.partition import Partition, PartitionKey, ReplicaSettings, Surroundings
from fastlog.replication.replica_manager import ReplicaManager
from fastlog.replication.watermarks import HighWatermarks
from fastlog.storage.io import IoLoop
from fastlog.storage.log_manager import LogManager
from fastlog.storage.recovery import Opening
from fastlog.storage.settings import StorageSettings

CLUSTER = "vPeOCWypqUOSepEvx0cbog"


@dataclass
class QuickSettings:
    """`FetchSettings` for tests."""

    num_replica_fetchers: int = 1
    replica_fetch_backoff_ms: int = 50
    replica_fetch_max_bytes: int = 1 << 20
    replica_fetch_min_bytes: int = 1
    replica_fetch_response_max_bytes: int = 10 << 20
    replica_fetch_wait_max_ms: int = 100
    replica_socket_timeout_ms: int = 10_000


class FollowingBroker:
    """`async with`: what is on the disk is open; it follows what it is told to."""

    def __init__(
        self,
        node_id: int,
        directories: Iterable[Path],
        *,
        epoch: int = 1,
        connect: Connect = connect,
        throttle: Throttle | None = None,
        config: LogConfig | None = None,
        settings: QuickSettings | None = None,
    ) -> None:
        self.node_id = node_id
        self.epoch = epoch
        self.directories = list(directories)
        self.addresses: dict[int, Address] = {}
        self.settings = settings or QuickSettings()
        self.moved: list[PartitionKey] = []
        self.replica_settings = ReplicaSettings()
        self._config = config or LogConfig()
        self._connect = connect
        self._throttle = throttle

    async def __aenter__(self) -> Self:
        clock = SystemClock()
        self.tasks = Supervisor()
        self.io = IoLoop(IoEngine(2))
        storage = StorageSettings(log_dirs=self.directories)
        self.logs = LogManager(storage, clock, self.io, on_all_failed=lambda _: None, tasks=self.tasks)
        preparation = await self.logs.prepare()
        await self.logs.confirm_identity(preparation.cluster_id or CLUSTER, self.node_id)
        openings = [
            Opening(found, found.topic_id or bytes(16), self._config) for found in preparation.partitions
        ]
        await self.logs.open(openings)
        self.watermarks = HighWatermarks(
            self.logs.directories,
            self.logs.table,
            self.logs.failures,
            lambda key: self.replicas.find(key),
            lambda: self.replicas.advances,
            lambda: 5.0,
        )
        await self.watermarks.load()
        self.replicas = ReplicaManager(
            self.node_id, self.moved.append, Surroundings(kept_high_watermark=self.watermarks.kept)
        )
        self.watermarks.start(self.tasks)
        self.fetchers: FetcherManager = make_fetchers(
            self.node_id,
            broker_epoch=lambda: self.epoch,
            address_of=self.addresses.get,
            io=self.io,
            logs=self.logs,
            watermarks=self.watermarks,
            clock=clock,
            tasks=self.tasks,
            settings=lambda: self.settings,
            connect=self._connect,
            throttle=self._throttle,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.fetchers.close()
        await self.watermarks.stop()
        await self.logs.shutdown()
        await self.io.close()

    async def follow(
        self, topic: str, topic_id: bytes, partition: int, leader: int, leader_epoch: int
    ) -> Partition:
        """What LeaderAndIsr asks for."""
        key = (topic, partition)
        await self.fetchers.stop([key])
        log = await self.logs.create(topic, topic_id, partition, self._config)
        await self.io.fence(log, leader_epoch)
        found = self.replicas.become_follower(
            topic,
            topic_id,
            partition,
            log,
            leader_id=leader,
            leader_epoch=leader_epoch,
            settings=self.replica_settings,
        )
        await self.fetchers.follow(found)
        return found

    async def lead(self, topic: str, topic_id: bytes, partition: int, leader_epoch: int) -> Partition:
        """The same for a partition that it is to lead."""
        await self.fetchers.stop([(topic, partition)])
        log = await self.logs.create(topic, topic_id, partition, self._config)
        await self.logs.lead(topic, partition, leader_epoch)
        return self.replicas.become_leader(
            topic,
            topic_id,
            partition,
            log,
            leader_epoch=leader_epoch,
            in_sync=frozenset([self.node_id]),
            settings=self.replica_settings,
        )


def batches_of(directory: Path) -> bytes:
    """The record bytes of a partition's directory, segment by segment, without room reserved behind them."""
    found = bytearray()
    for path in sorted(directory.glob("*.log")):
        data = path.read_bytes()
        at = 0
        while at + 12 <= len(data) and (size := struct.unpack_from(">i", data, at + 8)[0]) > 0:
            at += 12 + size
        found += data[:at]
    return bytes(found)


async def until(condition: object, what: str, seconds: float = 30.0) -> None:
    """Waits for a condition (a callable) on the event loop."""
    assert callable(condition)
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - a real broker is waited for, too
            await asyncio.sleep(0.01)
