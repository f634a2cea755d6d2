"""Requests with one array of any length, made from the schema: for every API that there is or will be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastlog.wire import APIS, ApiKey, Request, encode_request
from fastlog.wire.messages import request_type
from fastlog.wire.schema import FieldSpec, struct_fields

ArrayPath = tuple[str, ...]
"""Attribute names from the request down to an array; the arrays on the way have one element each."""

_NUMBERED = ("partition", "partition_index", "index")
_NOBODY = ("replica_id", "transactional_id", "session_epoch", "instance_id", "group_instance_id")
_TIMES = ("timeout_ms", "session_timeout_ms", "rebalance_timeout_ms")


@dataclass(frozen=True, slots=True)
class Filling:
    """What fields are set to: strings (`%d` is the number of the element), whole numbers, and UUIDs."""

    text: str
    number: int = 0
    distinct_ids: bool = False


def array_paths(key: ApiKey) -> list[tuple[ArrayPath, int]]:
    """Every array of an API's requests, with the newest version that has it."""
    newest: dict[ArrayPath, int] = {}
    for version in range(APIS[key].max_version + 1):
        newest.update((path, version) for path in _paths(request_type(key), version))
    return list(newest.items())


def frame_with(key: ApiKey, version: int, path: ArrayPath, elements: int, filling: Filling) -> bytes:
    """A frame, length prefix included, of a request with so many elements in the array at `path`."""
    request: Request = _build(request_type(key), version, path, elements, filling, 0)
    return encode_request(request, version, 1, "many")


def frame_repeating(key: ApiKey, version: int, path: ArrayPath, times: int, filling: Filling) -> bytes:
    """The same with one element that stands there so many times."""
    request: Request = _build(request_type(key), version, path, 1, filling, 0)
    struct: Any = request
    for name in path[:-1]:
        struct = getattr(struct, name)
        struct = struct[0] if isinstance(struct, list) else struct
    setattr(struct, path[-1], times * list(getattr(struct, path[-1])))
    return encode_request(request, version, 1, "many")


def _paths(struct: type[Any], version: int, above: ArrayPath = ()) -> Iterator[ArrayPath]:
    for spec in struct_fields(struct):
        if version in spec.wire.versions:
            path = (*above, spec.name)
            if spec.wire.is_array:
                yield path
            if spec.wire.struct is not None:
                yield from _paths(spec.wire.struct, version, path)


def _build(
    struct: type[Any], version: int, path: ArrayPath, elements: int, filling: Filling, index: int
) -> Any:
    fields = {}
    for spec in struct_fields(struct):
        wire = spec.wire
        wanted = bool(path) and path[0] == spec.name
        if version not in wire.versions or (wire.tag is not None and not wanted):
            continue
        if wire.is_array:
            count = (elements if len(path) == 1 else 1) if wanted else 0
            below = path[1:] if wanted else ()
            if not wanted and version in wire.nullable:
                fields[spec.name] = None
            elif wire.struct is None:
                fields[spec.name] = [_element(spec, number, filling) for number in range(count)]
            else:
                fields[spec.name] = [
                    _build(wire.struct, version, below, elements, filling, number) for number in range(count)
                ]
        elif wire.struct is not None:
            if wanted:
                fields[spec.name] = _build(wire.struct, version, path[1:], elements, filling, 0)
        else:
            fields[spec.name] = _scalar(spec, version, index, filling)
    return struct(**fields)


def _element(spec: FieldSpec, index: int, filling: Filling) -> Any:
    match spec.wire.kind:
        case "int8":
            return index % 100
        case "int16" | "int32" | "int64":
            return index
    return _plain(spec, index, filling)


def _scalar(spec: FieldSpec, version: int, index: int, filling: Filling) -> Any:
    name = spec.name
    if name in _NUMBERED:
        return index
    if name in _NOBODY and version in spec.wire.nullable:
        return None
    if name in _NOBODY and spec.wire.kind != "string":
        return -1
    if name in _TIMES:
        return 10_000
    if name == "max_wait_ms":
        return 0
    return _plain(spec, index, filling)


def _plain(spec: FieldSpec, index: int, filling: Filling) -> Any:
    match spec.wire.kind:
        case "string":
            return filling.text % index if "%" in filling.text else filling.text
        case "bool":
            return spec.wire.default is True
        case "bytes" | "records":
            return b""
        case "uuid":
            return (index + 1).to_bytes(16, "big") if filling.distinct_ids else bytes(16)
        case "float64":
            return 0.5
    return filling.number
