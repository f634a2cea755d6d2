"""Cutting logs that a leader does not confirm: settle, claim less, cut.

| step | what it is for |
|---|---|
| settle | appends and flushes under way end; the fence lets none of an older leader epoch in later |
| claim less | the recovery point on the disk falls first: an end below it counts as a loss after a crash |
| cut | records, epochs, indexes and producer state at once, natively, durable when the job is done |

The cleaner's checkpoint follows. Used on the event loop only.
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
"""The end of the log, or why it was not cut; FencedLeader: another epoch has begun."""


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
        settled = await asyncio.gather(*(self._settled(cut) for cut in cuts))
        entries = [entry for entry in settled if isinstance(entry, OpenPartition)]
        try:
            unwritten = await self._claim_less(entries)
            return list(
                await asyncio.gather(
                    *(self._cut(cut, entry, unwritten) for cut, entry in zip(cuts, settled, strict=True))
                )
            )
        finally:
            for entry in entries:
                entry.floor = None

    async def _settled(self, cut: Cut) -> OpenPartition | CutOutcome:
        """The partition, when nothing is written to it any more and it is known where it may end."""
        entry = self._table.get(*cut.key)
        if entry is None or entry.log is not cut.log:
            return KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, "the partition is offline")
        try:
            await self._io.settled(cut.log, writes_only=True)
            segments = await asyncio.to_thread(cut.log.segments)
        except (FastlogNativeError, TimeoutError) as error:
            return error
        # A batch goes as a whole, and lies in one segment: the log ends in it or at its begin, at the least.
        begins = [base for base, _, _ in segments if base <= cut.offset and not cut.start_over]
        entry.floor = max(begins, default=cut.offset)
        return entry

    async def _claim_less(self, entries: Sequence[OpenPartition]) -> set[LogDirectory]:
        """Lowers recovery points on the disk; the directories where that failed."""
        # -1: what an earlier run has written down is not known here.
        due = {
            entry.directory: None
            for entry in entries
            if entry.floor is not None and (entry.noted_point < 0 or entry.noted_point > entry.floor)
        }
        return {directory for directory in due if not await self._checkpoint(directory)}

    async def _cut(
        self, cut: Cut, entry: OpenPartition | CutOutcome, unwritten: set[LogDirectory]
    ) -> CutOutcome:
        if not isinstance(entry, OpenPartition):
            return entry
        if entry.directory in unwritten:
            text = f"{entry.directory.path}: the recovery points cannot be written"
            return KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, text)
        job = self._io.start_over if cut.start_over else self._io.truncate
        try:
            end = await job(cut.log, cut.offset, cut.leader_epoch)
        except FastlogNativeError as error:
            return error
        self._truncated(entry, end)
        return end
