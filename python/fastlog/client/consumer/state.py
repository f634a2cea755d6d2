"""One assigned partition: where it stands, what waits in its buffer, and what is wrong with it."""

from __future__ import annotations

from typing import Final

from fastlog.client.consumer.records import damage_of
from fastlog.client.errors import ClientError
from fastlog.client.metadata import TopicPartition
from fastlog.native import FetchedRecords, Record, TableBuilder

__all__ = ["PartitionState"]


class PartitionState:
    """One assigned partition, read from `position` on, up to `end` (exclusive) or for ever."""

    def __init__(self, name: TopicPartition, position: int, end: int | None, epoch: int = -1) -> None:
        self.name: Final = name
        self.position = position
        """The next offset to hand out."""
        self.epoch = epoch
        """The leader epoch of the last record that was handed out, -1 unknown."""
        self.end = end
        """Where to stop (exclusive), or None."""
        self.high_watermark = -1
        """End of what consumers may read, as of the last answer; -1 before there is one."""
        self.error: ClientError | None = None
        self.paused = False
        self.committed: int | None = None
        """The offset that was committed last by this consumer."""
        self.checked_epoch = -1
        """The leader epoch in which the position was found to be in the log (KIP-320)."""
        self.replica: tuple[int, float] | None = None
        """The replica to read from instead of the leader, and until when (KIP-392)."""
        self.in_flight = False
        self.retry_at = 0.0
        self.failing_since: float | None = None
        self.failures = 0
        self.turn = 0
        """Counts seeks: an answer to a question from before is of no use."""
        self.unread: Record | None = None
        """The record that comes next, where an iteration is in the middle of what was taken."""
        self._fetched: FetchedRecords | None = None

    @property
    def next_offset(self) -> int:
        """The offset of the next record that its reader has not seen."""
        unread = self.unread
        return self.position if unread is None else unread.offset

    @property
    def is_done(self) -> bool:
        """Whether the end has been reached."""
        return self.end is not None and self.position >= self.end

    @property
    def is_wanted(self) -> bool:
        """Whether a fetch is to be made for it."""
        return not (
            self.in_flight or self.has_records or self.is_done or self.error is not None or self.paused
        )

    @property
    def has_records(self) -> bool:
        """Whether records may wait to be taken."""
        return self._fetched is not None

    def seek(self, position: int, epoch: int = -1) -> None:
        """Drops what is buffered and goes on from `position`."""
        self.position = position
        self.epoch = epoch
        self._fetched = None
        self.unread = None
        self.error = None
        self.failing_since, self.failures, self.retry_at = None, 0, 0.0
        self.turn += 1

    def put(self, fetched: FetchedRecords) -> bool:
        """Takes in the answer to a fetch at `position`. False when no whole batch is in it."""
        # One look finds out whether there is anything: markers and skipped batches move the position.
        before = self.position
        if not fetched.has_records():
            self.position = max(before, fetched.position)
            self.error = self.error or damage_of(self.name, fetched)
            return self.position > before or self.error is not None
        self._fetched = fetched
        return True

    def take(self, most: int) -> list[Record]:
        """At most so many records, in order. Damage behind them becomes the partition's error."""
        fetched = self._fetched
        if fetched is None or self.paused:
            return []
        taken = fetched.take(most)
        self._took(fetched, len(taken))
        return taken

    def take_into(self, table: TableBuilder, most: int, most_bytes: int) -> int:
        """The same into a table, until it has reached `most_bytes`. Returns how many were taken."""
        fetched = self._fetched
        if fetched is None or self.paused:
            return 0
        taken = fetched.take_into(table, most, most_bytes)
        self._took(fetched, taken)
        return taken

    def _took(self, fetched: FetchedRecords, count: int) -> None:
        self.position = max(self.position, fetched.position)
        if count:
            self.epoch = fetched.leader_epoch
        if fetched.is_over:
            self._fetched = None
            self.error = damage_of(self.name, fetched)
