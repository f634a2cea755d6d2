"""Reads the transactional ids of a partition of `__transaction_state` out of its files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastlog.base.wording import counted
from fastlog.coordination.transactions.records import BadTransactionRecord, decode_key, decode_value
from fastlog.coordination.transactions.state import TransactionEntry, TransactionState
from fastlog.native import FastlogNativeError, read_batches
from fastlog.storage.offline.check_partition import PartitionState
from fastlog.storage.offline.findings import Finding, Severity
from fastlog.storage.offline.formats import FileDamaged
from fastlog.storage.offline.segments import Batch, scan

__all__ = ["StoredId", "read_ids"]

_DAMAGED_ADVICE: Final = (
    "Restore the partition's directory from a backup: until then the broker does not serve the ids of this "
    "partition, as one that is missing would be taken for a new one."
)


@dataclass(frozen=True, slots=True)
class StoredId:
    """A transactional id as the last record of it has it."""

    transactional_id: str
    partition: int
    """Of `__transaction_state`."""
    path: Path
    """The directory of that partition."""
    entry: TransactionEntry


@dataclass(frozen=True, slots=True)
class _Record:
    value: bytes | None
    offset: int
    log: Path


def read_ids(partition: PartitionState, findings: list[Finding]) -> Iterator[StoredId]:
    """All ids whose last record can be read; the others are findings. Raises OSError."""
    skipped = 0
    for key, record in _latest(partition.path, findings).items():
        try:
            name = decode_key(key)
            entry = None if record.value is None or name is None else decode_value(record.value)
        except BadTransactionRecord as error:
            findings.append(_damaged(record.log, f"offset {record.offset}: {error}"))
            continue
        if name is None:
            skipped += 1
        elif entry is not None and entry.state is not TransactionState.DEAD:
            yield StoredId(name, partition.partition, partition.path, entry)
    if skipped:
        findings.append(
            Finding(
                Severity.NOTE,
                partition.path,
                f"{counted(skipped, 'record')} with keys of a later version",
                "Nothing needs to be done: they are left out.",
            )
        )


def _latest(path: Path, findings: list[Finding]) -> dict[bytes, _Record]:
    """The last record of each key. What is no sound batch is left out, and found by who checks the log."""
    latest: dict[bytes, _Record] = {}
    for log in sorted(path.glob("*.log")):
        try:
            for batch, content in _contents(log):
                try:
                    records = read_batches(content)
                except FastlogNativeError as error:
                    findings.append(_damaged(log, f"the batch of offset {batch.base_offset}: {error}"))
                    continue
                for offset, _, key, value, _ in records:
                    latest[key or b""] = _Record(value, offset, log)
        except FileDamaged:
            continue
    return latest


def _contents(log: Path) -> Iterator[tuple[Batch, bytes]]:
    with log.open("rb") as file:
        for batch in scan(log):
            if isinstance(batch, Batch) and not batch.is_control:
                file.seek(batch.position)
                yield batch, file.read(batch.size)


def _damaged(path: Path, problem: str) -> Finding:
    return Finding(Severity.DAMAGE, path, problem, _DAMAGED_ADVICE)
