"""What each follower of a partition has, as its leader learns it from their fetches, and the high watermark
that follows from it. Pure: no clock, no log.

Follows `Replica` and `Partition.maybeIncrementLeaderHW` of Kafka 3.9. Times are in milliseconds of one clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from fastlog.base.quick_dataclass import dataclass
from fastlog.replication.isr import InSyncSet

UNKNOWN: Final = -1
"""An offset of a follower that has not fetched from this leader yet."""
NEVER: Final = -(2**62)
"""A time that is longer ago than any lag."""


class Asking(Protocol):
    """What a follower asks again and again without saying so each time: a partition of a fetch session."""

    @property
    def asked_ms(self) -> int:
        """When it last asked; NEVER when it does so no more."""
        ...


@dataclass(slots=True)
class Follower:
    """One follower. `end_offset` is where its log ends, `start_offset` where it begins."""

    end_offset: int = UNKNOWN
    start_offset: int = UNKNOWN
    caught_up_ms: int = NEVER
    """When it last had all that the leader had, as far as that is known."""
    _leaders_end: int = UNKNOWN
    """Where the leader's log ended at the last fetch."""
    _fetched_ms: int = NEVER
    _asking: Asking | None = None

    def fetched(
        self,
        offset: int,
        start_offset: int,
        leaders_end: int,
        now_ms: int,
        asking: Asking | None = None,
    ) -> None:
        """It asks for what comes from `offset` on, so that it has all before. Not to be told of divergence.

        A follower that always gets what there was when it asked is never behind by more than one fetch: it
        counts as caught up at the time of the fetch before. `asking` is its fetch session's part, when it may
        ask the same again without being noted here.
        """
        self._asking = asking
        if offset >= leaders_end:
            self.caught_up_ms = max(self.caught_up_ms, now_ms)
        elif offset >= self._leaders_end:
            self.caught_up_ms = max(self.caught_up_ms, self._fetched_ms)
        self.end_offset, self.start_offset = offset, start_offset
        self._leaders_end = max(self._leaders_end, leaders_end)
        self._fetched_ms = now_ms

    def leader_grows(self, leaders_end: int) -> None:
        """The leader's log ended at `leaders_end` until now: was all of that there when it last asked?"""
        if self._asking is not None and self.end_offset >= leaders_end:
            self.caught_up_ms = max(self.caught_up_ms, self._asking.asked_ms)

    def begin_epoch(self, epoch_start: int, now_ms: int, *, in_sync: bool, new_leader: bool) -> None:
        """This broker leads in a new epoch. What a new leader believed earlier no longer counts."""
        self.caught_up_ms = now_ms if in_sync else NEVER
        if new_leader:
            self.end_offset = self.start_offset = self._leaders_end = UNKNOWN
            self._fetched_ms = NEVER
            self._asking = None
        else:
            self._leaders_end = epoch_start
            self._fetched_ms = self.caught_up_ms
            if not in_sync:
                # It may be dead, and asks from now on so that it is noted: the high watermark does not wait.
                self._asking = None

    def is_caught_up(self, leaders_end: int, now_ms: int, max_lag_ms: int) -> bool:
        """Whether it has all, or had it no longer ago than `max_lag_ms` (`replica.lag.time.max.ms`)."""
        return self.end_offset >= leaders_end or now_ms - self.caught_up_ms <= max_lag_ms


def high_watermark(
    own_end: int,
    followers: Mapping[int, Follower],
    in_sync: InSyncSet,
    *,
    least: int,
    now_ms: int,
    max_lag_ms: int,
    is_eligible: Callable[[int], bool],
) -> int | None:
    """Up to where (exclusive) records are on all who count; None when it must not move.

    Those who count are the maximal in-sync set and other followers that have caught up and are about to join
    it. With fewer than `least` members it stands still. A leader moves its own forwards only.
    """
    if len(in_sync.committed) < least:
        return None
    offset, members = own_end, in_sync.maximal
    for replica, follower in followers.items():
        if follower.end_offset < offset and (
            replica in members
            or (is_eligible(replica) and follower.is_caught_up(own_end, now_ms, max_lag_ms))
        ):
            offset = follower.end_offset
    return None if offset == UNKNOWN else offset


def fallen_behind(
    followers: Mapping[int, Follower], members: Iterable[int], leaders_end: int, now_ms: int, max_lag_ms: int
) -> frozenset[int]:
    """The members of the in-sync set that have to leave it. One of which nothing is known has to, too."""
    return frozenset(
        member
        for member in members
        if (follower := followers.get(member)) is None
        or not follower.is_caught_up(leaders_end, now_ms, max_lag_ms)
    )
