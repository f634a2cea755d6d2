"""`fastlog doctor --end-transactions`: shows and aborts transactions that no coordinator will end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fastlog.cli.tool.doctor import examine, held
from fastlog.cli.tool.output import Column, Printer
from fastlog.storage.end_transactions import Unfinished, end_transactions
from fastlog.storage.log_dir import LogDirectory
from fastlog.storage.offline.findings import Severity

__all__ = ["end_all"]

_COLUMNS: Final = (
    Column("topic", "topic"),
    Column("partition", "partition", "number"),
    Column("producer_id", "producer", "number"),
    Column("first_offset", "from offset", "number"),
    Column("result", "result"),
)


def end_all(directories: Sequence[Path], out: Printer, *, execute: bool) -> None:
    """Plans, and with `execute` does, the abort of every transaction that is open.

    Raises DirectoryLocked, FastlogError, OSError.
    """
    states, findings = examine(directories, out)
    damaged = [finding.path for finding in findings if finding.severity is Severity.DAMAGE]
    rows = []
    for state in states:
        chosen = [found for found in state.partitions if found.open_transactions]
        sound = [found for found in chosen if not any(path.is_relative_to(found.path) for path in damaged)]
        if execute and sound:
            with held(state.path):
                unfinished = [Unfinished(found.topic, found.partition, found.path) for found in sound]
                end_transactions(LogDirectory(state.path), unfinished)
        rows += [
            {
                "topic": found.topic,
                "partition": found.partition,
                "producer_id": producer_id,
                "first_offset": first,
                "result": "damaged" if found not in sound else "aborted" if execute else "would be aborted",
            }
            for found in chosen
            for producer_id, first in found.open_transactions
        ]
    out.document({"executed": execute, "transactions": rows})
    out.table(_COLUMNS, rows)
    if not rows:
        out.note("no transaction is open")
    elif not execute:
        out.note("this was a dry run, nothing was changed; --execute does it")
    if any(row["result"] == "damaged" for row in rows):
        out.note("partitions with damage are left alone: repair them first")
