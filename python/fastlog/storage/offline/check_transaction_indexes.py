"""Holds the transaction indexes of a partition against `txnindex-checkpoint` (`txn_checkpoint.rs`).

Nothing in an index covers its bytes. The checkpoint says what they were: how many entries, and their CRC-32C.
Entries that came later are behind these.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastlog.native import crc32c
from fastlog.storage.offline.findings import Finding, Severity
from fastlog.storage.offline.formats import ABORTED_BYTES, FileDamaged, read_index_checksums

NAME: Final = "txnindex-checkpoint"


def check_transaction_indexes(path: Path, findings: list[Finding]) -> None:
    """Looks at the indexes of all segments that are there."""
    file = path / NAME
    if not file.is_file():
        return
    try:
        checksums = read_index_checksums(file)
    except (FileDamaged, OSError) as error:
        problem = str(error) if isinstance(error, FileDamaged) else f"it cannot be read: {error.strerror}"
        advice = "Nothing needs to be done: the broker writes it again."
        findings.append(Finding(Severity.WARNING, file, problem, advice))
        return
    for base_offset, entries, crc in checksums:
        index = path / f"{base_offset:020}.txnindex"
        if index.with_suffix(".log").is_file() and _checksum(index, entries * ABORTED_BYTES) != crc:
            findings.append(
                Finding(
                    Severity.WARNING,
                    index,
                    f"its first {entries} entries are not what they were",
                    "Nothing needs to be done: the broker builds it again from the log at its next start.",
                )
            )


def _checksum(index: Path, size: int) -> int | None:
    """Of the first bytes; None when there are fewer."""
    try:
        with index.open("rb") as file:
            data = file.read(size)
    except OSError:
        return None
    return crc32c(data) if len(data) == size else None
