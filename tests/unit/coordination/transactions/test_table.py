"""Where ids are found, and what is remembered of those that somebody has asked about."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from fastlog.coordination.coordinator_partition import partition_of
from fastlog.coordination.topic_names import TRANSACTION_STATE_TOPIC
from fastlog.coordination.transactions import table
from fastlog.coordination.transactions.table import TransactionTable


def test_long_ids_are_not_remembered() -> None:
    """Anybody may ask about thousands of ids of 32 KiB each, which are not there."""
    view: Any = SimpleNamespace(topics={TRANSACTION_STATE_TOPIC: SimpleNamespace(partitions=(None,) * 50)})
    ids = TransactionTable(view)
    table._hashed.cache_clear()
    for length in (1, 200, 256, 257, 10_000):
        for number in range(3):
            name = str(number) * length
            assert ids.partition(name) == partition_of(name, 50)
    assert table._hashed.cache_info().currsize == 9
    view.topics.clear()
    assert ids.partition("x") is None
