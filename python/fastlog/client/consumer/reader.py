"""Reads records of assigned partitions, from all their leaders at once.

    async with Reader(cluster) as reader:
        await reader.assign({TopicPartition("clicks", 0): BEGINNING})
        async for record in reader:
            ...

No group is joined and no offsets are committed; positions are the caller's to keep.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from types import TracebackType
from typing import Self

from fastlog.client.cluster import Cluster
from fastlog.client.consumer.config import ReaderConfig
from fastlog.client.consumer.fetcher import Fetcher
from fastlog.client.consumer.state import PartitionState
from fastlog.client.deadline import Deadline
from fastlog.client.errors import ClientError
from fastlog.client.metadata import TopicPartition
from fastlog.client.positions import END, Position, resolve
from fastlog.errors import ErrorCode
from fastlog.native import Record

__all__ = ["Reader"]


class Reader:
    """Reads partitions of a cluster that the caller opened; an async context manager, for one event loop."""

    def __init__(self, cluster: Cluster, config: ReaderConfig | None = None) -> None:
        self._cluster = cluster
        self._config = config or ReaderConfig()
        self._fetcher = Fetcher(cluster, self._config)
        self._first = -1

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends all fetches. May be called more than once."""
        await self._fetcher.close()

    async def assign(
        self,
        starts: Mapping[TopicPartition, Position],
        *,
        until: Position | None = None,
    ) -> None:
        """Reads these partitions from now on, instead of those before.

        `until` (resolved now) ends each partition there: `END` reads what is in the log at this moment and
        then stops. Raises ClientError when a partition does not exist or its leader cannot be asked, and
        OFFSET_OUT_OF_RANGE for an offset behind an end that is `END`, unless `auto_offset_reset` says what to
        do.
        """
        committed = self._config.read_committed
        ends: dict[TopicPartition, int] = {}
        if until is not None:
            ends = await resolve(self._cluster, dict.fromkeys(starts, until), read_committed=committed)
        first = await resolve(self._cluster, starts, read_committed=committed)
        if until == END and not committed and self._config.auto_offset_reset == "none":
            _check_ends(starts, ends)
        await self._fetcher.assign(
            {name: PartitionState(name, position, ends.get(name)) for name, position in first.items()}
        )

    async def seek(self, name: TopicPartition, position: Position) -> None:
        """Goes on from `position`, and forgets an error of that partition. Raises as `assign` does."""
        found = await resolve(self._cluster, {name: position}, read_committed=self._config.read_committed)
        self._fetcher.states[name].seek(found[name])

    def position(self, name: TopicPartition) -> int:
        """The offset that comes next. Raises KeyError when the partition is not assigned."""
        return self._fetcher.states[name].position

    def high_watermark(self, name: TopicPartition) -> int:
        """The end of the partition as of the last answer, -1 before the first. Raises KeyError."""
        return self._fetcher.states[name].high_watermark

    @property
    def assignment(self) -> Iterable[TopicPartition]:
        """The assigned partitions."""
        return tuple(self._fetcher.states)

    @property
    def is_done(self) -> bool:
        """Whether every partition has reached its end; never without `until`."""
        return all(state.is_done for state in self._fetcher.states.values())

    async def poll(self, timeout_ms: int | None = None, max_records: int = 10_000) -> list[Record]:
        """Records that have come, in order within each partition; waits for some when there are none.

        Empty after `timeout_ms` (None: no limit), or when all partitions have reached their end. Raises the
        ClientError of a partition that cannot go on, CorruptBatch among them, in every call until that
        partition is sought elsewhere; records that were buffered are handed out before.
        """
        deadline = None if timeout_ms is None else Deadline.after(timeout_ms / 1000)
        fetcher = self._fetcher
        while True:
            fetcher.fill()
            had_some = any(state.has_records for state in fetcher.states.values())
            taken = self._take(max_records)
            if taken:
                # Fetch on while the caller works on these.
                fetcher.fill()
                return taken
            for state in fetcher.states.values():
                if state.error is not None and not state.is_done:
                    raise state.error
            if had_some:
                # What was fetched was all below the position.
                await asyncio.sleep(0)
                continue
            if self.is_done or not await fetcher.wait(None if deadline is None else deadline.remaining):
                return []

    def _take(self, most: int) -> list[Record]:
        """From each partition in its turn, another one first each time: none starves behind a full one."""
        taken: list[Record] = []
        states = list(self._fetcher.states.values())
        self._first = (self._first + 1) % max(len(states), 1)
        for state in states[self._first :] + states[: self._first]:
            if len(taken) >= most:
                break
            taken += state.take(most - len(taken))
        return taken

    async def __aiter__(self) -> AsyncIterator[Record]:
        while True:
            records = await self.poll()
            if not records and self.is_done:
                return
            for record in records:
                yield record
            # Records that are there already must not keep the loop from everything else.
            await asyncio.sleep(0)


def _check_ends(starts: Mapping[TopicPartition, Position], ends: Mapping[TopicPartition, int]) -> None:
    """What would be done before it began: no fetch would find out that there is no such offset."""
    for name, start in starts.items():
        if start.kind == "offset" and start.value > ends[name]:
            text = f"partition {name}: offset {start.value} is not in the log, which ends at {ends[name]}"
            raise ClientError(ErrorCode.OFFSET_OUT_OF_RANGE, text)
