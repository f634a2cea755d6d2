"""Cursors: every row once, whatever comes and goes meanwhile, and no cursor that was made up."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlog.verbs.pages import page_of, read_cursor, write_cursor
from fastlog.verbs.problems import BadArgument

Row = tuple[int, str]


def page(
    rows: Sequence[Row], cursor: str | None, limit: int, *, descending: bool = False
) -> tuple[list[Row], str | None]:
    return page_of(rows, lambda row: row, kind="rows", cursor=cursor, limit=limit, descending=descending)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.text(max_size=3)), unique_by=lambda row: row[1]),
    st.integers(1, 5),
    st.booleans(),
)
def test_every_row_comes_once_and_in_order(rows: list[Row], limit: int, descending: bool) -> None:
    found: list[Row] = []
    cursor: str | None = None
    while True:
        some, cursor = page(rows, cursor, limit, descending=descending)
        found += some
        if cursor is None:
            break
        assert len(some) == limit
    wanted = sorted(rows, key=lambda row: row[1])
    wanted.sort(key=lambda row: row[0], reverse=descending)
    assert found == wanted


def test_rows_that_come_and_go_disturb_no_other() -> None:
    rows = [(0, name) for name in "bdfh"]
    first, cursor = page(rows, None, 2)
    assert [name for _, name in first] == ["b", "d"]
    # The last one shown has gone, others have come before and behind it.
    later = [(0, name) for name in "abcefgh"]
    second, cursor = page(later, cursor, 10)
    assert ([name for _, name in second], cursor) == (["e", "f", "g", "h"], None)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "ü",
        "%%%%",
        base64.urlsafe_b64encode(b"[" * 50_000).decode(),
        base64.urlsafe_b64encode(json.dumps(["other", [0, "a"]]).encode()).decode(),
        base64.urlsafe_b64encode(json.dumps(["rows", [0]]).encode()).decode(),
        base64.urlsafe_b64encode(json.dumps(["rows", [None, "a"]]).encode()).decode(),
        base64.urlsafe_b64encode(json.dumps(["rows", ["text", "a"]]).encode()).decode(),
        "A" * 100_000,
    ],
)
def test_what_is_no_cursor_of_this_list_is_refused(cursor: str) -> None:
    for descending in (False, True):
        with pytest.raises(BadArgument, match="cursor"):
            page([(1, "a"), (2, "b")], cursor, 1, descending=descending)


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_limits_have_bounds(limit: int) -> None:
    with pytest.raises(BadArgument, match="limit"):
        page([], None, limit)


def test_cursors_keep_any_text() -> None:
    assert read_cursor("k", write_cursor("k", ["ä/+", 1])) == ["ä/+", 1]
