"""Records out of a topic and into one, as JSON lines, CSV or Parquet.

A row has topic, partition, offset, timestamp, timestamp_type, key, value and headers, as `fastlog consume
-o json` prints them: bytes that are UTF-8 are texts, others {"base64": ...}. What is imported needs a value.
"""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from fastlog.base.wording import counted
from fastlog.client.metadata import TopicInfo
from fastlog.verbs.browse import Scan, scan
from fastlog.verbs.desk import Desk
from fastlog.verbs.messages import View
from fastlog.verbs.problems import BadArgument, TooMuch
from fastlog.verbs.produce import NewRecord, check_record, send_records
from fastlog.verbs.registry import DryRun, verb
from fastlog.verbs.topics import TopicName, topic_info

__all__ = [
    "FILE_FORMATS",
    "FileFormat",
    "export_rows",
    "import_records",
    "read_rows",
    "to_csv",
    "to_json_lines",
]

FileFormat = Literal["jsonl", "csv", "parquet"]
FILE_FORMATS: Final = ("jsonl", "csv", "parquet")
COLUMNS: Final = ("topic", "partition", "offset", "timestamp", "timestamp_type", "key", "value", "headers")
MOST_ROWS: Final = 200_000
_MOST_PROBLEMS: Final = 20

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Import:
    """What is written to a topic; `problems` are rows that cannot be, the first few."""

    executed: bool
    summary: str
    topic: str
    records: int
    failed: int
    bytes: int
    problems: list[str]


@verb("write")
async def import_records(
    desk: Desk,
    *,
    topic: TopicName,
    records: Annotated[
        list[Any],
        "Objects with value, and key, headers (pairs), partition, timestamp; bytes as {base64: ...}.",
    ],
    keep_partitions: Annotated[bool, "To the partitions that the rows name; else by their keys."] = False,
    keep_timestamps: Annotated[bool, "With the timestamps of the rows; else now."] = False,
    dry_run: DryRun = True,
) -> Import:
    """Writes many records to a topic. All rows are checked before the first is written."""
    if not 1 <= len(records) <= MOST_ROWS:
        raise TooMuch(f"records: 1 to {MOST_ROWS} of them")
    info = await topic_info(desk, topic)
    wanted, problems = _checked(records, info, keep_partitions, keep_timestamps)
    bad = len(records) - len(wanted)
    if bad and not dry_run:
        raise BadArgument(f"records: {counted(bad, 'row')} cannot be written, nothing was; {problems[0]}")
    failed = 0
    if not dry_run:
        errors = [str(error) for error in await send_records(desk, topic, wanted) if error is not None]
        failed, problems = len(errors), errors[:_MOST_PROBLEMS]
    size = sum(record.size for record in wanted)
    text = f"write {counted(len(wanted), 'record')} of {counted(size, 'byte')} to topic {topic}"
    return Import(not dry_run, text, topic, len(wanted) - failed, failed + bad, size, problems)


def _checked(
    records: Sequence[object], info: TopicInfo, keep_partitions: bool, keep_timestamps: bool
) -> tuple[list[NewRecord], list[str]]:
    """Those that can be written, and what is wrong with the first few of the others."""
    wanted: list[NewRecord] = []
    problems: list[str] = []
    for at, row in enumerate(records):
        try:
            record = _record(row, keep_partitions, keep_timestamps)
            check_record(record, info)
        except BadArgument as error:
            if len(problems) < _MOST_PROBLEMS:
                problems.append(f"row {at + 1}: {error}")
        else:
            wanted.append(record)
    return wanted, problems


def _record(row: object, keep_partitions: bool, keep_timestamps: bool) -> NewRecord:
    if not isinstance(row, Mapping) or "value" not in row:
        raise BadArgument("is no object with a value")
    headers = row.get("headers") or []
    if not isinstance(headers, list) or len(headers) > 100:
        raise BadArgument("headers are no list of pairs")
    pairs: list[tuple[str, bytes | None]] = []
    for pair in headers:
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise BadArgument("headers are no list of pairs")
        pairs.append((pair[0], _bytes("header", pair[1])))
    partition = row.get("partition") if keep_partitions else None
    timestamp = row.get("timestamp") if keep_timestamps else None
    for name, number in (("partition", partition), ("timestamp", timestamp)):
        if number is not None and type(number) is not int:
            raise BadArgument(f"{name} is no number")
    return NewRecord(
        _bytes("value", row["value"]), _bytes("key", row.get("key")), pairs, partition, timestamp
    )


def _bytes(name: str, value: object) -> bytes | None:
    if value is None:
        return None
    try:
        if isinstance(value, str):
            return value.encode()
        if isinstance(value, Mapping) and set(value) == {"base64"} and isinstance(value["base64"], str):
            return base64.b64decode(value["base64"], validate=True)
        return json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, TypeError):
        raise BadArgument(f"{name} cannot be written") from None


# -- out --------------------


async def export_rows(desk: Desk, asked: Scan) -> AsyncIterator[Row]:
    """Rows from a place on, up to the ends of now or `asked.limit`. Raises as `browse`."""
    async for view in scan(desk, asked):
        yield _row(view)


def _row(view: View) -> Row:
    shown = view.message()
    return {
        "topic": shown.topic,
        "partition": shown.partition,
        "offset": shown.offset,
        "timestamp": shown.timestamp,
        "timestamp_type": shown.timestamp_type,
        "key": view.whole_key(),
        "value": view.whole_value(),
        "headers": [list(pair) for pair in shown.headers],
    }


def to_json_lines(rows: Iterable[Row]) -> bytes:
    """A line for each."""
    return b"".join(
        json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"
        for row in rows
    )


def to_csv(rows: Iterable[Row], *, head: bool = False) -> bytes:
    """Lines of CSV. What is no text is JSON: headers, bytes; null is an empty field."""
    out = io.StringIO()
    writer = csv.writer(out)
    if head:
        writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow(
            [
                "" if value is None else json.dumps(value) if isinstance(value, list | dict) else value
                for value in (row[name] for name in COLUMNS)
            ]
        )
    return out.getvalue().encode("utf-8", "replace")


def to_parquet(rows: Sequence[Row]) -> bytes:
    """A file; bytes are bytes there. Raises ModuleNotFoundError without pyarrow."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    table = pa.table(
        {
            "topic": pa.array(columns["topic"], pa.string()),
            "partition": pa.array(columns["partition"], pa.int32()),
            "offset": pa.array(columns["offset"], pa.int64()),
            "timestamp": pa.array(columns["timestamp"], pa.int64()),
            "timestamp_type": pa.array(columns["timestamp_type"], pa.string()),
            "key": pa.array([_bytes("key", value) for value in columns["key"]], pa.binary()),
            "value": pa.array([_bytes("value", value) for value in columns["value"]], pa.binary()),
            "headers": pa.array([json.dumps(value) for value in columns["headers"]], pa.string()),
        }
    )
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


# -- in --------------------


def read_rows(data: bytes, form: FileFormat) -> list[Any]:
    """The rows of a file, for `import_records`. Raises BadArgument with the line, TooMuch."""
    if form == "parquet":
        return _read_parquet(data)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadArgument(f"the file is no UTF-8: {error}") from None
    return _read_csv(text) if form == "csv" else _read_json_lines(text)


def _read_json_lines(text: str) -> list[Any]:
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError):
            raise BadArgument(f"line {number} is no JSON") from None
        _check_rows(len(rows))
    return rows


def _read_csv(text: str) -> list[Any]:
    reader = csv.DictReader(io.StringIO(text))
    rows: list[Any] = []
    try:
        if reader.fieldnames is None or "value" not in reader.fieldnames:
            raise BadArgument("the first line names no column value")
        for found in reader:
            row: Row = {name: value or None for name, value in found.items() if name in COLUMNS}
            for name in ("partition", "timestamp"):
                value = row.get(name)
                row[name] = int(value) if value and value.isdecimal() and len(value) < 19 else None
            for name in ("key", "value", "headers"):
                row[name] = _from_csv(row.get(name), is_list=name == "headers")
            rows.append(row)
            _check_rows(len(rows))
    except csv.Error as error:
        raise BadArgument(f"line {reader.line_num}: {error}") from None
    return rows


def _from_csv(text: str | None, *, is_list: bool) -> Any:
    """Headers, and bytes as `to_csv` has written them; everything else is a text."""
    if text is None or not (is_list or text.startswith('{"base64":')):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _read_parquet(data: bytes) -> list[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(data))
        _check_rows(file.metadata.num_rows)
        names = [name for name in COLUMNS if name in file.schema_arrow.names]
        if "value" not in names:
            raise BadArgument("the file has no column value")
        rows: list[Row] = file.read(columns=names).to_pylist()
    except pa.ArrowException as error:
        raise BadArgument(f"the file is no Parquet: {error}") from None
    for row in rows:
        for name in ("key", "value"):
            if isinstance(row.get(name), bytes):
                row[name] = {"base64": base64.b64encode(row[name]).decode()}
        if isinstance(row.get("headers"), str):
            row["headers"] = _from_csv(row["headers"], is_list=True)
    return rows


def _check_rows(count: int) -> None:
    if count > MOST_ROWS:
        raise TooMuch(f"the file has more than {MOST_ROWS} rows")
