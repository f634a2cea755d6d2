"""Cutting logs that a leader does not confirm: settle, cut, write down, in this order.

| what follows the log | how |
|---|---|
| appends and flushes that are under way | waited for; the fence lets none of an older epoch in later |
| leader epochs, indexes, producer state | cut with the log, natively, durable when the job is done |
| cleaner checkpoint, recovery point | here, on the disk before the next append |

Recovery trusts everything below the recovery point: one beyond the end would hide what is appended there.
Used on the event loop only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

from fastlog.errors import ErrorCode, KafkaError
from fastlog.native import FastlogNativeError, Log
from fastlog.storage.checkpoints import PartitionKey
from fastlog.storage.io import IoLoop
from fastlog.storage.log_dir import LogDirectory
from fastlog.storage.partitions import OpenPartition, PartitionTable


class Cut(NamedTuple):
    """Where a follower's log is to end, in an epoch of its leader; `start_over`: empty, and begin there."""

    key: PartitionKey
    log: Log
    offset: int
    leader_epoch: int
    start_over: bool = False


CutOutcome = int | KafkaError | FastlogNativeError | TimeoutError
"""The end of the log, or why it may not be appended to yet; FencedLeader: another epoch has begun."""


class Truncations(Protocol):
    """Who cuts the logs of followers."""

    async def cut(self, cuts: Sequence[Cut]) -> list[CutOutcome]:
        """Cuts logs; the outcomes in the same order."""
        ...


class LogTruncation:
    """`Truncations` over the logs of this broker.

    `truncated(entry, end)` is that of the cleaner's checkpoints, `checkpoint` writes recovery points of a
    directory and says whether they are on the disk.
    """

    def __init__(
        self,
        io: IoLoop,
        table: PartitionTable,
        *,
        truncated: Callable[[OpenPartition, int], object],
        checkpoint: Callable[[LogDirectory], Awaitable[bool]],
    ) -> None:
        self._io = io
        self._table = table
        self._truncated = truncated
        self._checkpoint = checkpoint

    async def cut(self, cuts: Sequence[Cut]) -> list[CutOutcome]:
        """See `Truncations`. What is written down is written once for each directory."""
        outcomes = list(await asyncio.gather(*(self._cut(cut) for cut in cuts)))
        unwritten: dict[LogDirectory, list[int]] = {}
        for index, (cut, outcome) in enumerate(zip(cuts, outcomes, strict=True)):
            entry = self._table.get(*cut.key)
            if not isinstance(outcome, int) or entry is None or entry.log is not cut.log:
                continue
            self._truncated(entry, outcome)
            # -1: what an earlier run has written down is not known here.
            if entry.noted_point < 0 or entry.noted_point > outcome:
                unwritten.setdefault(entry.directory, []).append(index)
        for directory, indices in unwritten.items():
            if not await self._checkpoint(directory):
                text = f"{directory.path}: the recovery points cannot be written"
                for index in indices:
                    outcomes[index] = KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, text)
        return outcomes

    async def _cut(self, cut: Cut) -> CutOutcome:
        try:
            await self._io.settled(cut.log, writes_only=True)
            job = self._io.start_over if cut.start_over else self._io.truncate
            return await job(cut.log, cut.offset, cut.leader_epoch)
        except (FastlogNativeError, TimeoutError) as error:
            return error
