"""Formats, escapes, JSON lines and positions of the command line."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlog.cli.tool.failure_reports import UsageProblem
from fastlog.cli.tool.position_syntax import parse_range
from fastlog.cli.tool.record_format import as_json, compile_format, unescape
from fastlog.cli.tool.values import parse_datetime
from fastlog.client.consumer import BEGINNING, END, Position, Record

RECORD = Record("topic", 3, 42, 1700, b"key", b"\xff\0v", [("a", b"1"), ("b", None), ("c", b"")], False)
NULLS = Record("t", 0, 0, -1, None, None, [], True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%t/%p/%o/%T", b"topic/3/42/1700"),
        ("%k %K %s %S", b"key 3 \xff\0v 3"),
        ("%h", b"a=1,b=NULL,c="),
        ("%R", b"\0\0\0\x03"),
        (r"100%%\n%%s", b"100%\n%s"),
        (r"\x41%o\t", b"A42\t"),
        ("plain ü", "plain ü".encode()),
        ("", b""),
    ],
)
def test_every_letter(text: str, expected: bytes) -> None:
    assert compile_format(text)(RECORD) == expected


def test_nulls_are_nothing_or_what_is_wanted() -> None:
    assert compile_format("%k|%K|%s|%S|%R|%h|%T")(NULLS) == b"|-1||-1|\xff\xff\xff\xff||-1"
    assert compile_format("%k|%s", null=b"NULL")(NULLS) == b"NULL|NULL"


@pytest.mark.parametrize("text", ["%q", "%", "a%", "%S%x"])
def test_unknown_letters_are_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"in the format is not known; there are %t %p"):
        compile_format(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\n\r\t\\", b"\n\r\t\\"),
        (r"\0", b"\0"),
        (r"\x0", b"\0"),
        (r"\xffg", b"\xffg"),
        (r"\011x", b"\tx"),
        (r"\q\xz", b"qxz"),
        ("\udcff", b"\xff"),
    ],
)
def test_escapes(text: str, expected: bytes) -> None:
    assert unescape(text) == expected


def test_a_lone_backslash_is_told() -> None:
    with pytest.raises(ValueError, match="lone backslash"):
        unescape("abc\\")


def test_json_has_text_or_base64_and_keeps_null() -> None:
    line = as_json(RECORD)
    assert line.endswith(b"}\n")
    assert json.loads(line) == {
        "topic": "topic",
        "partition": 3,
        "offset": 42,
        "timestamp": 1700,
        "timestamp_type": "create",
        "key": "key",
        "value": {"base64": "/wB2"},
        "headers": [["a", "1"], ["b", None], ["c", ""]],
    }
    row = json.loads(as_json(NULLS))
    assert (row["key"], row["value"], row["timestamp_type"]) == (None, None, "log_append")


@given(st.binary(max_size=50))
def test_a_json_record_is_always_one_line(value: bytes) -> None:
    assert as_json(Record("topic", 3, 42, 1700, b"key", value)).count(b"\n") == 1


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], (BEGINNING, None)),
        (["beginning"], (BEGINNING, None)),
        (["earliest"], (BEGINNING, None)),
        (["end"], (END, None)),
        (["17"], (Position("offset", 17), None)),
        (["-5"], (Position("tail", 5), None)),
        (["@12"], (Position("timestamp", 12), None)),
        (["e@20", "s@12"], (Position("timestamp", 12), Position("timestamp", 20))),
        (["e@20"], (BEGINNING, Position("timestamp", 20))),
    ],
)
def test_positions(texts: list[str], expected: tuple[Position, Position | None]) -> None:
    assert parse_range(texts) == expected


@pytest.mark.parametrize(
    "texts", [["later"], ["--5"], ["1.5"], ["@"], ["s@never"], ["1", "2"], ["e@1", "e@2"]]
)
def test_what_is_no_position_is_told(texts: list[str]) -> None:
    with pytest.raises((ValueError, UsageProblem), match=r"is no position|is no time|give one start"):
        parse_range(texts)


def test_times_are_those_of_reset_offsets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A time without a zone is UTC everywhere, as in Kafka's own tools."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        found = [parse_range([f"@{text}"])[0].value for text in ("2023-11-14T22:13:20", "1700000000000")]
        assert found == [parse_datetime("2023-11-14T22:13:20", "--to-datetime")] * 2
    finally:
        monkeypatch.undo()
        time.tzset()
