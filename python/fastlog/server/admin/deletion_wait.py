"""The wait for followers to delete the records that their leader has deleted (`DelayedDeleteRecords`)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from fastlog.base.quick_dataclass import dataclass
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

    def look(self) -> bool:
        """Whether all replicas have deleted them, or this broker is not the leader any more."""
        error = self.partition.leader_error()
        low = self.partition.low_watermark()
        self.row.error_code = int(error)
        self.row.low_watermark = _NO_OFFSET if error else low
        return bool(error) or low >= self.offset


class _Wait(Operation):
    """Until one deletion is over, or time is up."""

    __slots__ = ("_deletion", "done")

    early_end = True

    def __init__(self, deletion: Deletion) -> None:
        super().__init__()
        self._deletion = deletion
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def is_ready(self, key: PartitionKey) -> bool:
        """A follower's log begins somewhere else, or there is another leader."""
        return self._deletion.look()

    def complete(self) -> None:
        """It is over."""
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

    They are waited for one after the other: the wait ends with the last one, in whatever order they end.
    Raises Abandoned when nobody waits for the answer any more.
    """
    deadline = ctx.broker.loop.time() + timeout_ms / 1000
    async for deletion in ctx.pace.each(deletions):
        while not deletion.look():
            left_ms = (deadline - ctx.broker.loop.time()) * 1000
            if left_ms <= 0:
                deletion.row.error_code = int(ErrorCode.REQUEST_TIMED_OUT)
                break
            await _wait(ctx, deletion, min(left_ms, _LOOK_MS))
            await ctx.pace.pause()


async def _wait(ctx: RequestContext, deletion: Deletion, wait_ms: float) -> None:
    purgatory, wait = ctx.broker.purgatory, _Wait(deletion)
    purgatory.park(wait, (deletion.partition.key,), wait_ms)
    if wait.done.done():
        # Nothing may wait any more, as the broker stops: that is no reason to look without a pause.
        await asyncio.sleep(wait_ms / 1000)
    try:
        await wait.done
    finally:
        purgatory.cancel(wait)
