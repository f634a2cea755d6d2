"""This broker's part in one partition: its log, its role and leader epoch, and while it leads what the
followers have, the in-sync set and the high watermark.

A partition stands between the handlers and the log. Records below the high watermark are on every in-sync
replica, are visible to consumers and are what acks=all waits for (Kafka's `Partition`). In fsync mode a
record counts as being on this replica only when the group committer has it on the disk.

A partition without other replicas has no followers, and an append costs it two comparisons.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.errors import ErrorCode
from fastlog.native import Generation
from fastlog.replication.isr import InSyncSet, Refusal, least_in_sync, settled
from fastlog.replication.progress import Asking, Follower, fallen_behind, high_watermark

if TYPE_CHECKING:
    from fastlog.native import Log

PartitionKey = tuple[str, int]
"""(topic, partition)."""

NO_EPOCH: Final = -1
"""A request that does not say which leader epoch it knows."""
NO_LEADER: Final = -1
"""The leader of a partition that nobody leads."""

_NONE: Final = ErrorCode.NONE.value
_NOBODY: Final[Mapping[int, Follower]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ReplicaSettings:
    """What a partition needs of its topic's configuration. `max_lag_ms` is `replica.lag.time.max.ms`."""

    min_insync_replicas: int = 1
    fsync: bool = False
    zstd: bool = False
    internal: bool = False
    max_lag_ms: int = 30_000


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What partitions ask: a clock in milliseconds, whether a broker may join an in-sync set now."""

    now_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000
    is_eligible: Callable[[int], bool] = lambda _: True
    kept_high_watermark: Callable[[PartitionKey], int] = lambda _: 0
    """What an earlier run has left of a partition's high watermark (see `watermarks`)."""


class Partition:
    """A partition on this broker. Used on the event loop only.

    `on_advance` is called each time that anything changes which readers are told of: the high watermark,
    leader and epoch, settings, the log start offset. Who waits looks again. `on_append` is called when there
    are records that only followers may read as yet.
    """

    __slots__ = (
        "_alone",
        "_appended",
        "_around",
        "_enough",
        "_least",
        "_on_advance",
        "_on_append",
        "_since",
        "_written",
        "epoch_start",
        "followers",
        "generation",
        "high_watermark",
        "isr",
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
        on_append: Callable[[PartitionKey], object] = lambda _: None,
        surroundings: Surroundings | None = None,
    ) -> None:
        self.key: Final[PartitionKey] = (topic, partition)
        self.topic_id = topic_id
        self.log = log
        self.node_id = node_id
        self.settings = settings
        self.leader_id = NO_LEADER
        self.leader_epoch = NO_EPOCH
        self.epoch_start = log.log_end_offset
        """Where the log ended when this broker began to lead in `leader_epoch`."""
        self.followers: Mapping[int, Follower] = _NOBODY
        """The other replicas, while this broker leads."""
        self.isr = settled(frozenset(), 0)
        self.offline = False
        self._around = surroundings or Surroundings()
        self._appended = log.log_end_offset
        self._written = log.recovery_point
        self.high_watermark = self._within_log(self._around.kept_high_watermark(self.key))
        self.generation: Final = Generation()
        """Changes with all that decides who may write and what acknowledges it: `server/produce/settled`."""
        self._on_advance = on_advance
        self._on_append = on_append
        self._least = 1
        self._since = NO_EPOCH
        """The first epoch of this broker's leadership: it may have been elected again and again since."""
        # Whether this broker leads without followers, and whether enough are in sync for acks=all: asked for
        # each append, and changed by little else.
        self._alone = False
        self._enough = False

    @property
    def is_leader(self) -> bool:
        """Whether this broker takes writes for the partition."""
        return self.leader_id == self.node_id

    @property
    def in_sync(self) -> frozenset[int]:
        """The in-sync set that the controller has confirmed."""
        return self.isr.committed

    @property
    def is_alone(self) -> bool:
        """Whether it leads, acks=all waits for nobody else, and enough are in sync for it."""
        return self._alone

    @property
    def end_offset(self) -> int:
        """Where the log ends: up to there (exclusive) followers may read."""
        return self._appended

    @property
    def least_in_sync(self) -> int:
        """How many of them acks=all and the high watermark need."""
        return self._least

    @property
    def waits_for_disk(self) -> bool:
        """Whether the group committer still has something to do for this replica."""
        return self.settings.fsync and self._written < self._appended

    def lead(
        self,
        leader_epoch: int,
        in_sync: frozenset[int],
        *,
        replicas: Collection[int] = (),
        partition_epoch: int = 0,
    ) -> None:
        """Becomes, or stays, the leader. `replicas` are all, this broker among them (none: those in sync).

        What is older than what is known of this epoch changes nothing. Raises ValueError when the epoch goes
        back.
        """
        if leader_epoch < self.leader_epoch:
            raise ValueError(f"{self.key}: leader epoch {leader_epoch} is older than {self.leader_epoch}")
        new_epoch, new_leader = leader_epoch > self.leader_epoch, not self.is_leader
        if not (new_epoch or new_leader) and partition_epoch < self.isr.partition_epoch:
            return
        if new_leader:
            self._since = leader_epoch
        others = [replica for replica in replicas or in_sync if replica != self.node_id]
        self.leader_id = self.node_id
        self.leader_epoch = leader_epoch
        self.isr = settled(in_sync, partition_epoch)
        self.followers = {replica: self.followers.get(replica) or Follower() for replica in others} or _NOBODY
        if new_leader:
            # What a former leadership has noted may have been cut since, and a follower has appended more.
            self._appended = self.log.log_end_offset
            # What it has taken as a follower, or before a crash, was flushed before it leads.
            self._written = min(max(self._written, self.log.recovery_point), self._appended)
        if new_epoch or new_leader:
            self.epoch_start = self._appended
            now = self._around.now_ms()
            for replica, follower in self.followers.items():
                follower.begin_epoch(self.epoch_start, now, in_sync=replica in in_sync, new_leader=new_leader)
        self._weigh()
        if not self._advance() and (new_epoch or new_leader):
            self._on_advance(self.key)

    def follow(self, leader_id: int, leader_epoch: int) -> None:
        """Another broker leads (-1: nobody): whoever waits here learns it at once.

        Raises ValueError when the epoch goes back.
        """
        if leader_epoch < self.leader_epoch:
            raise ValueError(f"{self.key}: leader epoch {leader_epoch} is older than {self.leader_epoch}")
        self.resign(leader_id, leader_epoch)

    def resign(self, leader_id: int, leader_epoch: int) -> None:
        """The same, also in an epoch that is over: the partition is taken away, or stopped."""
        self.leader_id = leader_id
        self.leader_epoch = max(self.leader_epoch, leader_epoch)
        self.followers = _NOBODY
        self._weigh()
        self._on_advance(self.key)

    def configure(self, settings: ReplicaSettings) -> None:
        """Takes over new settings. A high watermark that was served stays, whatever the mode."""
        changed = settings != self.settings
        self.settings = settings
        self._weigh()
        if not self._advance() and changed:
            self._on_advance(self.key)

    def take_offline(self) -> None:
        """The log directory failed: nothing is acknowledged or served any more."""
        self.offline = True
        self.generation.change()
        self._on_advance(self.key)

    def on_log_cut(self) -> None:
        """The log begins, or ends, somewhere else (retention, deletion of records, truncation)."""
        self._on_advance(self.key)

    def on_appended(self, end_offset: int) -> None:
        """Records up to `end_offset` (exclusive) are in the log."""
        if self._alone or not self.followers:
            if end_offset > self._appended:
                self._appended = end_offset
            self._advance()
        elif end_offset > self._appended:
            self._followers_were_at(self.local_offset())
            self._appended = end_offset
            if not self._advance():
                self._on_append(self.key)

    def on_followed(self, end_offset: int, high_watermark: int) -> None:
        """As a follower: the log ends at `end_offset` after an append or a cut.

        `high_watermark` is the leader's. The own one follows it within the log, backwards too.
        """
        if self.is_leader:
            return
        self._appended = end_offset
        self._written = min(self._written, end_offset)
        offset = self._within_log(high_watermark)
        if offset != self.high_watermark:
            self.high_watermark = offset
            self._on_advance(self.key)

    def on_flushed(self, offset: int) -> None:
        """Records up to `offset` (exclusive) are on the disk."""
        if self.followers and self.settings.fsync:
            self._followers_were_at(self.local_offset())
        if offset > self._written:
            self._written = offset
        if self.settings.fsync:
            self._advance()

    def on_fetched(
        self, replica: int, offset: int, start_offset: int, asking: Asking | None = None
    ) -> InSyncSet | None:
        """A follower asks for what comes from `offset` on; its log begins at `start_offset`.

        It need not be noted again for as long as it asks the same and is a member of the in-sync set, when
        `asking` says that it does. Gives the set that the controller is to be asked for when it may join (see
        `isr`), which is asked for from now on. Raises KeyError for one that is no replica.
        """
        now, follower = self._around.now_ms(), self.followers[replica]
        cut = start_offset != follower.start_offset
        follower.fetched(offset, start_offset, self.local_offset(), now, asking)
        if not self._advance() and cut:
            # Deletions of records wait for it.
            self._on_advance(self.key)
        if (
            self.isr.is_changing
            or replica in self.isr.committed
            or offset < max(self.high_watermark, self.epoch_start)
            or not self._around.is_eligible(replica)
        ):
            return None
        self._replace_isr(self.isr.joined(replica))
        return self.isr

    def shrink(self) -> InSyncSet | None:
        """Looks for members that have fallen behind: the set that the controller is to be asked for, or None.

        To be called from time to time, every half of `max_lag_ms`.
        """
        if not self.is_leader or self.offline or not self.followers:
            return None
        # One that was about to join, and is silent since, does not hold back the high watermark any more.
        self._advance()
        if self.isr.is_changing:
            return None
        gone = fallen_behind(
            self.followers,
            self.isr.committed - {self.node_id},
            self.local_offset(),
            self._around.now_ms(),
            self.settings.max_lag_ms,
        )
        if not gone:
            return None
        self._replace_isr(self.isr.without(gone))
        return self.isr

    def on_isr_confirmed(self, asked: InSyncSet, in_sync: Collection[int], partition_epoch: int) -> None:
        """The controller has answered what was `asked` for. Ignored when the state is another by now."""
        if self.isr is asked:
            self._replace_isr(asked.confirmed(in_sync, partition_epoch))

    def on_isr_refused(self, asked: InSyncSet, code: int) -> bool:
        """The controller has refused it with an error code. Returns whether it is to be asked again."""
        if self.isr is not asked:
            return False
        after, refusal = asked.refused(code)
        self._replace_isr(after)
        return refusal is Refusal.RETRY

    def low_watermark(self) -> int:
        """The first offset that any replica still has: this one, and all whose broker is alive."""
        return min(
            [
                self.log.log_start_offset,
                *(
                    follower.start_offset
                    for replica, follower in self.followers.items()
                    if self._around.is_eligible(replica)
                ),
            ]
        )

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
        if (
            self.leader_id == self.node_id
            and not self.offline
            and (known_epoch == NO_EPOCH or known_epoch == self.leader_epoch)
        ):
            return _NONE
        return self.replica_error(known_epoch) or ErrorCode.NOT_LEADER_OR_FOLLOWER

    def follower_error(self, replica: int, known_epoch: int) -> int:
        """The same for a follower's fetch, of one that is no replica as this leader knows them as well."""
        error = self.leader_error(known_epoch)
        if error or replica in self.followers:
            return error
        if known_epoch != NO_EPOCH:
            return ErrorCode.UNKNOWN_LEADER_EPOCH
        return ErrorCode.NOT_LEADER_OR_FOLLOWER

    def replica_error(self, known_epoch: int = NO_EPOCH) -> int:
        """The same for a request that any replica may answer (KIP-392)."""
        if self.offline:
            return ErrorCode.KAFKA_STORAGE_ERROR
        if known_epoch != NO_EPOCH and known_epoch != self.leader_epoch:
            if known_epoch < self.leader_epoch:
                return ErrorCode.FENCED_LEADER_EPOCH
            return ErrorCode.UNKNOWN_LEADER_EPOCH
        return _NONE

    def write_error(self, acks: int) -> int:
        """Error code that a produce request gets before anything is appended, or 0."""
        error = self.leader_error()
        if error == _NONE and acks == -1 and not self._enough:
            return ErrorCode.NOT_ENOUGH_REPLICAS
        return error

    def ack_error(self, acks: int, end_offset: int, leader_epoch: int) -> int | None:
        """Whether records up to `end_offset`, appended in `leader_epoch`, are acknowledged.

        None: not yet. 0: yes. Otherwise the error code that ends the wait. The in-sync set is checked again,
        as it may have shrunk since the append. A leader that is elected again, which happens when the broker
        of a follower dies, goes on: what it has appended is still in its log.
        """
        if self.offline:
            return ErrorCode.KAFKA_STORAGE_ERROR
        if self.leader_id != self.node_id or leader_epoch < self._since:
            return ErrorCode.NOT_LEADER_OR_FOLLOWER
        if acks != -1:
            return _NONE if self.local_offset() >= end_offset else None
        if self.high_watermark < end_offset:
            return None
        if not self._enough and len(self.isr.maximal) < self._least:
            return ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND
        return _NONE

    def _followers_were_at(self, end: int) -> None:
        for follower in self.followers.values():
            follower.leader_grows(end)

    def _within_log(self, offset: int) -> int:
        return min(max(offset, self.log.log_start_offset), self._appended)

    def _replace_isr(self, isr: InSyncSet) -> None:
        self.isr = isr
        self._weigh()
        self._advance()

    def _weigh(self) -> None:
        """Notes what followers, in-sync set and settings mean for an append."""
        self.generation.change()
        self._least = least_in_sync(self.settings.min_insync_replicas, len(self.followers) + 1)
        self._enough = len(self.isr.committed) >= self._least
        self._alone = self.leader_id == self.node_id and not self.followers and self._enough

    def _advance(self) -> bool:
        """Moves the high watermark of a leader forwards, as far as `progress.high_watermark` lets it.

        Whether it has moved, and who reads has been told.
        """
        if self._alone:
            offset: int | None = self.local_offset()
        elif self.leader_id == self.node_id:
            offset = high_watermark(
                self.local_offset(),
                self.followers,
                self.isr,
                least=self._least,
                now_ms=self._around.now_ms(),
                max_lag_ms=self.settings.max_lag_ms,
                is_eligible=self._around.is_eligible,
            )
        else:
            return False
        if offset is None or offset <= self.high_watermark:
            return False
        self.high_watermark = offset
        self._on_advance(self.key)
        return True
