"""One fixed message for every message class and version: all fields set, none to its default."""

from __future__ import annotations

from typing import Any, TypeVar

from fastlog.wire import APIS, Message, Request, Response, encode_request, encode_response
from fastlog.wire.schema import Wire, struct_fields
from tests.property.wire_strategies import MESSAGES

S = TypeVar("S")

_VALUES: dict[str, Any] = {
    "bool": True,
    "int8": 7,
    "int16": 0x0102,
    "int32": 0x01020304,
    "int64": 0x0102030405060708,
    "float64": 0.5,
    "string": "náme",
    "bytes": b"\x00\x01\xff",
    "records": b"\x00" * 20,
    "uuid": bytes(range(16)),
}


def sample(struct: type[S], version: int) -> S:
    """An instance whose fields all differ from their defaults; arrays have two elements."""
    fields = {
        spec.name: _value(spec.wire, version)
        for spec in struct_fields(struct)
        if version in spec.wire.versions
    }
    return struct(**fields)


def payload(message: Message, version: int) -> bytes:
    """A request or response under its header, without the length prefix."""
    if isinstance(message, Request):
        return encode_request(message, version, 99, "me")[4:]
    assert isinstance(message, Response)
    return encode_response(message, version, 99)[4:]


def samples() -> list[tuple[Message, int]]:
    """Every message in every version."""
    return [
        (sample(message, version), version)
        for message in MESSAGES
        for version in range(APIS[message.API].max_version + 1)
    ]


def _value(wire: Wire, version: int) -> Any:
    if wire.is_array:
        return [_single(wire, version), _single(wire, version)]
    return _single(wire, version)


def _single(wire: Wire, version: int) -> Any:
    if wire.struct is not None:
        return sample(wire.struct, version)
    value = _VALUES[wire.kind]
    return not value if wire.kind == "bool" and wire.default is True else value
