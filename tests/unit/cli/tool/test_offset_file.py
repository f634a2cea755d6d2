"""Files for `group reset-offsets --from-file`, and where each partition goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastlog.cli.tool.failure_reports import UsageProblem
from fastlog.cli.tool.offset_file import parse_offset_text, read_offset_file
from fastlog.client import TopicPartition
from fastlog.errors import ErrorCode
from fastlog.verbs.resets import PlannedReset, Target, resolve

A0, A1 = TopicPartition("a", 0), TopicPartition("a", 1)


@pytest.mark.parametrize(
    "text",
    [
        "a,0,5\na,1,6\n",
        '"a",0,5\n"a",1,6\n',
        "topic,partition,offset\na, 0, 5\n\na,1,6",
        "g,a,0,5\ng,a,1,6\nother,a,1,99\n",
        '[{"topic": "a", "partition": 0, "offset": 5}, {"topic": "a", "partition": 1, "offset": 6}]',
        '{"group": "g", "partitions": [{"topic": "a", "partition": 0, "new_offset": 5, "error": null},'
        ' {"topic": "a", "partition": 1, "new_offset": 6}, '
        '{"topic": "a", "partition": 2, "new_offset": null, "error": {}}]}',
    ],
)
def test_files(text: str) -> None:
    assert parse_offset_text(text, "file", "g") == {A0: 5, A1: 6}


def test_a_mark_of_the_byte_order_is_no_part_of_a_topic(tmp_path: Path) -> None:
    path = tmp_path / "offsets.csv"
    path.write_bytes(b"\xef\xbb\xbfa,0,5\r\na,1,6\r\n")
    assert read_offset_file(str(path), "g") == {A0: 5, A1: 6}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "other,a,0,5\n",
        "a,0\n",
        "a,0,x\n",
        "a,0,-5\n",
        "a,x,5\n",
        "a,0,5\na,0,6\n",
        "a,0,9223372036854775808\n",
        "{",
        "{}",
        "[1]",
        '[{"topic": "a", "partition": 0}]',
        '[{"topic": "a", "partition": 0, "offset": true}]',
        '[{"topic": "a", "partition": 0, "offset": 1.5}]',
    ],
)
def test_what_is_no_such_file(text: str) -> None:
    with pytest.raises(UsageProblem, match="file"):
        parse_offset_text(text, "file", "g")


@pytest.mark.parametrize(
    ("target", "current", "at_time", "new", "clamped"),
    [
        (Target("earliest"), 15, -1, 10, False),
        (Target("latest"), None, -1, 20, False),
        (Target("current"), 15, -1, 15, False),
        (Target("current"), None, -1, 20, False),
        (Target("current"), 99, -1, 99, False),
        (Target("offset", 12), None, -1, 12, False),
        (Target("offset", 5), None, -1, 10, True),
        (Target("offset", 25), None, -1, 20, True),
        (Target("offset", -1), None, -1, 10, True),
        (Target("shift", -3), 15, -1, 12, False),
        (Target("shift", -30), 15, -1, 10, True),
        (Target("shift", 30), 15, -1, 20, True),
        (Target("time", 1), 15, 17, 17, False),
        (Target("time", 1), 15, -1, 20, False),
        (Target("file", offsets={A0: 11}), 15, -1, 11, False),
        (Target("file", offsets={A0: 99}), 15, -1, 20, True),
    ],
)
def test_where_a_partition_goes(
    target: Target, current: int | None, at_time: int, new: int, clamped: bool
) -> None:
    """A log from 10 to 20."""
    row = resolve(target, PlannedReset(A0, current), 10, 20, at_time)
    assert (row.new, row.clamped, row.error) == (new, clamped, None)


def test_nothing_to_shift() -> None:
    row = resolve(Target("shift", 1), PlannedReset(A0), 10, 20, -1)
    assert row.new is None
    assert row.error is not None
    assert row.error.code is ErrorCode.OFFSET_NOT_AVAILABLE
