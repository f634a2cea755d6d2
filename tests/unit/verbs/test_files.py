"""Files of records: what is written is read again as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fastlog.verbs.problems import BadArgument, TooMuch
from fastlog.verbs.transfer import MOST_ROWS, read_rows, to_csv, to_json_lines

ROWS: list[dict[str, Any]] = [
    {
        "topic": "t",
        "partition": 1,
        "offset": at,
        "timestamp": 1_796_000_000_000 + at,
        "timestamp_type": "create",
        "key": key,
        "value": value,
        "headers": headers,
    }
    for at, (key, value, headers) in enumerate(
        [
            ("k", 'text, "quoted"\nand ü', [["h", "v"], ["n", None]]),
            (None, {"base64": "/wA="}, []),
            ({"base64": "/g=="}, None, [["b", {"base64": "/w=="}]]),
        ]
    )
]
KEPT = ("key", "value", "headers", "partition", "timestamp")


def kept(rows: list[Any]) -> list[Any]:
    return [{name: row[name] for name in KEPT} for row in rows]


def test_json_lines_and_csv() -> None:
    assert read_rows(to_json_lines(ROWS), "jsonl") == ROWS
    assert kept(read_rows(to_csv([], head=True) + to_csv(ROWS), "csv")) == kept(ROWS)
    assert read_rows(b"\xef\xbb\xbfkey,value\r\na,1\r\n", "csv")[0]["value"] == "1"


def test_parquet() -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow, which is not installed here")
    from fastlog.verbs.transfer import to_parquet

    found = read_rows(to_parquet(ROWS), "parquet")
    # Keys and values are bytes there, and texts no less.
    assert [row["headers"] for row in found] == [row["headers"] for row in ROWS]
    assert found[0]["key"] == {"base64": "aw=="}
    assert (found[1]["value"], found[2]["value"]) == ({"base64": "/wA="}, None)
    assert [row["timestamp"] for row in found] == [row["timestamp"] for row in ROWS]
    with pytest.raises(BadArgument, match="Parquet"):
        read_rows(b"PAR1 and nothing more", "parquet")


@pytest.mark.parametrize(
    ("data", "form", "problem"),
    [
        (b"\xff", "jsonl", "UTF-8"),
        (b'{"value": 1}\n{', "jsonl", "line 2 is no JSON"),
        (b"[" * 100_000, "jsonl", "line 1 is no JSON"),
        (b"key\na\n", "csv", "no column value"),
        (b"", "csv", "no column value"),
        (b'value\n"' + b"x" * 200_000 + b'"\n', "csv", "line"),
    ],
)
def test_files_that_are_none(data: bytes, form: Any, problem: str) -> None:
    with pytest.raises(BadArgument, match=problem):
        read_rows(data, form)


def test_files_have_a_bound() -> None:
    line = json.dumps({"value": ""}).encode() + b"\n"
    with pytest.raises(TooMuch):
        read_rows(line * (MOST_ROWS + 1), "jsonl")
