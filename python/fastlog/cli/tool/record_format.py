r"""The `-f` format of `fastlog consume`, in kcat's letters, and records as JSON.

    %t topic  %p partition  %o offset  %T timestamp (ms)  %h headers as name=value,name=value
    %k key  %K its length (-1 for null)  %s value  %S its length  %R the length as 4 bytes, big-endian
    %% a percent sign;  \n \r \t \\ and \xNN (hexadecimal), \0 and \NNN (octal) stand for single bytes

A null key or value is empty, or `NULL` when asked for.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Callable
from typing import Any, Final

from fastlog.client.consumer import Record

__all__ = ["as_json", "compile_format", "unescape"]

Formatter = Callable[[Record], bytes]

_ESCAPE: Final = re.compile(r"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_SIMPLE: Final = {"n": b"\n", "r": b"\r", "t": b"\t", "\\": b"\\"}
_LENGTH: Final = struct.Struct(">i")


def unescape(text: str) -> bytes:
    r"""Bytes of a text with escapes; an unknown one stands for its letter. Raises ValueError for a lone \."""
    out = bytearray()
    position = 0
    for match in _ESCAPE.finditer(text):
        out += _encode(text[position : match.start()])
        code = match[1]
        if code in _SIMPLE:
            out += _SIMPLE[code]
        elif code[0] == "x" and len(code) > 1:
            out.append(int(code[1:], 16))
        elif code[0] in "01234567":
            out.append(int(code, 8) & 0xFF)
        else:
            out += _encode(code)
        position = match.end()
    rest = text[position:]
    if rest.endswith("\\"):
        raise ValueError(f"{text!r} ends with a lone backslash")
    return bytes(out + _encode(rest))


def compile_format(text: str, *, null: bytes = b"") -> Formatter:
    """A function from a record to its bytes. `null` stands for a null key, value or header value.

    Raises ValueError for an unknown letter.
    """
    parts: list[bytes | Formatter] = []
    letters = _letters(null)
    position = 0
    while True:
        at = text.find("%", position)
        if at < 0:
            break
        parts.append(unescape(text[position:at]))
        letter = text[at + 1 : at + 2]
        if letter == "%":
            parts.append(b"%")
        elif letter in letters:
            parts.append(letters[letter])
        else:
            known = " ".join(f"%{name}" for name in letters)
            raise ValueError(f"%{letter} in the format is not known; there are {known} and %%")
        position = at + 2
    parts.append(unescape(text[position:]))
    return _joined(parts)


def _joined(parts: list[bytes | Formatter]) -> Formatter:
    pieces = [part for part in parts if part]

    def render(record: Record) -> bytes:
        return b"".join([piece if isinstance(piece, bytes) else piece(record) for piece in pieces])

    return render


def _letters(null: bytes) -> dict[str, Formatter]:
    def length(data: bytes | None) -> int:
        return -1 if data is None else len(data)

    def headers(record: Record) -> bytes:
        return b",".join(
            name.encode() + b"=" + (b"NULL" if value is None else value) for name, value in record.headers
        )

    return {
        "t": lambda record: record.topic.encode(),
        "p": lambda record: b"%d" % record.partition,
        "o": lambda record: b"%d" % record.offset,
        "T": lambda record: b"%d" % record.timestamp,
        "h": headers,
        "k": lambda record: null if record.key is None else record.key,
        "K": lambda record: b"%d" % length(record.key),
        "s": lambda record: null if record.value is None else record.value,
        "S": lambda record: b"%d" % length(record.value),
        "R": lambda record: _LENGTH.pack(length(record.value)),
    }


def as_json(record: Record) -> bytes:
    """One line: topic, partition, offset, timestamp, timestamp_type, key, value, headers (name, value pairs).

    Bytes that are UTF-8 are strings, others `{"base64": "..."}`; null is null.
    """
    row: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "timestamp_type": "log_append" if record.is_append_time else "create",
        "key": text_or_base64(record.key),
        "value": text_or_base64(record.value),
        "headers": [[name, text_or_base64(value)] for name, value in record.headers],
    }
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def text_or_base64(data: bytes | None) -> str | dict[str, str] | None:
    """Bytes as a value of JSON: a string where they are UTF-8, else an object that marks the base64."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _encode(text: str) -> bytes:
    # Arguments may hold bytes that are no UTF-8; Python carries them as surrogates.
    return text.encode("utf-8", "surrogateescape")
