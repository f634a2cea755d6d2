"""Java's .properties format, as `java.util.Properties.load` reads it.

`key=value`, `key:value` and `key value`; # and ! begin comments; a backslash at the end of a line joins the
next one; \\t \\n \\r \\f and \\uXXXX are escapes, any other escaped character stands for itself. Java reads
bytes as ISO-8859-1; here UTF-8 is tried first, because that is what editors write today.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.base.regular_file import read_regular_file
from fastlog.errors import ConfigError

__all__ = ["Property", "parse_properties", "read_properties"]

_BLANKS: Final = " \t\f"
_SIMPLE_ESCAPES: Final = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|.|\Z)", re.DOTALL)
_KEY: Final = re.compile(r"(?:[^\\=: \t\f]|\\.)*", re.DOTALL)
_SEPARATOR: Final = re.compile(r"[ \t\f]*[=:]?[ \t\f]*")


@dataclass(frozen=True, slots=True)
class Property:
    """One entry; `line` is the number of its first line, from 1."""

    key: str
    value: str
    line: int


def read_properties(path: Path) -> list[Property]:
    """All entries of a file, in order. Raises ConfigError when it cannot be read or is malformed."""
    try:
        data = read_regular_file(path)
    except OSError as error:
        raise ConfigError(None, f"{path}: cannot be read: {error.strerror}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("iso-8859-1")
    return parse_properties(text, str(path))


def parse_properties(text: str, name: str = "properties") -> list[Property]:
    """All entries of a text, in order; `name` stands in error messages. A key may occur more than once."""
    entries = []
    for line, logical in _logical_lines(text):
        key_end = _end_of(_KEY, logical, 0)
        value_start = _end_of(_SEPARATOR, logical, key_end)
        try:
            entries.append(Property(_unescape(logical[:key_end]), _unescape(logical[value_start:]), line))
        except ValueError as error:
            raise ConfigError(None, f"{name}:{line}: {error}") from None
    return entries


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """(first line number, content) with continuation lines joined, comments and blank lines left out."""
    joined, first = "", 0
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        content = line.lstrip(_BLANKS)
        if not joined:
            if not content or content[0] in "#!":
                continue
            first = number
        backslashes = len(content) - len(content.rstrip("\\"))
        if backslashes % 2:
            joined += content[:-1]
            continue
        yield first, joined + content
        joined = ""
    if joined:
        yield first, joined


def _end_of(pattern: re.Pattern[str], text: str, start: int) -> int:
    found = pattern.match(text, start)
    return found.end() if found else start


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    plain = _ESCAPE.sub(_escaped, text)
    # Java's strings are UTF-16: two escaped halves make one character.
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _escaped(found: re.Match[str]) -> str:
    code = found[1]
    if len(code) == 5:
        return chr(int(code[1:], 16))
    if code == "u":
        raise ValueError("\\u must be followed by four hexadecimal digits")
    return _SIMPLE_ESCAPES.get(code, code)
