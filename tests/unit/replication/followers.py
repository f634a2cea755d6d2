"""A fetcher step by step: real logs, a leader of the test's own, no waiting."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from fastlog.base.clock import ManualClock
from fastlog.native import FastlogNativeError, IoEngine, Log, LogConfig, build_batch
from fastlog.replication.fetch_context import FetchContext, Throttle
from fastlog.replication.fetcher import Fetcher
from fastlog.replication.partition import Partition, PartitionKey, ReplicaSettings, Surroundings
from fastlog.storage.io import IoLoop
from fastlog.storage.truncation import Cut, CutOutcome
from tests.harness.follower import QuickSettings
from tests.unit.replication.leader import Leader, Led

NODE = 2
LEADER = 1
TOPIC_ID = bytes([1] * 16)
KEY: PartitionKey = ("t", 0)


def batch(*values: bytes) -> bytes:
    """A producer's batch."""
    return build_batch([(None, value, [], 1_000) for value in values])


class DirectTruncations:
    """`Truncations` without directories; keeps what was cut."""

    def __init__(self, io: IoLoop) -> None:
        self._io = io
        self.cuts: list[Cut] = []

    async def cut(self, cuts: Sequence[Cut]) -> list[CutOutcome]:
        """Cuts at once."""
        outcomes: list[CutOutcome] = []
        for cut in cuts:
            self.cuts.append(cut)
            job = self._io.start_over if cut.start_over else self._io.truncate
            try:
                outcomes.append(await job(cut.log, cut.offset, cut.leader_epoch))
            except FastlogNativeError as error:
                outcomes.append(error)
        return outcomes


class FollowerWorld:
    """`async with`: leader 1 and what follows it here, over logs in a temporary directory."""

    def __init__(self, *, throttle: Throttle | None = None, config: LogConfig | None = None) -> None:
        self.clock = ManualClock()
        self.leader = Leader()
        self.settings = QuickSettings()
        self.moved: list[PartitionKey] = []
        self.noted: list[PartitionKey] = []
        self.fallen: list[PartitionKey] = []
        self._throttle = throttle
        self._config = config or LogConfig()
        self._directory = Path(tempfile.mkdtemp(prefix="follower-"))
        self._logs: list[Log] = []

    async def __aenter__(self) -> Self:
        self.io = IoLoop(IoEngine(1))
        self.truncations = DirectTruncations(self.io)
        self.context = FetchContext(
            NODE,
            lambda: 9,
            lambda leader: ("leader", 9092) if leader == LEADER else None,
            self.io,
            self.truncations,
            self.clock.monotonic,
            lambda: self.settings,
            note_write=self.noted.append,
            keep_watermarks=self._keep,
            connect=self.leader.connect,
            throttle=self._throttle,
        )
        self.fetcher = Fetcher(LEADER, 0, self.context, lambda _: True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.fetcher.drain()
        await self.io.close()
        shutil.rmtree(self._directory)

    async def _keep(self, keys: Sequence[PartitionKey]) -> None:
        self.fallen += keys

    def log(self, name: str) -> Log:
        """A new log."""
        found = Log.open(str(self._directory / name), self._config)
        self._logs.append(found)
        return found

    def led(self, key: PartitionKey = KEY, epoch: int = 0, topic_id: bytes = TOPIC_ID) -> Led:
        """A partition of the leader, with a log of its own."""
        log = self.log(f"leader-{key[0]}-{key[1]}")
        log.lead(epoch)
        led = self.leader.partitions[key] = Led(log, epoch, topic_id)
        return led

    def partition(
        self,
        key: PartitionKey = KEY,
        *,
        log: Log | None = None,
        high_watermark: int = 0,
        topic_id: bytes = TOPIC_ID,
        settings: ReplicaSettings | None = None,
    ) -> Partition:
        """The own replica of a partition, without a role."""
        return Partition(
            key[0],
            topic_id,
            key[1],
            log or self.log(f"own-{key[0]}-{key[1]}"),
            node_id=NODE,
            settings=settings or ReplicaSettings(),
            on_advance=self.moved.append,
            surroundings=Surroundings(kept_high_watermark=lambda _: high_watermark),
        )

    def follow(self, partition: Partition, epoch: int = 0) -> None:
        """In an epoch of the leader."""
        partition.log.fence(epoch)
        partition.follow(LEADER, epoch)
        self.fetcher.follow(partition)

    async def steps(self, count: int = 4) -> None:
        """So many steps, as long as there is something to do without waiting."""
        for _ in range(count):
            self.fetcher.positions.wake(self.clock.monotonic())
            if self.fetcher.positions.is_idle and not self.fetcher.positions.cutting:
                return
            await self.fetcher.step()
