"""What `fastlog doctor` does about transactions: `--transactions` lists ids, `--end-transactions` aborts what
no coordinator will end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from fastlog.cli.tool.doctor import Examined, examine, held
from fastlog.cli.tool.output import Column, Printer
from fastlog.coordination.transactions.offline import Fate, OpenTransaction
from fastlog.coordination.transactions.stored_ids import StoredId
from fastlog.storage.end_transactions import Unfinished, end_transactions
from fastlog.storage.log_dir import LogDirectory
from fastlog.storage.offline.findings import Severity

__all__ = ["IDS", "end_all", "id_row", "open_row"]

IDS: Final = (
    Column("transactional_id", "transactional id"),
    Column("partition", "partition", "number"),
    Column("state", "state"),
    Column("producer_id", "producer", "number"),
    Column("producer_epoch", "epoch", "number"),
    Column("timeout_ms", "timeout ms", "number"),
    Column("names", "partitions"),
)
_COLUMNS: Final = (
    Column("topic", "topic"),
    Column("partition", "partition", "number"),
    Column("producer_id", "producer", "number"),
    Column("first_offset", "from offset", "number"),
    Column("transactional_id", "transactional id"),
    Column("result", "result"),
)
_LEFT: Final = {
    Fate.COORDINATED: "left to its coordinator",
    Fate.UNKNOWN: "left: its coordinator is not known here",
}


def id_row(stored: StoredId) -> dict[str, Any]:
    """An id, as the JSON has it."""
    entry = stored.entry
    partitions = sorted(entry.partitions)
    return {
        "transactional_id": stored.transactional_id,
        "partition": stored.partition,
        "state": entry.state.label,
        "producer_id": entry.producer_id,
        "producer_epoch": entry.epoch,
        "timeout_ms": entry.timeout_ms,
        "start_time_ms": entry.start_ms if entry.start_ms >= 0 else None,
        "last_update_ms": entry.last_update_ms,
        "partitions": [{"topic": topic, "partition": number} for topic, number in partitions],
    }


def open_row(one: OpenTransaction) -> dict[str, Any]:
    """A transaction that is open in a log."""
    return {
        "topic": one.state.topic,
        "partition": one.state.partition,
        "producer_id": one.producer_id,
        "first_offset": one.first_offset,
        "transactional_id": one.transactional_id,
        "fate": one.fate.value,
    }


def end_all(directories: Sequence[Path], out: Printer, *, execute: bool) -> None:
    """Plans, and with `execute` does, the abort of every transaction that hangs.

    Raises DirectoryLocked, FastlogError, OSError.
    """
    examined = examine(directories, out)
    damaged = [finding.path for finding in examined.findings if finding.severity is Severity.DAMAGE]
    is_damaged = {
        one.state.path: any(path.is_relative_to(one.state.path) for path in damaged)
        for one in examined.transactions
    }
    chosen = [
        one for one in examined.transactions if one.fate is Fate.HANGING and not is_damaged[one.state.path]
    ]
    if execute:
        _abort(examined, chosen)
    done = "aborted" if execute else "would be aborted"
    rows = [
        {**open_row(one), "result": _LEFT.get(one.fate) or (done if one in chosen else "damaged")}
        for one in examined.transactions
    ]
    out.document({"executed": execute, "transactions": rows})
    out.table(_COLUMNS, rows)
    if not rows:
        out.note("no transaction is open")
    elif not execute:
        out.note("this was a dry run, nothing was changed; --execute does it")
    if any(row["result"] == "damaged" for row in rows):
        out.note("partitions with damage are left alone: repair them first")


def _abort(examined: Examined, chosen: Sequence[OpenTransaction]) -> None:
    for state in examined.states:
        by_path: dict[Path, list[OpenTransaction]] = {}
        for one in chosen:
            if one.state in state.partitions:
                by_path.setdefault(one.state.path, []).append(one)
        if by_path:
            with held(state.path):
                unfinished = [
                    Unfinished(
                        several[0].state.topic,
                        several[0].state.partition,
                        path,
                        tuple(one.producer_id for one in several),
                    )
                    for path, several in by_path.items()
                ]
                end_transactions(LogDirectory(state.path), unfinished)
