"""The wait for followers to delete the records that their leader has deleted (`DelayedDeleteRecords`)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.replication.purgatory import Operation

if TYPE_CHECKING:
    from fastlog.replication.partition import Partition, PartitionKey
    from fastlog.server.requests.context import RequestContext
    from fastlog.wire.messages.topics import DeleteRecordsPartitionResult

_NO_OFFSET: Final = -1
_LOOK_MS: Final = 500
"""How often it is looked whether the client is still there."""


@dataclass(slots=True)
class Deletion:
    """One partition of which the leader has no records below `offset`, and its row of the answer."""

    partition: Partition
    offset: int
    row: DeleteRecordsPartitionResult
    is_over: bool = False

    def look(self) -> bool:
        """Whether all replicas have deleted them, or this broker is not the leader any more."""
        if not self.is_over:
            error = self.partition.leader_error()
            low = self.partition.low_watermark()
            self.is_over = bool(error) or low >= self.offset
            self.row.error_code = int(error)
            self.row.low_watermark = _NO_OFFSET if error else low
        return self.is_over


class _Wait(Operation):
    """Until all of some deletions are over."""

    __slots__ = ("_deletions", "done")

    early_end = True

    def __init__(self, deletions: Sequence[Deletion]) -> None:
        super().__init__()
        self._deletions = deletions
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def is_ready(self, key: PartitionKey) -> bool:
        """A follower's log begins somewhere else, or there is another leader."""
        return all(deletion.look() for deletion in self._deletions)

    def complete(self) -> None:
        """They are."""
        self._end()

    def expire(self) -> None:
        """It is time to look who still waits."""
        self._end()

    def failed(self, error: BaseException) -> None:
        """A defect."""
        if not self.done.done():
            self.done.set_exception(error)

    def _end(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def await_followers(ctx: RequestContext, deletions: Sequence[Deletion], timeout_ms: int) -> None:
    """Returns when all are over or time is up, and has the outcomes in their rows.

    Raises Abandoned when nobody waits for the answer any more.
    """
    loop, purgatory = ctx.broker.loop, ctx.broker.purgatory
    deadline = loop.time() + timeout_ms / 1000
    while waiting := [deletion for deletion in deletions if not deletion.look()]:
        left_ms = (deadline - loop.time()) * 1000
        if left_ms <= 0:
            for deletion in waiting:
                deletion.row.error_code = int(ErrorCode.REQUEST_TIMED_OUT)
            return
        wait = _Wait(waiting)
        purgatory.park(wait, [deletion.partition.key for deletion in waiting], min(left_ms, _LOOK_MS))
        ended = wait.done.done()
        try:
            await wait.done
        finally:
            purgatory.cancel(wait)
        if ended:
            # Nothing may wait any more: the broker stops.
            await asyncio.sleep(min(left_ms, _LOOK_MS) / 1000)
        await ctx.pace.pause()
