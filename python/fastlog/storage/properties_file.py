"""Java's `.properties` files: all of the syntax is read, and a plain form of it written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

_ESCAPES: Final = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_ESCAPED: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
# A key ends at the first separator that is not escaped.
_PAIR: Final = re.compile(r"(?P<key>(?:\\.|[^\\=:\s])*)[ \t\f]*[=:]?[ \t\f]*(?P<value>.*)", re.DOTALL)


def parse_properties(text: str) -> dict[str, str]:
    """Keys and values. Raises ValueError when a key appears twice, which Java would silently accept."""
    result: dict[str, str] = {}
    for line in _logical_lines(text):
        match = _PAIR.fullmatch(line)
        if match is None:
            raise ValueError(f"{line!r} is not a property")
        key = _unescape(match["key"])
        if key in result:
            raise ValueError(f"{key} appears twice")
        result[key] = _unescape(match["value"])
    return result


def format_properties(values: Mapping[str, str], comment: str | None = None) -> str:
    """The text of a file with these keys, one a line, in order, under a comment of one line."""
    lines = [] if comment is None else [f"#{comment}"]
    lines += [f"{_escape(key, ' =:#!')}={_escape(value, '')}" for key, value in values.items()]
    return "".join(f"{line}\n" for line in lines)


def _logical_lines(text: str) -> Iterator[str]:
    pending = ""
    for raw in re.split(r"\r\n|\r|\n", text):
        line = raw.lstrip(" \t\f")
        if not pending and (not line or line[0] in "#!"):
            continue
        backslashes = len(line) - len(line.rstrip("\\"))
        if backslashes % 2:
            pending += line[:-1]
            continue
        yield pending + line
        pending = ""
    if pending:
        yield pending


def _unescape(text: str) -> str:
    def plain(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if len(code) == 5 else _ESCAPES.get(code, code)

    # Java escapes characters above U+FFFF as the two halves that it keeps them in.
    return _ESCAPED.sub(plain, text).encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _escape(text: str, special: str) -> str:
    out = []
    for position, char in enumerate(text):
        if char == "\\" or char in special or (position == 0 and char in " #!"):
            out.append("\\" + char)
        elif char in "\t\n\r\f":
            out.append("\\" + {"\t": "t", "\n": "n", "\r": "r", "\f": "f"}[char])
        elif not " " <= char <= "~":
            out.append("".join(f"\\u{unit:04x}" for unit in _utf16(char)))
        else:
            out.append(char)
    return "".join(out)


def _utf16(char: str) -> Iterator[int]:
    data = char.encode("utf-16-be", "surrogatepass")
    for index in range(0, len(data), 2):
        yield int.from_bytes(data[index : index + 2], "big")
