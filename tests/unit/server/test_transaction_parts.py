"""The coordinator of transactions among the parts of a broker."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fastlog.server.transaction_parts import TransactionParts


def test_partitions_of_a_failed_directory_are_given_up() -> None:
    told: list[tuple[str, int]] = []
    service: Any = SimpleNamespace(on_partition_resigned=lambda *key: told.append(key))
    verifier: Any = None
    parts = TransactionParts(service, verifier)
    keys = [("__transaction_state", 1), ("a", 0)]
    parts.take_offline(Path("d"), "it failed", keys)
    assert told == keys
