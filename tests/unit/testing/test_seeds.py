"""Records out of what people write down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastlog.testing.seeds import SeedRecord, as_bytes, records_of


def test_lines_of_json(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [
        '{"key": "k", "value": "v", "headers": [["h", "1"], ["n", null]], "timestamp": 7, "partition": 2}',
        # As `fastlog consume` prints it.
        '{"topic": "t", "partition": 0, "offset": 9, "timestamp": 8, "timestamp_type": "create", '
        '"key": null, "value": {"base64": "AP8="}, "headers": []}',
        '{"order": 17}',
        "",
        '"text"',
        "[1, 2]",
        '{"value": null, "key": "gone"}',
    ]
    path.write_text("\n".join(lines))
    assert list(records_of(path)) == [
        SeedRecord(b"v", b"k", [("h", b"1"), ("n", None)], 7, 2),
        SeedRecord(b"\x00\xff", None, [], 8, 0),
        SeedRecord(b'{"order":17}'),
        SeedRecord(b"text"),
        SeedRecord(b"[1,2]"),
        SeedRecord(None, b"gone", []),
    ]


def test_rows_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("key,value,partition,timestamp,header:h\nk,v,1,7,x\n,w,,,\n")
    assert list(records_of(path)) == [SeedRecord(b"v", b"k", [("h", b"x")], 7, 1), SeedRecord(b"w", None, [])]
    path.write_text("id,name\n1,Anna\n")
    (row,) = records_of(path)
    assert json.loads(row.value or b"") == {"id": "1", "name": "Anna"}


def test_lines_and_lists(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\r\ntwo\n\n")
    assert [record.value for record in records_of(str(path))] == [b"one", b"two", b""]
    mixed = ["a", b"b", None, {"key": "k", "value": 1}, {"other": 1}, SeedRecord(b"s"), 5]
    assert list(records_of(mixed)) == [
        SeedRecord(b"a"),
        SeedRecord(b"b"),
        SeedRecord(None),
        SeedRecord(b"1", b"k", []),
        SeedRecord(b'{"other":1}'),
        SeedRecord(b"s"),
        SeedRecord(b"5"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.jsonl", '"good"\n{"value": ', r"record 2: Expecting"),
        ("a.jsonl", '{"value": 1, "partition": 1.5}', r"record 1: 1.5 is no whole number"),
        ("a.jsonl", '{"value": {"base64": "?"}}', r"record 1: "),
        ("a.csv", "value,partition\na,1\nb,x\n", r"record 2: invalid literal"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, text: str, problem: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"{name}: {problem}"):
        list(records_of(path))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(records_of(tmp_path / "none.jsonl"))


def test_values_as_bytes() -> None:
    assert as_bytes("ü") == "ü".encode()
    assert as_bytes(memoryview(b"a")) == b"a"
    assert as_bytes({"base64": "YQ=="}) == b"a"
    assert as_bytes({"ü": [1, None]}) == '{"ü":[1,null]}'.encode()
