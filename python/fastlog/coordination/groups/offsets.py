"""Committed offsets of one group, and when they are too old to keep."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

from fastlog.coordination.groups.modern.state import ConsumerGroup
from fastlog.coordination.groups.state import CONSUMER, Group, GroupState
from fastlog.coordination.groups.subscriptions import subscribed_topics

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


class GroupOffsets:
    """What one group has committed. A commit counts when it is in the log, in the order of the log."""

    def __init__(self, committed: Mapping[TopicPartition, CommittedOffset] | None = None) -> None:
        self._committed: dict[TopicPartition, CommittedOffset] = dict(committed or {})
        self._pending: list[Collection[TopicPartition]] = []
        """Commits on their way to the log, in the order in which they will be there."""

    def __bool__(self) -> bool:
        return bool(self._committed) or bool(self._pending)

    @property
    def committed(self) -> Mapping[TopicPartition, CommittedOffset]:
        """All committed offsets, as of now."""
        return self._committed

    def touched(self, topic: str | None = None) -> list[TopicPartition]:
        """Partitions (of one topic) with an offset in the log, or with one that is on its way there."""
        keys = (key for known in (self._committed, *self._pending) for key in known)
        return sorted({key for key in keys if topic is None or key[0] == topic})

    def begin(self, partitions: Collection[TopicPartition]) -> None:
        """Commits are on their way to the log."""
        self._pending.append(partitions)

    def end(self, commits: Mapping[TopicPartition, CommittedOffset], *, written: bool) -> None:
        """The same commits are in the log (`written`), or are not."""
        self._pending.remove(commits)
        if written:
            self._committed.update(commits)

    def remove(self, partitions: Iterable[TopicPartition]) -> None:
        """Forgets offsets."""
        for partition in partitions:
            self._committed.pop(partition, None)

    def expired(self, group: Group | ConsumerGroup, now_ms: int, retention_ms: int) -> list[TopicPartition]:
        """Offsets whose time is over (KIP-211): counted from when the group lost its last member, or, where
        nobody manages the group or no member wants the topic, from the commit."""
        empty_since_ms = NO_TIMESTAMP
        kept_topics: frozenset[str] | None = frozenset()
        if isinstance(group, ConsumerGroup):
            kept_topics = group.subscribed_topics()
        elif group.protocol_type is not None:
            if group.state is GroupState.EMPTY:
                empty_since_ms = group.state_timestamp_ms
            elif group.state is GroupState.STABLE and group.protocol_type == CONSUMER:
                kept_topics = subscribed_topics(group)
            else:
                kept_topics = None
        if kept_topics is None:
            return []
        pending: set[TopicPartition] = set().union(*self._pending)
        return [
            partition
            for partition, committed in self._committed.items()
            if partition[0] not in kept_topics
            and partition not in pending
            and _is_over(committed, empty_since_ms, now_ms, retention_ms)
        ]


def _is_over(committed: CommittedOffset, empty_since_ms: int, now_ms: int, retention_ms: int) -> bool:
    if committed.expire_timestamp_ms != NO_TIMESTAMP:
        return now_ms >= committed.expire_timestamp_ms
    # Old brokers stored no time of becoming empty: then the commit's own counts.
    since_ms = committed.commit_timestamp_ms if empty_since_ms == NO_TIMESTAMP else empty_since_ms
    return now_ms - since_ms >= retention_ms
