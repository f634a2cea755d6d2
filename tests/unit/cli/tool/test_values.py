"""Durations, times with zones, lists of topics and partitions, as people write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fastlog.cli.tool.failure_reports import UsageProblem
from fastlog.cli.tool.values import (
    parse_assignment,
    parse_assignments,
    parse_datetime,
    parse_duration,
    parse_nodes,
    parse_offsets,
    parse_rate,
    parse_replicas,
    parse_topics,
)

DAY = 86_400_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("P1D", DAY),
        ("P1DT2H3M4.5S", DAY + 2 * 3_600_000 + 3 * 60_000 + 4_500),
        ("PT30M", 30 * 60_000),
        ("p2w", 14 * DAY),
        ("-PT1S", -1000),
        ("90s", 90_000),
        ("1d12h", DAY + 12 * 3_600_000),
        ("500ms", 500),
        ("5m", 300_000),
    ],
)
def test_durations(text: str, expected: int) -> None:
    assert parse_duration(text, "--by-duration") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1764079200000", 1_764_079_200_000),
        ("2025-11-25T14:00:00Z", 1_764_079_200_000),
        ("2025-11-25T14:00:00", 1_764_079_200_000),  # UTC, as kafka-consumer-groups reads it
        ("2025-11-25T16:00:00+02:00", 1_764_079_200_000),
        ("2025-11-25T14:00:00.250Z", 1_764_079_200_250),
        ("2025-11-25", 1_764_028_800_000),
    ],
)
def test_datetimes(text: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    assert parse_datetime(text, "--to-datetime") == expected


def test_topics() -> None:
    assert parse_topics(["a", "b:0", "c:3,1,5-7"], "--topic") == {"a": (), "b": (0,), "c": (1, 3, 5, 6, 7)}
    assert parse_topics(["a:1", "a:0"], "--topic") == {"a": (0, 1)}
    assert parse_topics(["a:1", "a"], "--topic") == {"a": ()}, "the whole topic holds its partitions"


def test_offsets_and_replicas() -> None:
    assert parse_offsets(["a:0=5", "a:1=end"], "trim") == {("a", 0): 5, ("a", 1): -1}
    assert parse_replicas("1:2,2:3,3", "--assignment") == ((1, 2), (2, 3), (3,))


def test_assignments() -> None:
    assert parse_assignment("a=b=c", "-c") == ("a", "b=c")
    assert parse_assignments(["a=", "b=1"], "-c") == {"a": "", "b": "1"}


@pytest.mark.parametrize(
    ("parse", "value"),
    [
        *((parse_duration, text) for text in ("", "P", "PT", "1", "1x", "1h2", "P1", "1.5h", "-5m")),
        *((parse_datetime, text) for text in ("", "now", "2025-13-01", "-5", "1960-01-01", "9" * 30)),
        *((parse_topics, [text]) for text in ("", ":0", "a:", "a:x", "a:-1", "a:3-1", "a:0,", "a:0-9999999")),
        *((parse_offsets, [text]) for text in ("a:0", "a=1", ":0=1", "a:x=1", "a:0=-1", "a:0=", "a:0=1e3")),
        (parse_offsets, ["a:0=1", "a:0=2"]),
        (parse_offsets, ["a:0=9223372036854775808"]),
        *((parse_replicas, text) for text in ("", "1,", "1:x", "a", "-1")),
        *((parse_assignments, [text]) for text in ("", "a", "=b", " =b")),
        (parse_assignments, ["a=1", "a=2"]),
    ],
)
def test_what_is_refused(parse: Callable[[Any, str], Any], value: Any) -> None:
    with pytest.raises(UsageProblem, match="--option"):
        parse(value, "--option")


def test_nodes() -> None:
    assert parse_nodes("3, 1", "--to") == (3, 1)
    for text in ("", "1,", "1,a", "-1", str(2**31)):
        with pytest.raises(UsageProblem, match="must be ids of brokers, such as 1,2,3"):
            parse_nodes(text, "--to")
    with pytest.raises(UsageProblem, match="--to 1,1: a broker is named twice"):
        parse_nodes("1,1", "--to")


@pytest.mark.parametrize(
    ("text", "rate"), [("5000", 5000), ("1.5K", 1536), ("10m", 10 << 20), ("2 GiB/s", 2 << 30), ("7 B", 7)]
)
def test_rates(text: str, rate: int) -> None:
    assert parse_rate(text, "--throttle") == rate


@pytest.mark.parametrize("text", ["", "0", "-1", "fast", "1T", "0.1", "1" * 16, "1e3"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(UsageProblem, match="is no rate; expected bytes a second"):
        parse_rate(text, "--throttle")
