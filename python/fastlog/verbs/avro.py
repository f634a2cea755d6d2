"""Avro's binary encoding as values, to look at records (Apache Avro 1.11 specification, Binary Encoding).

A schema is compiled once into readers. Logical types are shown as what they stand for where that is plain
(dates, timestamps, decimals); bytes and fixed become texts where they are UTF-8, else {"base64": ...}.
"""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from typing import Any, Final

__all__ = ["AvroSchema"]

_MAX_DEPTH: Final = 64
_MAX_ITEMS: Final = 100_000
_MAX_SCHEMA: Final = 1 << 20
_FLOAT: Final = struct.Struct("<f")
_DOUBLE: Final = struct.Struct("<d")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DIGITS: Final = Context(prec=100)

_Reader = Callable[["_Data", int], Any]


class AvroSchema:
    """A schema; `read` decodes one value that is all of the bytes."""

    def __init__(self, text: str) -> None:
        """Raises ValueError for what is no schema."""
        if len(text) > _MAX_SCHEMA:
            raise ValueError("the schema is too large")
        try:
            self._read = _Compiler().of(json.loads(text), "")
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"this is no Avro schema: {error!r}") from None

    def read(self, data: bytes) -> Any:
        """The value. Raises ValueError when the bytes are not of this schema."""
        reader = _Data(data)
        try:
            value = self._read(reader, 0)
        except (struct.error, IndexError, OverflowError, ArithmeticError):
            raise ValueError("the bytes are not of this schema") from None
        if reader.at != len(data):
            raise ValueError("something follows the value")
        return value


class _Data:
    """Bytes and a position. `items` counts values of arrays and maps: some take no bytes at all."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.items = 0

    def long(self) -> int:
        """A zig-zag varint."""
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return (value >> 1) ^ -(value & 1)
            shift += 7
            if shift > 63:
                raise ValueError("a number is too long")

    def take(self, size: int) -> bytes:
        """The next bytes."""
        if size < 0 or size > len(self.data) - self.at:
            raise ValueError("the data ends early")
        self.at += size
        return self.data[self.at - size : self.at]

    def blocks(self) -> int:
        """The number of items in the next block; 0 at the end."""
        count = self.long()
        if count < 0:
            count = -count
            self.long()
        self.items += count
        if self.items > _MAX_ITEMS:
            raise ValueError("there are too many items")
        return count


def _shown(data: bytes) -> Any:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _number(value: float) -> Any:
    return value if math.isfinite(value) else str(value)


def _moment(unit: int) -> Callable[[Any], Any]:
    def show(value: int) -> str:
        return (_EPOCH + timedelta(microseconds=value * unit)).isoformat()

    return show


def _date(value: int) -> str:
    return (_EPOCH + timedelta(days=value)).date().isoformat()


_PRIMITIVES: Final[dict[str, _Reader]] = {
    "null": lambda data, _: None,
    "boolean": lambda data, _: data.take(1) != b"\0",
    "int": lambda data, _: data.long(),
    "long": lambda data, _: data.long(),
    "float": lambda data, _: _number(_FLOAT.unpack(data.take(4))[0]),
    "double": lambda data, _: _number(_DOUBLE.unpack(data.take(8))[0]),
    "bytes": lambda data, _: _shown(data.take(data.long())),
    "string": lambda data, _: data.take(data.long()).decode("utf-8", "replace"),
}
_LOGICAL: Final[dict[tuple[str, str], Callable[[Any], Any]]] = {
    ("int", "date"): _date,
    ("long", "timestamp-millis"): _moment(1000),
    ("long", "timestamp-micros"): _moment(1),
}


class _Compiler:
    """Schemas to readers; types that have a name may be named again, within themselves, too."""

    def __init__(self) -> None:
        self._named: dict[str, _Reader] = {}

    def of(self, schema: Any, space: str) -> _Reader:
        """The reader of a schema in a namespace."""
        if isinstance(schema, str):
            return _PRIMITIVES.get(schema) or self._reference(schema, space)
        if isinstance(schema, list):
            return self._union(schema, space)
        kind = schema["type"]
        if isinstance(kind, dict | list):
            return self.of(kind, space)
        match kind:
            case "record" | "error":
                return self._record(schema, space)
            case "enum":
                return self._enum(schema, space)
            case "fixed":
                return self._fixed(schema, space)
            case "array":
                return self._array(self.of(schema["items"], space))
            case "map":
                return self._map(self.of(schema["values"], space))
        return self._plain(kind, schema, space)

    def _plain(self, kind: str, schema: Mapping[str, Any], space: str) -> _Reader:
        logical = schema.get("logicalType")
        if kind == "bytes" and logical == "decimal":
            return _decimal(int(schema.get("scale", 0)), lambda data: data.take(data.long()))
        read = self.of(kind, space)
        show = _LOGICAL.get((kind, str(logical)))
        return read if show is None else lambda data, depth: show(read(data, depth))

    def _name(self, schema: Mapping[str, Any], space: str) -> tuple[str, str]:
        """The full name of a type, and the namespace of what is in it."""
        name = schema["name"]
        if "." in name:
            return name, name.rpartition(".")[0]
        inner = schema.get("namespace", space)
        return f"{inner}.{name}" if inner else name, inner

    def _reference(self, name: str, space: str) -> _Reader:
        full = name if "." in name or not space else f"{space}.{name}"
        if full not in self._named and name not in self._named:
            raise ValueError(f"there is no type {name[:100]!r}")
        chosen = full if full in self._named else name
        # It may be that of a record whose fields are being read just now.
        return lambda data, depth: self._named[chosen](data, depth)

    def _record(self, schema: Mapping[str, Any], space: str) -> _Reader:
        full, inner = self._name(schema, space)
        fields: list[tuple[str, _Reader]] = []

        def read(data: _Data, depth: int) -> Any:
            if depth > _MAX_DEPTH:
                raise ValueError("it is nested too deeply")
            return {name: of(data, depth + 1) for name, of in fields}

        self._named[full] = read
        fields += [(str(field["name"]), self.of(field["type"], inner)) for field in schema["fields"]]
        return read

    def _enum(self, schema: Mapping[str, Any], space: str) -> _Reader:
        symbols = [str(symbol) for symbol in schema["symbols"]]

        def read(data: _Data, _: int) -> Any:
            at = data.long()
            if not 0 <= at < len(symbols):
                raise ValueError(f"there is no symbol {at}")
            return symbols[at]

        self._named[self._name(schema, space)[0]] = read
        return read

    def _fixed(self, schema: Mapping[str, Any], space: str) -> _Reader:
        size = int(schema["size"])
        if schema.get("logicalType") == "decimal":
            read = _decimal(int(schema.get("scale", 0)), lambda data: data.take(size))
        else:
            read = lambda data, _: _shown(data.take(size))  # noqa: E731
        self._named[self._name(schema, space)[0]] = read
        return read

    def _union(self, schemas: list[Any], space: str) -> _Reader:
        branches = [self.of(schema, space) for schema in schemas]

        def read(data: _Data, depth: int) -> Any:
            at = data.long()
            if not 0 <= at < len(branches):
                raise ValueError(f"there is no branch {at}")
            return branches[at](data, depth + 1)

        return read

    def _array(self, item: _Reader) -> _Reader:
        def read(data: _Data, depth: int) -> Any:
            if depth > _MAX_DEPTH:
                raise ValueError("it is nested too deeply")
            found: list[Any] = []
            while count := data.blocks():
                found += [item(data, depth + 1) for _ in range(count)]
            return found

        return read

    def _map(self, value: _Reader) -> _Reader:
        def read(data: _Data, depth: int) -> Any:
            if depth > _MAX_DEPTH:
                raise ValueError("it is nested too deeply")
            found: dict[str, Any] = {}
            while count := data.blocks():
                for _ in range(count):
                    key = data.take(data.long()).decode("utf-8", "replace")
                    found[key] = value(data, depth + 1)
            return found

        return read


def _decimal(scale: int, take: Callable[[_Data], bytes]) -> _Reader:
    def read(data: _Data, _: int) -> Any:
        unscaled = int.from_bytes(take(data)[:64], "big", signed=True)
        return str(Decimal(unscaled).scaleb(-scale, _DIGITS))

    return read
