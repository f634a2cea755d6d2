"""One partition as this broker leads it: leader epoch, in-sync replicas and the high watermark.

A replica stands between the handlers and the log. Records below the high watermark are on every in-sync
replica, are visible to consumers and are what acks=all waits for (Kafka's `Partition`). In fsync mode a
record counts as being on this replica only when the group committer has it on the disk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode

if TYPE_CHECKING:
    from fastlog.native import Log

PartitionKey = tuple[str, int]
"""(topic, partition)."""

NO_EPOCH: Final = -1
"""A request that does not say which leader epoch it knows."""

_NONE: Final = ErrorCode.NONE.value


@dataclass(frozen=True, slots=True)
class ReplicaSettings:
    """What a replica needs of its topic's configuration."""

    min_insync_replicas: int = 1
    fsync: bool = False
    zstd: bool = False
    internal: bool = False


class Replica:
    """A partition on this broker. Used on the event loop only.

    `on_advance` is called each time the high watermark moves or leadership changes: who waits looks again.
    """

    __slots__ = (
        "_appended",
        "_on_advance",
        "_written",
        "high_watermark",
        "in_sync",
        "key",
        "leader_epoch",
        "leader_id",
        "log",
        "node_id",
        "offline",
        "settings",
        "topic_id",
    )

    def __init__(
        self,
        topic: str,
        topic_id: bytes,
        partition: int,
        log: Log,
        *,
        node_id: int,
        settings: ReplicaSettings,
        on_advance: Callable[[PartitionKey], object],
    ) -> None:
        self.key: Final[PartitionKey] = (topic, partition)
        self.topic_id = topic_id
        self.log = log
        self.node_id = node_id
        self.settings = settings
        self.leader_id = -1
        self.leader_epoch = NO_EPOCH
        self.in_sync: frozenset[int] = frozenset()
        self.offline = False
        self.high_watermark = log.log_start_offset
        self._appended = log.log_end_offset
        self._written = log.recovery_point
        self._on_advance = on_advance

    @property
    def is_leader(self) -> bool:
        """Whether this broker takes writes for the partition."""
        return self.leader_id == self.node_id

    @property
    def waits_for_disk(self) -> bool:
        """Whether the group committer still has something to do for this replica."""
        return self.settings.fsync and self._written < self._appended

    def lead(self, leader_epoch: int, in_sync: frozenset[int]) -> None:
        """Becomes, or stays, the leader. Raises ValueError when the epoch goes back."""
        if leader_epoch < self.leader_epoch:
            raise ValueError(f"{self.key}: leader epoch {leader_epoch} is older than {self.leader_epoch}")
        self.leader_id = self.node_id
        self.leader_epoch = leader_epoch
        self.in_sync = in_sync
        self._advance()

    def configure(self, settings: ReplicaSettings) -> None:
        """Takes over new settings. A high watermark that was served stays, whatever the mode."""
        self.settings = settings
        self._advance()

    def resign(self, leader_id: int, leader_epoch: int) -> None:
        """Another broker leads now (-1: nobody): whoever waits here learns it at once."""
        self.leader_id = leader_id
        self.leader_epoch = max(self.leader_epoch, leader_epoch)
        self._on_advance(self.key)

    def take_offline(self) -> None:
        """The log directory failed: nothing is acknowledged or served any more."""
        self.offline = True
        self._on_advance(self.key)

    def on_appended(self, end_offset: int) -> None:
        """Records up to `end_offset` (exclusive) are in the log."""
        if end_offset > self._appended:
            self._appended = end_offset
        self._advance()

    def on_flushed(self, offset: int) -> None:
        """Records up to `offset` (exclusive) are on the disk."""
        if offset > self._written:
            self._written = offset
        if self.settings.fsync:
            self._advance()

    def local_offset(self) -> int:
        """Up to where (exclusive) this replica counts as having the records."""
        if self.settings.fsync:
            return min(self._written, self._appended)
        return self._appended

    def last_stable_offset(self) -> int:
        """Up to where (exclusive) `read_committed` consumers may read."""
        return self.log.last_stable_offset(self.high_watermark)

    def leader_error(self, known_epoch: int = NO_EPOCH) -> int:
        """Error code for a request to the leader that knows `known_epoch`: 0 when it may go on.

        KAFKA_STORAGE_ERROR, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, NOT_LEADER_OR_FOLLOWER, in this order.
        """
        if self.offline:
            return ErrorCode.KAFKA_STORAGE_ERROR
        if known_epoch != NO_EPOCH and known_epoch != self.leader_epoch:
            if known_epoch < self.leader_epoch:
                return ErrorCode.FENCED_LEADER_EPOCH
            return ErrorCode.UNKNOWN_LEADER_EPOCH
        return _NONE if self.leader_id == self.node_id else ErrorCode.NOT_LEADER_OR_FOLLOWER

    def write_error(self, acks: int) -> int:
        """Error code that a produce request gets before anything is appended, or 0."""
        error = self.leader_error()
        if error == _NONE and acks == -1 and len(self.in_sync) < self.settings.min_insync_replicas:
            return ErrorCode.NOT_ENOUGH_REPLICAS
        return error

    def ack_error(self, acks: int, end_offset: int, leader_epoch: int) -> int | None:
        """Whether records up to `end_offset`, appended in `leader_epoch`, are acknowledged.

        None: not yet. 0: yes. Otherwise the error code that ends the wait. The in-sync set is checked again,
        as it may have shrunk since the append.
        """
        if self.offline:
            return ErrorCode.KAFKA_STORAGE_ERROR
        if self.leader_id != self.node_id or self.leader_epoch != leader_epoch:
            return ErrorCode.NOT_LEADER_OR_FOLLOWER
        if acks != -1:
            return _NONE if self.local_offset() >= end_offset else None
        if self.high_watermark < end_offset:
            return None
        if len(self.in_sync) < self.settings.min_insync_replicas:
            return ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND
        return _NONE

    def _advance(self) -> None:
        """The smallest position of the in-sync replicas is the high watermark; it never goes back.

        While the in-sync set has other members than this broker their positions are unknown here, so the
        watermark stands still.
        """
        if self.leader_id == self.node_id and len(self.in_sync) == 1:
            offset = self.local_offset()
            if offset > self.high_watermark:
                self.high_watermark = offset
                self._on_advance(self.key)
