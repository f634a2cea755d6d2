"""How results are shown: rich tables on a terminal, plain aligned text in a pipe, or one JSON document.

Rows are dictionaries. Their keys are the field names of the JSON, which stay as they are; columns say which
of them a table shows, and under which title.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TextIO

from fastlog.cli.redraw import Redraw

__all__ = ["Column", "Printer", "aligned", "cell_text", "size_text"]

Row = Mapping[str, Any]

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


@dataclass(frozen=True, slots=True)
class Column:
    """A field as a column. Numbers and sizes stand at the right; a size is shown in a readable unit."""

    key: str
    title: str
    kind: str = "text"
    """text, number, size"""

    def cell(self, row: Row) -> str:
        """The text of one cell; what is unknown is a dash."""
        value = row.get(self.key)
        if self.kind == "size" and isinstance(value, int):
            return size_text(value)
        return cell_text(value)


class Printer:
    """Where results go. `as_json` and text never mix on the same stream."""

    def __init__(self, *, as_json: bool, stream: TextIO | None = None) -> None:
        self.as_json: Final = as_json
        self._stream = stream or sys.stdout
        self._began = False

    def document(self, value: Any) -> None:
        """The JSON document of the command (only with `-o json`; there is one per command)."""
        if self.as_json:
            self._stream.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
            self._stream.flush()

    def table(self, columns: Sequence[Column], rows: Iterable[Row], *, title: str | None = None) -> None:
        """A table, for people only. An empty one says so by its header alone."""
        if self.as_json:
            return
        cells = [[column.cell(row) for column in columns] for row in rows]
        self._gap()
        if self._stream.isatty():
            self._rich_table(columns, cells, title)
            return
        if title is not None:
            self._stream.write(f"{title}\n")
        for line in aligned(columns, cells):
            self._stream.write(line + "\n")
        self._stream.flush()

    def rows(self, columns: Sequence[Column], rows: Sequence[Row]) -> None:
        """The rows as the whole result: a JSON array with all fields, or a table."""
        self.document([dict(row) for row in rows])
        self.table(columns, rows)

    def fields(self, pairs: Iterable[tuple[str, Any]]) -> None:
        """Names and values, one a line, for people only."""
        if self.as_json:
            return
        shown = [(name, cell_text(value)) for name, value in pairs]
        width = max((len(name) for name, _ in shown), default=0) + 1
        self._gap()
        for name, value in shown:
            self._stream.write(f"{name + ':':<{width}} {value}\n")
        self._stream.flush()

    def line(self, text: str) -> None:
        """A sentence on stdout, for people only."""
        if not self.as_json:
            self._stream.write(text + "\n")
            self._stream.flush()
            self._began = True

    def live(self) -> Redraw | None:
        """A block that changes in its place, where people look at a terminal."""
        return None if self.as_json or not self._stream.isatty() else Redraw(self._stream)

    def note(self, text: str) -> None:
        """A warning or remark on stderr, for people; JSON has a field of its own for what matters."""
        if not self.as_json:
            self._stream.flush()
            sys.stderr.write(f"fastlog: {text}\n")
            sys.stderr.flush()

    def _gap(self) -> None:
        if self._began:
            self._stream.write("\n")
        self._began = True

    def _rich_table(self, columns: Sequence[Column], cells: list[list[str]], title: str | None) -> None:
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, show_edge=False)
        for column in columns:
            table.add_column(column.title, justify=_justify(column), overflow="fold")
        for row in cells:
            table.add_row(*(Text(cell) for cell in row))
        Console(file=self._stream).print(table)


def _justify(column: Column) -> Any:
    return "left" if column.kind == "text" else "right"


def aligned(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> list[str]:
    """Lines of columns with two spaces between them, under a header."""
    table = [[column.title.upper() for column in columns], *cells]
    widths = [max(len(line[index]) for line in table) for index in range(len(columns))]
    return [
        "  ".join(
            cell.ljust(width) if column.kind == "text" else cell.rjust(width)
            for column, cell, width in zip(columns, line, widths, strict=True)
        ).rstrip()
        for line in table
    ]


def cell_text(value: Any) -> str:
    """A value for people: None is a dash, lists are joined by commas."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return " ".join(f"{name}={cell_text(item)}" for name, item in value.items()) or "-"
    if isinstance(value, list | tuple | set | frozenset):
        return ",".join(cell_text(item) for item in value) or "-"
    text = str(value)
    # What would break the lines of a table, or a terminal.
    return text if text.isprintable() else repr(text)[1:-1]


def size_text(size: int) -> str:
    """1536 is 1.5 KiB."""
    value, unit = float(size), 0
    while abs(value) >= 1024 and unit + 1 < len(_UNITS):
        value, unit = value / 1024, unit + 1
    return f"{size} B" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"
