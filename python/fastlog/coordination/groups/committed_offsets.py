"""Committed offsets of one group, and when they are too old to keep."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from fastlog.coordination.groups.classic.state import CONSUMER, Group, GroupState
from fastlog.coordination.groups.consumer.state import ConsumerGroup
from fastlog.coordination.groups.pending_offsets import PendingOffsets
from fastlog.coordination.groups.subscriptions import subscribed_topics
from fastlog.coordination.groups.weight import Weighed, most_commit_weight, offset_weight

TopicPartition = tuple[str, int]
NO_TIMESTAMP: Final = -1


class CommittedOffset(NamedTuple):
    """One committed position. `leader_epoch` is -1 when the client did not say it; times in ms.

    `expire_timestamp_ms` comes from commits of version 2 to 4 with a retention of their own, else -1.
    """

    offset: int
    leader_epoch: int
    metadata: str
    commit_timestamp_ms: int
    expire_timestamp_ms: int = NO_TIMESTAMP


class _WeighedOffsets(Weighed[TopicPartition, CommittedOffset]):
    """Committed offsets that know what they weigh. Every commit updates them: without a call for each."""

    def __init__(self, committed: Mapping[TopicPartition, CommittedOffset] | None = None) -> None:
        super().__init__(offset_weight, committed)

    def update(self, entries: Mapping[TopicPartition, CommittedOffset]) -> None:  # type: ignore[override]
        """As `dict.update`, from a mapping."""
        if self.keys().isdisjoint(entries):
            dict.update(self, entries)
            self.weight += most_commit_weight(entries)
            return
        former, grown = self.get, 0
        for partition, committed in entries.items():
            old = former(partition)
            if old is None:
                grown += offset_weight(partition, committed)
            elif old.metadata is not committed.metadata:
                grown += len(committed.metadata) - len(old.metadata)
        dict.update(self, entries)
        self.weight += grown


@dataclass(slots=True, eq=False)
class _Change:
    """Some partitions, and what is committed for them (None: their offsets are removed)."""

    partitions: Collection[TopicPartition]
    commits: Mapping[TopicPartition, CommittedOffset] | None


class GroupOffsets:
    """What one group has committed. Commits and removals count when they are in the log, in its order."""

    def __init__(self, committed: Mapping[TopicPartition, CommittedOffset] | None = None) -> None:
        self._committed = _WeighedOffsets(committed)
        self._pending: list[_Change] = []
        """Changes on their way to the log, in the order in which they will be there."""
        self.transactional: Final = PendingOffsets()
        """Those of transactions that have not ended."""

    def __bool__(self) -> bool:
        """Whether there are any, now or when all that is on its way is in the log."""
        if self.transactional:
            return True
        going = sum([len(change.partitions) for change in self._pending if change.commits is None])
        if len(self._committed) > going:
            return True
        return bool(self._committed or self._pending) and bool(self.left())

    @property
    def weight(self) -> int:
        """Bytes of memory that they are reckoned with."""
        return self._committed.weight + self.transactional.weight

    @property
    def committed(self) -> Mapping[TopicPartition, CommittedOffset]:
        """All committed offsets, as of now."""
        return self._committed

    def left(self) -> Mapping[TopicPartition, CommittedOffset]:
        """The offsets that there are when all that is on its way is in the log."""
        if not self._pending:
            return self._committed
        left = dict(self._committed)
        for change in self._pending:
            if change.commits is not None:
                left.update(change.commits)
                continue
            for partition in change.partitions:
                left.pop(partition, None)
        return left

    def touched(self, topic: str | None = None) -> list[TopicPartition]:
        """Partitions (of one topic) with an offset in the log, or with one that is on its way there."""
        known = (self._committed, *(change.commits for change in self._pending if change.commits))
        keys = {key for partitions in known for key in partitions if topic is None or key[0] == topic}
        if self.transactional:
            keys.update(key for key in self.transactional.partitions() if topic is None or key[0] == topic)
        return sorted(keys)

    def touched_of(self, partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
        """Those of `partitions` that `touched` has."""
        coming = self._coming()
        return [key for key in partitions if key in self._committed or key in coming]

    def _coming(self) -> set[TopicPartition]:
        """Partitions with a commit on its way to the log, or one of a transaction that is open."""
        coming = set().union(*(change.commits for change in self._pending if change.commits))
        return coming | self.transactional.partitions() if self.transactional else coming

    def begin(self, commits: Mapping[TopicPartition, CommittedOffset]) -> _Change:
        """Commits are on their way to the log."""
        return self._begin(_Change(commits, commits))

    def begin_removal(self, partitions: Collection[TopicPartition]) -> _Change:
        """Tombstones are on their way to the log."""
        return self._begin(_Change(partitions, None))

    def end(self, change: _Change, *, written: bool) -> None:
        """What was begun is in the log (`written`), or is not."""
        self._pending.remove(change)
        if not written:
            return
        if change.commits is not None:
            self._committed.update(change.commits)
            self.transactional.overtake(change.partitions)
            return
        for partition in change.partitions:
            self._committed.pop(partition, None)
        self.transactional.drop(change.partitions)

    def settle(self, producer_id: int, *, commits: bool) -> None:
        """The marker of a producer's transaction is in the log."""
        self._committed.update(self.transactional.settle(producer_id, commits=commits))

    def inherit(self, former: GroupOffsets) -> None:
        """Takes over what a group of the same name keeps: it could not be removed before this one came."""
        for partition, committed in former.committed.items():
            self._committed.setdefault(partition, committed)
        self.transactional.inherit(former.transactional)

    def _begin(self, change: _Change) -> _Change:
        self._pending.append(change)
        return change

    def expired(
        self,
        group: Group | ConsumerGroup,
        now_ms: int,
        retention_ms: int,
        among: Sequence[TopicPartition] | None = None,
    ) -> list[TopicPartition]:
        """Offsets (of `among`) whose time is over (KIP-211): counted from when the group lost its last
        member, or, where nobody manages the group or no member wants the topic, from the commit."""
        return self.over(expiry_rule(group), now_ms, retention_ms, among)

    def over(
        self,
        rule: ExpiryRule | None,
        now_ms: int,
        retention_ms: int,
        among: Sequence[TopicPartition] | None = None,
    ) -> list[TopicPartition]:
        """The same by a rule that is known."""
        if rule is None:
            return []
        left = self._committed if among is not None else self.left()
        if (among is not None and self._pending) or self.transactional:
            # An offset that is about to change is looked at when it has.
            coming = self.transactional.partitions() if among is None else self._coming()
            among = [key for key in (left if among is None else among) if key not in coming]
        return [
            partition
            for partition in (left if among is None else among)
            if partition[0] not in rule.kept_topics
            and (committed := left.get(partition)) is not None
            and _is_over(committed, rule.empty_since_ms, now_ms, retention_ms)
        ]


@dataclass(frozen=True, slots=True)
class ExpiryRule:
    """From when the offsets of a group expire, and those of which topics do not."""

    kept_topics: Container[str]
    empty_since_ms: int


def expiry_rule(group: Group | ConsumerGroup) -> ExpiryRule | None:
    """How offsets of the group expire as it is now; None: none of them."""
    if isinstance(group, ConsumerGroup):
        return ExpiryRule(group.subscribed_topics(), NO_TIMESTAMP)
    if group.protocol_type is None:
        return ExpiryRule(frozenset(), NO_TIMESTAMP)
    if group.state is GroupState.EMPTY:
        return ExpiryRule(frozenset(), group.state_timestamp_ms)
    if group.state is GroupState.STABLE and group.protocol_type == CONSUMER:
        kept = subscribed_topics(group)
        return None if kept is None else ExpiryRule(kept, NO_TIMESTAMP)
    return None


def _is_over(committed: CommittedOffset, empty_since_ms: int, now_ms: int, retention_ms: int) -> bool:
    if committed.expire_timestamp_ms != NO_TIMESTAMP:
        return now_ms >= committed.expire_timestamp_ms
    # Old brokers stored no time of becoming empty: then the commit's own counts.
    since_ms = committed.commit_timestamp_ms if empty_since_ms == NO_TIMESTAMP else empty_since_ms
    return now_ms - since_ms >= retention_ms
