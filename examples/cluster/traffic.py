"""Records through the cluster, with fastlog's own client: sent at a steady rate, read back, counted."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from fastlog.client import ClientError, Cluster, TopicPartition
from fastlog.client.consumer import BEGINNING, Reader, ReaderConfig
from fastlog.client.producer import AsyncProducer, Delivery

__all__ = ["Meter", "Traffic"]

_TICK: Final = 0.02
_GAP: Final = 0.5
"""Seconds without an acknowledgement from which on it is a gap."""


class Meter:
    """Events as they come: how many, how many a second of late, and the pauses between them."""

    def __init__(self, now: float) -> None:
        """From now on; how long the first one takes to come is no pause."""
        self.count = 0
        self.last_gap: tuple[float, float] | None = None
        """Length of the last long pause, and when it ended; seconds."""
        self._last = now
        self._recent: deque[tuple[float, int]] = deque()

    def add(self, now: float, count: int = 1) -> None:
        """So many at this moment."""
        if self.count and now - self._last >= _GAP:
            self.last_gap = now - self._last, now
        self._last = now
        self.count += count
        self._recent.append((now, count))

    def rate(self, now: float, over: float = 2.0) -> float:
        """How many a second in the last seconds."""
        while self._recent and self._recent[0][0] < now - over:
            self._recent.popleft()
        return sum(count for _, count in self._recent) / over

    def silent_for(self, now: float) -> float:
        """Seconds since the last one."""
        return now - self._last


class Traffic:
    """A producer and a consumer on one topic. `acked` and `read` count; `failed` is what was given up."""

    def __init__(self, servers: Sequence[str], topic: str, rate: float) -> None:
        now = time.monotonic()
        self.acked = Meter(now)
        self.read = Meter(now)
        self.failed = 0
        self.trouble: str | None = None
        """The last error that reached us, if any did."""
        self._servers = list(servers)
        self._topic = topic
        self._rate = rate
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, partitions: int) -> None:
        """Begins to send and to read."""
        now = time.monotonic()
        self.acked, self.read = Meter(now), Meter(now)
        self._tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._read(partitions))]

    async def stop(self) -> None:
        """Ends both at once."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _send(self) -> None:
        number, owed = 0, 0.0
        last = time.monotonic()
        async with (
            AsyncProducer(
                self._servers, client_id="producer", linger_ms=5, request_timeout_ms=10_000
            ) as producer,
        ):
            while True:
                await asyncio.sleep(_TICK)
                now = time.monotonic()
                # What a stall has left undone is not made up for.
                owed = min(owed + (now - last) * self._rate, self._rate)
                last = now
                while owed >= 1:
                    owed -= 1
                    number += 1
                    try:
                        delivery = await producer.enqueue(
                            self._topic, b"%012d" % number, key=b"%d" % (number % 997)
                        )
                    except ClientError as error:
                        self.failed += 1
                        self.trouble = str(error)
                    else:
                        delivery.add_done_callback(self._delivered)

    def _delivered(self, delivery: Delivery) -> None:
        error = delivery.exception()
        if error is None:
            self.acked.add(time.monotonic())
        else:
            self.failed += 1
            self.trouble = str(error)

    async def _read(self, partitions: int) -> None:
        config = ReaderConfig(auto_offset_reset="earliest", request_timeout_ms=10_000, retry_timeout_ms=None)
        names = [TopicPartition(self._topic, index) for index in range(partitions)]
        async with (
            Cluster(self._servers, client_id="consumer") as cluster,
            Reader(cluster, config) as consumer,
        ):
            await consumer.assign(dict.fromkeys(names, BEGINNING))
            while True:
                try:
                    records = await consumer.poll(500)
                except ClientError as error:
                    self.trouble = str(error)
                    await asyncio.sleep(0.5)
                    continue
                if records:
                    self.read.add(time.monotonic(), len(records))
