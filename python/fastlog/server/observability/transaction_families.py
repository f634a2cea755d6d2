"""Transactions: how many are open, for how long, what waits for markers, and what was aborted by time-out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from fastlog.coordination.transactions.state import TransactionState
from fastlog.server.observability.exposition import Family, Kind, Sample, counter, gauge, labels, pulse
from fastlog.server.observability.metric_sources import STRIDE

if TYPE_CHECKING:
    from fastlog.coordination.transactions.service import TransactionService

__all__ = ["transaction_families"]

_NEVER_IN_FORCE: Final = (TransactionState.DEAD, TransactionState.PREPARE_EPOCH_FENCE)


def transaction_families(service: TransactionService | None, now_ms: int) -> list[Family]:
    """Of low cardinality. Zeros while nobody has needed the service."""
    states: defaultdict[str, int] = defaultdict(
        int, {state.label: 0 for state in TransactionState if state not in _NEVER_IN_FORCE}
    )
    oldest_ms = 0

    def by_state() -> Iterator[Sample]:
        nonlocal oldest_ms
        for index, (_, transaction) in enumerate(service.table if service is not None else ()):
            if not index % STRIDE:
                yield pulse()
            entry = transaction.entry
            states[entry.state.label] += 1
            if entry.state is TransactionState.ONGOING:
                oldest_ms = max(oldest_ms, now_ms - entry.start_ms)
        for state, count in sorted(states.items()):
            yield labels(state=state), count

    places = {} if service is None else service.table.partitions
    return [
        # The first of them counts for the one that follows.
        Family(
            "fastlog_transactional_ids",
            Kind.GAUGE,
            "Transactional ids that this broker coordinates, by state.",
            by_state,
        ),
        gauge(
            "fastlog_transaction_oldest_open_seconds",
            "How long the oldest open transaction has been open.",
            lambda: oldest_ms / 1000,
        ),
        gauge(
            "fastlog_transactions_without_markers",
            "Transactions that are decided and wait for markers in some partition.",
            lambda: 0 if service is None else service.markers.owed,
        ),
        counter(
            "fastlog_transactions_timed_out",
            "Transactions that were aborted because they were open for too long.",
            lambda: 0 if service is None else service.expiry.timed_out,
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
