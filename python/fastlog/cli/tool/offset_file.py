"""Files of offsets for `group reset-offsets --from-file`.

CSV as kafka-consumer-groups exports it: `topic,partition,offset`, or `group,topic,partition,offset` of
several groups. JSON: an array of {"topic", "partition", "offset"}, or what `reset-offsets -o json` printed,
where `new_offset` counts.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from fastlog.cli.tool.failure_reports import UsageProblem
from fastlog.cli.tool.input_file import read_input
from fastlog.client import TopicPartition

__all__ = ["read_offset_file"]


def read_offset_file(path: str, group: str) -> dict[TopicPartition, int]:
    """Offsets by partition; `-` is stdin. Raises UsageProblem with the line, and OSError."""
    name, text = read_input(path)
    return parse_offset_text(text, name, group)


def parse_offset_text(text: str, path: str, group: str) -> dict[TopicPartition, int]:
    """What is in the file. Raises UsageProblem."""
    rows = _json_rows(text, path) if text.lstrip()[:1] in ("[", "{") else _csv_rows(text, path, group)
    found: dict[TopicPartition, int] = {}
    for where, topic, partition, offset in rows:
        name = TopicPartition(topic, _number(partition, where, "partition"))
        if name in found:
            raise UsageProblem(f"{where}: partition {name} comes twice")
        found[name] = _number(offset, where, "offset")
    if not found:
        raise UsageProblem(f"{path}: holds no offsets" + (f" of group {group}" if text.strip() else ""))
    return found


def _csv_rows(text: str, path: str, group: str) -> Iterator[tuple[str, str, Any, Any]]:
    reader = csv.reader(io.StringIO(text), skipinitialspace=True)
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        if not row or (reader.line_num == 1 and row[-1].strip() == "offset"):
            continue
        if len(row) == 4:
            if row[0] != group:
                continue
            row = row[1:]
        if len(row) != 3:
            raise UsageProblem(f"{where}: expected topic,partition,offset")
        yield where, row[0], row[1].strip(), row[2].strip()


def _json_rows(text: str, path: str) -> Iterator[tuple[str, str, Any, Any]]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise UsageProblem(f"{path}: is no JSON: {error}") from None
    rows = document.get("partitions") if isinstance(document, dict) else document
    if not isinstance(rows, list):
        raise UsageProblem(f"{path}: expected an array of topic, partition and offset")
    for index, row in enumerate(rows):
        where = f"{path}, item {index}"
        if not isinstance(row, dict) or not isinstance(row.get("topic"), str):
            raise UsageProblem(f"{where}: expected topic, partition and offset")
        offset = row.get("offset", row.get("new_offset"))
        if offset is None and row.get("error") is not None:
            continue
        yield where, row["topic"], row.get("partition"), offset


def _number(value: Any, where: str, what: str) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise UsageProblem(f"{where}: {value!r} is no {what}")
    return value
