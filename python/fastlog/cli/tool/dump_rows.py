"""The lines of `fastlog log dump`: one dictionary per batch, record, index entry or producer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from fastlog.cli.tool.failure_reports import UsageProblem
from fastlog.cli.tool.record_format import text_or_base64
from fastlog.coordination.groups.record_fields import BadGroupRecord
from fastlog.coordination.groups.records import (
    GroupKey,
    OffsetKey,
    decode_group_value,
    decode_key,
    decode_offset_value,
)
from fastlog.coordination.transactions import records as transaction_records
from fastlog.native import FastlogNativeError, read_batches
from fastlog.storage.checkpoints import read_offsets
from fastlog.storage.offline.check_partition import COMPACTION, LEADER_EPOCHS
from fastlog.storage.offline.formats import (
    read_leader_epochs,
    read_offset_index,
    read_snapshot,
    read_time_index,
    read_transaction_index,
)
from fastlog.storage.offline.segments import Batch, Problem, scan

__all__ = ["DumpOptions", "rows_of"]

Row = dict[str, Any]
_TEXT: Final = (COMPACTION, "partition.metadata", "meta.properties", "fastlog.metadata")
_MARKERS: Final = {0: "abort", 1: "commit"}
_HEADER_SIZE: Final = 61
"""Bytes of a batch in front of its records."""


@dataclass(frozen=True, slots=True)
class DumpOptions:
    """What is shown. `start` and `stop` are offsets, inclusive; `decode` is None, "offsets" or
    "transactions".
    """

    records: bool = False
    start: int | None = None
    stop: int | None = None
    decode: str | None = None


def rows_of(path: Path, options: DumpOptions) -> Iterator[Row]:
    """The lines for one file. Raises FileDamaged, CheckpointDamaged, UsageProblem, OSError."""
    if path.name == LEADER_EPOCHS:
        yield from (
            {"kind": "epoch", "epoch": epoch, "start_offset": at} for epoch, at in read_leader_epochs(path)
        )
        return
    if path.name.endswith("-offset-checkpoint"):
        for (topic, partition), offset in sorted(read_offsets(path).items()):
            yield {"kind": "offset", "topic": topic, "partition": partition, "offset": offset}
        return
    # A file that waits for removal, or for its place after a compaction, is what it is called before.
    suffix = next((suffix for suffix in path.suffixes if suffix in _READERS), None)
    if suffix is None:
        raise UsageProblem(
            f"{path.name}: only .log, index and snapshot files and checkpoints can be shown"
            + (f"; {path.name} is text" if path.name in _TEXT else "")
        )
    yield from _READERS[suffix](path, options)


def _batches(path: Path, options: DumpOptions) -> Iterator[Row]:
    with path.open("rb") as file:
        for found in scan(path):
            if isinstance(found, Problem):
                yield {
                    "kind": "problem",
                    "position": found.position,
                    "reason": found.reason,
                    "next_batch": found.next_batch
                    and {"position": found.next_batch[0], "base_offset": found.next_batch[1]},
                    "only_zeros": found.only_zeros,
                }
                return
            if options.start is not None and found.last_offset < options.start:
                continue
            if options.stop is not None and found.base_offset > options.stop:
                return
            yield _batch(found)
            if options.records:
                file.seek(found.position)
                yield from _records(found, file.read(found.size), options)


def _batch(batch: Batch) -> Row:
    return {
        "kind": "batch",
        "base_offset": batch.base_offset,
        "last_offset": batch.last_offset,
        "count": batch.count,
        "position": batch.position,
        "size": batch.size,
        "leader_epoch": batch.leader_epoch,
        "codec": batch.codec,
        "timestamp_type": batch.timestamp_type,
        "max_timestamp": batch.max_timestamp,
        "producer_id": batch.producer_id,
        "producer_epoch": batch.producer_epoch,
        "base_sequence": batch.base_sequence,
        "transactional": batch.is_transactional,
        "control": batch.is_control,
        "delete_horizon": batch.delete_horizon,
        "crc": batch.crc,
    }


def _records(batch: Batch, data: bytes, options: DumpOptions) -> Iterator[Row]:
    if batch.is_control:
        yield {
            "kind": "record",
            "offset": batch.base_offset,
            "timestamp": batch.max_timestamp,
            "marker": _marker(data),
        }
        return
    try:
        records = read_batches(data)
    except FastlogNativeError as error:
        yield {"kind": "problem", "position": batch.position, "reason": str(error)}
        return
    for offset, timestamp, key, value, headers in records:
        row: Row = {"kind": "record", "offset": offset, "timestamp": timestamp}
        if options.decode == "offsets":
            row |= _group_record(key, value)
        elif options.decode == "transactions":
            row |= _transaction_record(key, value)
        else:
            row["key"] = text_or_base64(key)
            row["value"] = text_or_base64(value)
            row["headers"] = [[name, text_or_base64(header)] for name, header in headers]
        yield row


def _marker(data: bytes) -> str:
    """What the only record of a control batch, which is never compressed, says: int16 version, int16 type."""
    at = _after_varint(data, _HEADER_SIZE) + 1  # length of the record, attributes
    for _ in ("timestamp", "offset", "length of the key"):
        at = _after_varint(data, at)
    return _MARKERS.get(int.from_bytes(data[at + 2 : at + 4], "big"), "unknown")


def _after_varint(data: bytes, at: int) -> int:
    while data[at] & 0x80:
        at += 1
    return at + 1


def _group_record(key: bytes | None, value: bytes | None) -> Row:
    """A record of `__consumer_offsets`; one that is no such record stays bytes."""
    raw = {"key": text_or_base64(key), "value": text_or_base64(value)}
    try:
        decoded = decode_key(key or b"")
        if isinstance(decoded, OffsetKey):
            committed = None if value is None else decode_offset_value(value)._asdict()
            return {**asdict(decoded), "committed": committed}
        if isinstance(decoded, GroupKey):
            return {"group": decoded.group, "state": None if value is None else _group(value)}
    except BadGroupRecord as error:
        return {**raw, "problem": str(error)}
    return raw


def _transaction_record(key: bytes | None, value: bytes | None) -> Row:
    """A record of `__transaction_state`; one that is no such record stays bytes."""
    raw = {"key": text_or_base64(key), "value": text_or_base64(value)}
    try:
        name = transaction_records.decode_key(key or b"")
        if name is None:
            return raw
        if value is None:
            return {"transactional_id": name, "state": None}
        entry = asdict(transaction_records.decode_value(value))
    except transaction_records.BadTransactionRecord as error:
        return {**raw, "problem": str(error)}
    # It is not in the log.
    del entry["last_epoch"]
    partitions = [{"topic": topic, "partition": number} for topic, number in sorted(entry["partitions"])]
    return {"transactional_id": name, **entry, "state": entry["state"].label, "partitions": partitions}


def _group(value: bytes) -> Row:
    group = asdict(decode_group_value(value))
    for member in group["members"]:
        for name in ("subscription", "assignment"):
            member[name] = text_or_base64(member[name])
    return group


def _index(path: Path, _: DumpOptions) -> Iterator[Row]:
    return ({"kind": "entry", **entry._asdict()} for entry in read_offset_index(path))


def _times(path: Path, _: DumpOptions) -> Iterator[Row]:
    return ({"kind": "entry", **entry._asdict()} for entry in read_time_index(path))


def _transactions(path: Path, _: DumpOptions) -> Iterator[Row]:
    return ({"kind": "aborted", **entry._asdict()} for entry in read_transaction_index(path))


def _producers(path: Path, _: DumpOptions) -> Iterator[Row]:
    return ({"kind": "producer", **asdict(producer)} for producer in read_snapshot(path))


_READERS: Final[dict[str, Callable[[Path, DumpOptions], Iterator[Row]]]] = {
    ".log": _batches,
    ".index": _index,
    ".timeindex": _times,
    ".txnindex": _transactions,
    ".snapshot": _producers,
}
