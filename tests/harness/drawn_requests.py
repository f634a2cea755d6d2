"""Valid requests of any API and version, drawn at random from the schema table."""

from __future__ import annotations

import random
from typing import Any

from fastlog.wire.schema import Request, Wire, struct_fields

_INTEGERS = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}
_WORDS = ("", "a", "topic", "orders.eu_1", "retention.ms", "x" * 300, "naïve ☃")


def sample_request(message: type[Request], version: int, chance: random.Random) -> Request:
    """A request whose fields of `version` hold random values; the others keep their defaults."""
    request = _struct(message, version, chance)
    assert isinstance(request, Request)
    return request


def _struct(struct: type[Any], version: int, chance: random.Random) -> Any:
    values = {
        field.name: _field(field.wire, version, chance)
        for field in struct_fields(struct)
        if version in field.wire.versions
    }
    return struct(**values)


def _field(wire: Wire, version: int, chance: random.Random) -> Any:
    if version in wire.nullable and chance.random() < 0.2:
        return None
    if wire.is_array:
        return [_value(wire, version, chance) for _ in range(chance.choice((0, 1, 1, 2, 5)))]
    return _value(wire, version, chance)


def _value(wire: Wire, version: int, chance: random.Random) -> Any:
    if wire.kind in _INTEGERS:
        edge = 2 ** (_INTEGERS[wire.kind] - 1)
        return chance.choice((0, 1, -1, 7, edge - 1, -edge))
    match wire.kind:
        case "struct":
            assert wire.struct is not None
            return _struct(wire.struct, version, chance)
        case "bool":
            return chance.random() < 0.5
        case "uuid":
            return chance.randbytes(16)
        case "string":
            return chance.choice(_WORDS)
        case "bytes" | "records":
            return chance.randbytes(chance.choice((0, 1, 61, 200)))
        case "float64":
            return chance.random()
        case kind:
            raise AssertionError(f"no sample for the wire type {kind}")
