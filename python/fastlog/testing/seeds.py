"""Records to begin with: out of lists and files that people write, or `fastlog consume` has printed."""

from __future__ import annotations

import base64
import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

__all__ = ["Seed", "SeedRecord", "as_bytes", "records_of"]

_FIELDS: Final = frozenset({"key", "value", "headers", "timestamp", "partition"})
_IGNORED: Final = frozenset({"topic", "offset", "timestamp_type"})
"""What `fastlog consume -o json` says of records, and a topic that is filled decides anew."""


@dataclass(frozen=True, slots=True)
class SeedRecord:
    """One record. The time is in milliseconds since 1970, now if it is None; the partition by the key."""

    value: bytes | None
    key: bytes | None = None
    headers: Mapping[str, bytes] | Sequence[tuple[str, bytes | None]] = field(default_factory=dict)
    timestamp_ms: int | None = None
    partition: int | None = None


Seed = str | os.PathLike[str] | Iterable[object]
"""A file (a `str` is a path), or records: `SeedRecord`, a dict as a line of JSON has it, or a value."""


def records_of(source: Seed) -> Iterator[SeedRecord]:
    """The records of a file or list.

    * `.jsonl`: a line is an object of `key`, `value`, `headers`, `timestamp` and `partition`, all optional;
      or it is any other JSON, which is the value.
    * `.csv`: a row with columns of these names, and `header:NAME`; without a column `value` the whole row is
      a JSON object.
    * any other: a line is a value.

    Bytes that are no text are `{"base64": "..."}`; a value that is an object, a list or a number is written
    as JSON. Raises OSError, and ValueError that names file and line.
    """
    if isinstance(source, str | os.PathLike):
        yield from _of_file(Path(source))
        return
    for item in source:
        if isinstance(item, SeedRecord):
            yield item
        else:
            yield _of_json(item) if isinstance(item, Mapping) else SeedRecord(as_bytes(item))


def as_bytes(value: object) -> bytes | None:
    """Bytes as they are, texts as UTF-8, None as null, `{"base64": ...}` decoded, anything else as JSON."""
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, Mapping) and value.keys() == {"base64"}:
        return base64.b64decode(str(value["base64"]), validate=True)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _of_file(path: Path) -> Iterator[SeedRecord]:
    number = 0
    try:
        if path.suffix == ".csv":
            with path.open(encoding="utf-8", newline="") as lines:
                for row in csv.DictReader(lines):
                    number += 1
                    yield _of_row(row)
            return
        with path.open("rb") as raw:
            for number, line in enumerate(raw, start=1):  # noqa: B007 - the error says which
                text = line.rstrip(b"\r\n")
                if path.suffix not in (".jsonl", ".ndjson"):
                    yield SeedRecord(text)
                elif text.strip():
                    yield _of_json(json.loads(text))
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: record {number}: {error}") from error


def _of_json(item: Any) -> SeedRecord:
    if not isinstance(item, Mapping) or not item.keys() <= _FIELDS | _IGNORED or not item.keys() & _FIELDS:
        return SeedRecord(as_bytes(item))
    headers = item.get("headers") or []
    pairs = headers.items() if isinstance(headers, Mapping) else [(name, value) for name, value in headers]
    return SeedRecord(
        value=as_bytes(item.get("value")),
        key=as_bytes(item.get("key")),
        headers=[(str(name), as_bytes(value)) for name, value in pairs],
        timestamp_ms=_number(item.get("timestamp")),
        partition=_number(item.get("partition")),
    )


def _of_row(row: Mapping[str, str]) -> SeedRecord:
    if "value" not in row:
        return SeedRecord(as_bytes(dict(row)))
    return SeedRecord(
        value=as_bytes(row["value"]),
        # An empty cell is nothing: CSV has no other way to say so.
        key=as_bytes(row.get("key") or None),
        headers=[
            (name.removeprefix("header:"), as_bytes(text))
            for name, text in row.items()
            if name.startswith("header:") and text
        ],
        timestamp_ms=_number(row.get("timestamp") or None),
        partition=_number(row.get("partition") or None),
    )


def _number(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{value!r} is no whole number")
    return int(value)
