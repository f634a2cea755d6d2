"""Protocol Buffers' wire format as values, for looking at records, by a set of descriptors.

`protoc --include_imports --descriptor_set_out=FILE` writes such a set (FileDescriptorSet, descriptor.proto).
It is read by the same code that reads records. Fields have their names in the .proto file; those that the
descriptor does not know are `#NUMBER`. Fields that are not there are left out, whatever their default is.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["ProtobufSchema"]

_MAX_DEPTH: Final = 64
_MAX_SET: Final = 4 << 20
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_REPEATED: Final = 3
_STRING, _MESSAGE, _RAW, _ENUM = 9, 11, 12, 14
_STRUCTS: Final = {
    1: struct.Struct("<d"),
    2: struct.Struct("<f"),
    6: struct.Struct("<Q"),
    7: struct.Struct("<I"),
    15: struct.Struct("<i"),
    16: struct.Struct("<q"),
}
_WIRE: Final = {1: _FIXED64, 6: _FIXED64, 16: _FIXED64, 2: _FIXED32, 7: _FIXED32, 15: _FIXED32}
_WIRE_OF_BYTES: Final = (_STRING, _MESSAGE, _RAW)

_Raw = int | bytes


def _fields(data: bytes) -> Iterator[tuple[int, int, _Raw]]:
    """(number, wire type, varint or bytes) of each field. Raises ValueError."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise ValueError("a field has no number")
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, wire, value
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(wire)
        if wire == _BYTES:
            size, at = _varint(data, at)
        if size is None or size > len(data) - at:
            raise ValueError("the data ends early, or is no message")
        yield number, wire, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("a number is too long, or ends early")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), at
        shift += 7


@dataclass(slots=True)
class _Field:
    name: str = ""
    number: int = 0
    repeated: bool = False
    kind: int = 0
    type_name: str = ""


@dataclass(slots=True)
class _Message:
    fields: dict[int, _Field] = field(default_factory=dict)
    is_map_entry: bool = False


class ProtobufSchema:
    """A message of a set of descriptors; `read` decodes one that is all of the bytes."""

    def __init__(self, descriptors: bytes, message: str) -> None:
        """Raises ValueError for what is no set, or has no such message."""
        if len(descriptors) > _MAX_SET:
            raise ValueError("the set of descriptors is too large")
        self._messages: dict[str, _Message] = {}
        self._enums: dict[str, dict[int, str]] = {}
        for number, _, file in _fields(descriptors):
            if number == 1 and isinstance(file, bytes):
                self._read_file(file)
        self._root = f".{message.lstrip('.')}"
        if self._root not in self._messages:
            raise ValueError(f"there is no message {message[:200]!r}")

    def read(self, data: bytes) -> Any:
        """The value. Raises ValueError when the bytes are not of this message."""
        return self._message(self._messages[self._root], data, 0)

    # -- descriptors --------------------

    def _read_file(self, data: bytes) -> None:
        rows = list(_fields(data))
        package = next((_text(value) for number, _, value in rows if number == 2), "")
        space = f".{package}" if package else ""
        self._read_types(rows, space, messages=4, enums=5, depth=0)

    def _read_types(
        self, rows: list[tuple[int, int, _Raw]], space: str, *, messages: int, enums: int, depth: int
    ) -> None:
        if depth > _MAX_DEPTH:
            raise ValueError("types are nested too deeply")
        for number, _, value in rows:
            if isinstance(value, bytes) and number == messages:
                self._read_message(value, space, depth)
            elif isinstance(value, bytes) and number == enums:
                self._read_enum(value, space)

    def _read_message(self, data: bytes, space: str, depth: int) -> None:
        rows = list(_fields(data))
        name = f"{space}.{next(_text(value) for number, _, value in rows if number == 1)}"
        made = self._messages[name] = _Message()
        for number, _, value in rows:
            if number == 2 and isinstance(value, bytes):
                one = _field(value)
                made.fields[one.number] = one
            elif number == 7 and isinstance(value, bytes):
                made.is_map_entry = any(row == (7, _VARINT, 1) for row in _fields(value))
        self._read_types(rows, name, messages=3, enums=4, depth=depth + 1)

    def _read_enum(self, data: bytes, space: str) -> None:
        rows = list(_fields(data))
        names: dict[int, str] = {}
        for number, _, value in rows:
            if number == 2 and isinstance(value, bytes):
                parts = {key: item for key, _, item in _fields(value)}
                names[_signed(parts.get(2, 0), 64)] = _text(parts.get(1, b""))
        self._enums[f"{space}.{next(_text(value) for number, _, value in rows if number == 1)}"] = names

    # -- values --------------------

    def _message(self, kind: _Message, data: bytes, depth: int) -> dict[str, Any]:
        if depth > _MAX_DEPTH:
            raise ValueError("it is nested too deeply")
        found: dict[str, Any] = {}
        for number, wire, raw in _fields(data):
            known = kind.fields.get(number)
            if known is None:
                found[f"#{number}"] = raw if isinstance(raw, int) else _shown(raw)
                continue
            values = self._values(known, wire, raw, depth)
            entry = self._messages.get(known.type_name) if known.kind == _MESSAGE else None
            if entry is not None and entry.is_map_entry:
                pairs = found.setdefault(known.name, {})
                pairs.update((str(pair.get("key", "")), pair.get("value")) for pair in values)
            elif known.repeated:
                found.setdefault(known.name, []).extend(values)
            elif values:
                found[known.name] = values[-1]
        return found

    def _values(self, known: _Field, wire: int, raw: _Raw, depth: int) -> list[Any]:
        """One value; several of a packed field."""
        expected = _BYTES if known.kind in _WIRE_OF_BYTES else _WIRE.get(known.kind, _VARINT)
        if wire == expected:
            return [self._value(known, raw, depth)]
        if wire != _BYTES or not known.repeated or not isinstance(raw, bytes):
            raise ValueError(f"field {known.name} has another type")
        if expected == _VARINT:
            found, at = [], 0
            while at < len(raw):
                number, at = _varint(raw, at)
                found.append(self._value(known, number, depth))
            return found
        size = 8 if expected == _FIXED64 else 4
        return [self._value(known, raw[at : at + size], depth) for at in range(0, len(raw), size)]

    def _value(self, known: _Field, raw: _Raw, depth: int) -> Any:
        if isinstance(raw, bytes):
            if known.kind == _MESSAGE:
                if known.type_name not in self._messages:
                    raise ValueError(f"there is no message {known.type_name}")
                return self._message(self._messages[known.type_name], raw, depth + 1)
            if known.kind in _STRUCTS:
                return _number(_STRUCTS[known.kind], raw)
            return _text(raw) if known.kind == _STRING else _shown(raw)
        if known.kind == _ENUM:
            number = _signed(raw, 32)
            return self._enums.get(known.type_name, {}).get(number, number)
        return _INTEGERS.get(known.kind, int)(raw)


def _field(data: bytes) -> _Field:
    made = _Field()
    for number, _, value in _fields(data):
        match number:
            case 1:
                made.name = _text(value)
            case 3 if isinstance(value, int):
                made.number = value
            case 4:
                made.repeated = value == _REPEATED
            case 5 if isinstance(value, int):
                made.kind = value
            case 6:
                made.type_name = _text(value)
    return made


def _text(value: _Raw) -> str:
    if not isinstance(value, bytes):
        raise ValueError("a number stands where a text should")
    return value.decode("utf-8", "replace")


def _signed(value: _Raw, bits: int) -> int:
    if not isinstance(value, int):
        raise ValueError("bytes stand where a number should")
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _zigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)


_INTEGERS: Final[dict[int, Callable[[int], Any]]] = {
    3: lambda value: _signed(value, 64),
    5: lambda value: _signed(value, 32),
    8: bool,
    13: lambda value: value & 0xFFFF_FFFF,
    17: _zigzag,
    18: _zigzag,
}


def _number(form: struct.Struct, raw: bytes) -> Any:
    if len(raw) != form.size:
        raise ValueError("a packed field ends early")
    (value,) = form.unpack(raw)
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)


def _shown(data: bytes) -> Any:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}
