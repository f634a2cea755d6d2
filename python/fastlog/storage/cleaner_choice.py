"""Which log is compacted next: the dirtiest of those that are worth it (Kafka's `LogCleanerManager`)."""

from __future__ import annotations

from collections.abc import Iterable

from fastlog.base.quick_dataclass import dataclass
from fastlog.native import CompactionState
from fastlog.storage.cleaner_settings import CompactionPolicy
from fastlog.storage.partitions import OpenPartition


@dataclass(frozen=True, slots=True)
class Candidate:
    """An open log whose topic is compacted. `clean_from` is its cleaner checkpoint, None when it has none."""

    entry: OpenPartition
    policy: CompactionPolicy
    clean_from: int | None


@dataclass(frozen=True, slots=True)
class LogToClean:
    """A log and what there is to compact in it. Nothing at or above `limit` may be touched."""

    entry: OpenPartition
    policy: CompactionPolicy
    clean_from: int
    limit: int
    state: CompactionState

    @property
    def is_worth_it(self) -> bool:
        """Whether the log is to be compacted now.

        Its share of uncompacted bytes is above `min.cleanable.dirty.ratio`; or `max.compaction.lag.ms` is
        over for some of them; or tombstones have outlived `delete.retention.ms`. With those Kafka waits until
        other records make the log dirty again, which in a quiet topic never happens.
        """
        state = self.state
        return (
            state.dirty_ratio > self.policy.min_dirty_ratio
            or (state.compaction_delay_ms > 0 and state.cleanable_bytes > 0)
            or state.removal_due
        )


def look(candidate: Candidate, limit: int | None, now_ms: int) -> LogToClean | None:
    """Asks the engine about a log; blocks. None when it may not be compacted at all now."""
    if limit is None:
        return None
    clean_from = -1 if candidate.clean_from is None else candidate.clean_from
    state = candidate.entry.log.compaction_state(
        clean_from,
        limit,
        now_ms,
        min_lag_ms=candidate.policy.min_lag_ms,
        max_lag_ms=candidate.policy.max_lag_ms,
    )
    return LogToClean(candidate.entry, candidate.policy, clean_from, limit, state)


def choose(found: Iterable[LogToClean]) -> LogToClean | None:
    """The log with the largest share of uncompacted bytes among those that are worth it, or None."""
    return max(
        (target for target in found if target.is_worth_it),
        key=lambda target: target.state.dirty_ratio,
        default=None,
    )
