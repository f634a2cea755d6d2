"""Transactions: how many are open, for how long, what waits for markers, and what was aborted or refused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from fastlog.coordination.transactions.state import TransactionState
from fastlog.server.observability.exposition import Family, Kind, Sample, counter, gauge, labels, pulse
from fastlog.server.observability.metric_sources import STRIDE

if TYPE_CHECKING:
    from fastlog.server.transaction_parts import TransactionParts

__all__ = ["transaction_families"]

_NEVER_IN_FORCE: Final = (TransactionState.DEAD, TransactionState.PREPARE_EPOCH_FENCE)


class TransactionCensus:
    """Ages and numbers over all ids of this broker, taken once per scrape. Times in ms."""

    def __init__(self, parts: TransactionParts | None, now_ms: int) -> None:
        self._parts = parts
        self._now_ms = now_ms
        self.states: defaultdict[str, int] = defaultdict(
            int, {state.label: 0 for state in TransactionState if state not in _NEVER_IN_FORCE}
        )
        self.oldest_ms = 0
        self.overdue_ms = 0
        self.undelivered = 0
        self.markers = 0
        self.undelivered_ms = 0

    def take(self) -> Iterator[Sample]:
        """Goes through all ids, and through what waits for markers; yields pulses only."""
        if self._parts is None:
            return
        now_ms, service = self._now_ms, self._parts.service
        for index, (_, transaction) in enumerate(service.table):
            if not index % STRIDE:
                yield pulse()
            entry = transaction.entry
            self.states[entry.state.label] += 1
            if entry.state is TransactionState.ONGOING:
                age_ms = now_ms - entry.start_ms
                self.oldest_ms = max(self.oldest_ms, age_ms)
                self.overdue_ms = max(self.overdue_ms, age_ms - entry.timeout_ms)
        self.undelivered = service.markers.owed
        for index, completion in enumerate(service.markers):
            if not index % STRIDE:
                yield pulse()
            self.markers += len(completion.left)
            decided_ms = completion.transaction.entry.last_update_ms
            self.undelivered_ms = max(self.undelivered_ms, now_ms - decided_ms)


def transaction_families(parts: TransactionParts | None, now_ms: int) -> list[Family]:
    """Of low cardinality. Zeros while nobody has needed transactions."""
    census = TransactionCensus(parts, now_ms)

    def by_state() -> Iterator[Sample]:
        yield from census.take()
        for state, count in sorted(census.states.items()):
            yield labels(state=state), count

    places = {} if parts is None else parts.service.table.partitions
    return [
        # The first of them takes the census for those that follow.
        Family(
            "fastlog_transactional_ids",
            Kind.GAUGE,
            "Transactional ids that this broker coordinates, by state.",
            by_state,
        ),
        gauge(
            "fastlog_transaction_oldest_open_seconds",
            "How long the oldest open transaction has been open.",
            lambda: census.oldest_ms / 1000,
        ),
        gauge(
            "fastlog_transaction_overdue_seconds",
            "How long ago an open transaction should have been aborted by its time-out, at most.",
            lambda: census.overdue_ms / 1000,
        ),
        gauge(
            "fastlog_transactions_without_markers",
            "Transactions that are decided and wait for markers in some partition.",
            lambda: census.undelivered,
        ),
        gauge(
            "fastlog_transaction_markers_owed",
            "Markers that these wait for, one for each partition.",
            lambda: census.markers,
        ),
        gauge(
            "fastlog_transaction_oldest_without_markers_seconds",
            "How long ago the oldest of these was decided.",
            lambda: census.undelivered_ms / 1000,
        ),
        counter(
            "fastlog_transactions_timed_out",
            "Transactions that were aborted because they were open for too long.",
            lambda: 0 if parts is None else parts.service.expiry.timed_out,
        ),
        Family(
            "fastlog_transaction_refusals",
            Kind.COUNTER,
            "Partitions that took no records, as their coordinator had them in no transaction, by error.",
            lambda: (
                []
                if parts is None
                else [(labels(error=code.name), count) for code, count in sorted(parts.refusals.items())]
            ),
        ),
        Family(
            "fastlog_transaction_partitions",
            Kind.GAUGE,
            "Partitions of __transaction_state that are being loaded, or could not be.",
            lambda: [
                ('{state="loading"}', sum([place.is_loading for place in places.values()])),
                ('{state="failed"}', sum([place.has_failed for place in places.values()])),
            ],
        ),
    ]
