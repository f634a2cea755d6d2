"""One renderer: JSON with the rows as they are, aligned text in a pipe, a rich table on a terminal."""

from __future__ import annotations

import io
import json

import pytest

from fastlog.cli.tool.output import Column, Printer, cell_text, size_text

COLUMNS = [Column("topic", "topic"), Column("count", "count", "number"), Column("size", "size", "size")]
ROWS = [
    {"topic": "a", "count": 7, "size": 1536, "hidden": [1, 2]},
    {"topic": "a-long-name", "count": None, "size": None, "hidden": []},
]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_json_has_every_field_and_numbers_stay_numbers() -> None:
    stream = io.StringIO()
    printer = Printer(as_json=True, stream=stream)
    printer.rows(COLUMNS, ROWS)
    printer.line("not in JSON")
    printer.fields([("not", "either")])
    assert json.loads(stream.getvalue()) == ROWS


def test_text_in_a_pipe_is_aligned() -> None:
    stream = io.StringIO()
    Printer(as_json=False, stream=stream).rows(COLUMNS, ROWS)
    assert stream.getvalue().splitlines() == [
        "TOPIC        COUNT     SIZE",
        "a                7  1.5 KiB",
        "a-long-name      -        -",
    ]


def test_a_terminal_gets_a_table_without_markup_of_its_own() -> None:
    stream = Terminal()
    Printer(as_json=False, stream=stream).rows(COLUMNS, [{"topic": "[red]a[/red]", "count": 7, "size": 1}])
    assert "[red]a[/red]" in stream.getvalue()
    assert "1 B" in stream.getvalue()


def test_tables_on_a_terminal_have_one_empty_line_between_them() -> None:
    stream = Terminal()
    printer = Printer(as_json=False, stream=stream)
    printer.table(COLUMNS[:1], ROWS[:1])
    printer.table(COLUMNS[:1], ROWS[1:])
    lines = stream.getvalue().splitlines()
    assert [bool(line.strip()) for line in lines] == [True, True, True, False, True, True, True]


def test_tables_and_fields_are_kept_apart() -> None:
    stream = io.StringIO()
    printer = Printer(as_json=False, stream=stream)
    printer.fields([("topic", "a"), ("configs", {"x": "1", "y": None})])
    printer.table(COLUMNS[:1], ROWS[:1], title="title")
    assert stream.getvalue() == "topic:   a\nconfigs: x=1 y=-\n\ntitle\nTOPIC\na\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        ([1, 2], "1,2"),
        ([], "-"),
        ({}, "-"),
        ("größe", "größe"),
        ("two\nlines \x1b[2J", "two\\nlines \\x1b[2J"),
    ],
)
def test_cells(value: object, text: str) -> None:
    assert cell_text(value) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 * 2**40, "5.0 TiB")]
)
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == text
