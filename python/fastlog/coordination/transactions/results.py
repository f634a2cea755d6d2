"""What handlers get from the coordinator of transactions."""

from __future__ import annotations

from dataclasses import dataclass

from fastlog.coordination.transactions.state import TransactionEntry, TransactionState


@dataclass(frozen=True, slots=True)
class Described:
    """One id, as DescribeTransactions and ListTransactions tell of it."""

    transactional_id: str
    state: TransactionState
    entry: TransactionEntry


@dataclass(frozen=True, slots=True)
class ListFilter:
    """Which ids are listed; empty sets let all pass."""

    states: frozenset[TransactionState]
    producer_ids: frozenset[int]
    min_duration_ms: int = -1
    """Only those that have been open for longer (KIP-994)."""

    def passes(self, entry: TransactionEntry, now_ms: int) -> bool:
        """Whether an id is listed. What has no start counts as older than anything, as in Kafka."""
        if self.states and entry.state not in self.states:
            return False
        if self.producer_ids and entry.producer_id not in self.producer_ids:
            return False
        return self.min_duration_ms < 0 or now_ms - entry.start_ms > self.min_duration_ms
