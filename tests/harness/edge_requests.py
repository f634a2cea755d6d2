"""Requests at the edges of their types, from the schema table: one field at a time, every API and version."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from fastlog.wire import API_VERSIONS, ApiKey, Request, encode_request
from fastlog.wire.messages import request_type
from fastlog.wire.schema import Wire, struct_fields

NOT_UTF8: Final = "\ue000"
"""Stands for three bytes that are no UTF-8: the surrogate U+D800, as Java's older encoders wrote it."""

LONGEST: Final = 32767
_BITS: Final = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}
_TEXTS: Final = ("", "x" * LONGEST, "a/b", "..", "\0", "naïve ☃ 😀", NOT_UTF8)
_PLAIN: Final = {"string": "t", "uuid": b"\7" * 16}
_BYTES: Final = (b"", b"\0", b"\xff" * 61)

Normal = Callable[[str], Any]
"""The usual value of a field by its name, or None for what the schema says."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One request; `what` names the field and its value."""

    version: int
    what: str
    request: Request


def edges(key: ApiKey, low: int, high: int, normal: Normal) -> Iterator[Edge]:
    """The requests of one API in the versions from `low` to `high`."""
    message = request_type(key)
    for version in range(low, min(high, API_VERSIONS[key][1]) + 1):
        yield Edge(version, "usual", _usual(message, version, normal))
        for path, wire in _paths(message, version):
            for value in _values(wire, version):
                request = _usual(message, version, normal)
                _put(request, path, value, version, normal)
                yield Edge(version, f"{'.'.join(path)}={_shown(value)}", request)


def frame_of(edge: Edge, correlation_id: int, client_id: str | None) -> bytes:
    """The frame, length prefix included."""
    frame = encode_request(edge.request, edge.version, correlation_id, client_id)
    return frame.replace(NOT_UTF8.encode(), b"\xed\xa0\x80")


def codes(value: Any) -> list[int]:
    """All error codes in a response but 0, nested ones included, in order."""
    found: list[int] = []
    for field in struct_fields(type(value)):
        item = getattr(value, field.name)
        if field.name.endswith("error_code"):
            found += [item] if item else []
        elif field.wire.struct is not None and item is not None:
            for part in item if isinstance(item, list) else [item]:
                found += codes(part)
    return found


def _usual(struct: type[Any], version: int, normal: Normal) -> Any:
    values = {}
    for field in struct_fields(struct):
        wire = field.wire
        if version not in wire.versions:
            continue
        value = normal(field.name)
        if value is None and wire.struct is not None and not isinstance(wire.default, type(None)):
            part = _usual(wire.struct, version, normal)
            value = [part] if wire.is_array else part
        elif wire.is_array and wire.struct is None and value is not None and not isinstance(value, list):
            value = [value]
        if value is not None:
            values[field.name] = value
    return struct(**values)


def _paths(struct: type[Any], version: int) -> Iterator[tuple[tuple[str, ...], Wire]]:
    for field in struct_fields(struct):
        if version not in field.wire.versions:
            continue
        yield (field.name,), field.wire
        if field.wire.struct is not None:
            for path, wire in _paths(field.wire.struct, version):
                yield (field.name, *path), wire


def _values(wire: Wire, version: int) -> Iterator[Any]:
    nothing = [None] if version in wire.nullable else []
    if wire.is_array:
        yield from (*nothing, [])
        if wire.struct is None:
            yield from ([value] for value in _scalars(wire.kind))
            yield [_PLAIN.get(wire.kind, 0)] * 2
        else:
            yield "twice"
    elif wire.struct is not None:
        yield from nothing
    else:
        yield from (*nothing, *_scalars(wire.kind))


def _scalars(kind: str) -> tuple[Any, ...]:
    if kind in _BITS:
        edge = 1 << (_BITS[kind] - 1)
        return (0, 1, -1, -2, edge - 1, -edge)
    match kind:
        case "bool":
            return (False, True)
        case "string":
            return _TEXTS
        case "uuid":
            return (bytes(16), b"\7" * 16, b"\xff" * 16)
        case "float64":
            return (0.0, -1.0, float("nan"), float("inf"))
        case _:
            return _BYTES


def _put(part: Any, path: tuple[str, ...], value: Any, version: int, normal: Normal) -> None:
    """Sets what is at `path`; on the way are single elements of arrays, made when they are not there."""
    for name in path[:-1]:
        wire = next(field.wire for field in struct_fields(type(part)) if field.name == name)
        inner = getattr(part, name)
        if not inner:
            assert wire.struct is not None
            inner = _usual(wire.struct, version, normal)
            setattr(part, name, [inner] if wire.is_array else inner)
        part = inner[0] if isinstance(inner, list) else inner
    name = path[-1]
    if value == "twice":
        rows = getattr(part, name) or []
        value = [*rows, *rows]
    setattr(part, name, value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 30 else f"{text[:12]}... ({len(text)})"
