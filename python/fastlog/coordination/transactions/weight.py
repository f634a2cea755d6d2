"""What transactional ids weigh: an estimate of the memory that they keep, held against their share.

What is written is weighed before; what makes an id no heavier is let through, and what was stored is loaded
whatever it weighs. Kafka has no such bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fastlog.coordination.transactions.state import Transaction, TransactionEntry

ID_BYTES: Final = 1024
"""An id with its state, beside its text."""
PARTITION_BYTES: Final = 200
"""One partition of an open transaction; the topic's name is shared."""


def weight_of(transactional_id: str, entry: TransactionEntry) -> int:
    """Bytes of one id."""
    return ID_BYTES + 2 * len(transactional_id) + PARTITION_BYTES * len(entry.partitions)


def growth_of(transaction: Transaction, entry: TransactionEntry) -> int:
    """By how much an id grows when this entry is in force; negative when it shrinks."""
    return PARTITION_BYTES * (len(entry.partitions) - len(transaction.entry.partitions))
