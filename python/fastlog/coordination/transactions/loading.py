"""Reads a partition of `__transaction_state`: the last record of each key says what is in force.

Kafka serves what it has read until then when a record is of a version that it does not know. Here such a
partition is not served at all: an id that is missing would be taken for a new one, and its open transaction
would never end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastlog.coordination.groups.batches import take_latest
from fastlog.coordination.transactions.records import decode_key, decode_value
from fastlog.coordination.transactions.state import TransactionEntry, TransactionState
from fastlog.coordination.transactions.weight import weight_of
from fastlog.errors import FastlogError

if TYPE_CHECKING:
    from fastlog.native import Log


@dataclass(slots=True)
class LoadedTransactions:
    """What one partition says about its ids."""

    entries: dict[str, TransactionEntry] = field(default_factory=dict)
    end_offset: int = 0
    """Where the log ended."""
    records: int = 0
    skipped: int = 0
    """Records with keys of a later version."""
    strays: Sequence[str] = ()
    """Ids that belong to other partitions."""
    weight: int = 0
    """Bytes of all ids."""

    @property
    def highest_producer_id(self) -> int:
        """The highest that is named, or -1: none up to it may be given out again."""
        return max(
            (
                max(entry.producer_id, entry.previous_producer_id, entry.next_producer_id)
                for entry in self.entries.values()
            ),
            default=-1,
        )


def load_partition(log: Log, end_offset: int, read_bytes: int) -> LoadedTransactions:
    """Reads a log from its start up to `end_offset`. Blocks: call it on a thread.

    Raises FastlogError for what cannot be read or is of an unknown version.
    """
    latest: dict[bytes, bytes | None] = {}
    loaded = LoadedTransactions(end_offset=end_offset)
    offset = log.log_start_offset
    while offset < end_offset:
        data = bytes(log.read(offset, read_bytes, max_offset=end_offset))
        if not data:
            break
        count, next_offset = take_latest(data, latest)
        if next_offset <= offset:
            raise FastlogError(f"no whole batch at offset {offset} of {log.path}")
        loaded.records += count
        offset = next_offset
    apply(latest, loaded)
    return loaded


def apply(latest: dict[bytes, bytes | None], loaded: LoadedTransactions) -> None:
    """Takes in the last value of every key. Raises BadTransactionRecord."""
    for key, value in latest.items():
        transactional_id = decode_key(key)
        if transactional_id is None:
            loaded.skipped += 1
        elif value is not None:
            entry = decode_value(value)
            if entry.state is not TransactionState.DEAD:
                loaded.entries[transactional_id] = entry
                loaded.weight += weight_of(transactional_id, entry)
