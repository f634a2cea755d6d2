"""kafka-python 3 as a second oracle. Its table is Kafka 4.3's: fields that only old versions had are gone.

Fields pair by name, those that it patches by their new names. Authorized operations are sets of bit numbers
there, and None for "not asked for".
"""

from __future__ import annotations

import uuid
import warnings
from typing import Any

from fastlog.wire import ZERO_UUID, Message
from tests.property.wire_strategies import as_plain, present

with warnings.catch_warnings():
    warnings.simplefilter(
        "ignore", DeprecationWarning
    )  # it reads its schemas by importlib.resources.read_text
    import kafka.protocol.admin
    import kafka.protocol.consumer
    import kafka.protocol.metadata
    import kafka.protocol.producer
    import kafka.protocol.sasl

_MODULES = (
    kafka.protocol.metadata,
    kafka.protocol.producer,
    kafka.protocol.consumer,
    kafka.protocol.admin,
    kafka.protocol.sasl,
)

_RENAMED = {
    "topic_authorized_operations": "authorized_operations",
    "cluster_authorized_operations": "authorized_operations",
}


def message_class(message: type[Message]) -> type[Any] | None:
    """kafka-python's class of the same name, if it has one."""
    for module in _MODULES:
        found: type[Any] | None = getattr(module, message.__name__, None)
        if found is not None:
            return found
    return None


def decode(theirs: type[Any], version: int, payload: bytes) -> Any:
    """Reads a whole payload, header and all."""
    return theirs.decode(payload, version=version, header=True)


def encode(decoded: Any) -> bytes:
    """Writes a whole payload in the version and under the header that were read."""
    return bytes(decoded.encode(header=True))


def same_fields(struct: type[Any], theirs: Any, version: int) -> bool:
    """Whether both tables have the same fields in `version`, all the way down."""
    ours = present(struct, version)
    fields = _fields(theirs, version)
    if [_name(spec.name, fields) for spec in ours] != list(fields):
        return False
    return all(
        same_fields(spec.wire.struct, fields[_name(spec.name, fields)], version)
        for spec in ours
        if spec.wire.struct is not None
    )


def plain(value: Any, struct: type[Any], theirs: Any, version: int) -> dict[str, Any]:
    """One of its messages or structs as nested dicts under our names."""
    fields = _fields(theirs, version)
    out: dict[str, Any] = {}
    for spec in present(struct, version):
        field = fields[_name(spec.name, fields)]
        inner = getattr(value, field.name)
        if inner is None and spec.wire.tag is not None:
            out[spec.name] = as_plain(spec.wire.default, version)  # absent, and left to the reader
        elif spec.wire.struct is None or inner is None:
            out[spec.name] = _number(inner, spec.wire.kind, spec.wire.is_array)
        elif spec.wire.is_array:
            out[spec.name] = [plain(element, spec.wire.struct, field, version) for element in inner]
        else:
            out[spec.name] = plain(inner, spec.wire.struct, field, version)
    return out


def _fields(theirs: Any, version: int) -> dict[str, Any]:
    return {field.name: field for field in theirs.fields.values() if field.for_version_q(version)}


def _name(ours: str, fields: dict[str, Any]) -> str:
    return ours if ours in fields else _RENAMED.get(ours, ours)


def _number(value: Any, kind: str, is_array: bool) -> Any:
    match value:
        case list() if is_array:
            return [_number(element, kind, False) for element in value]
        case None if kind == "int32" and not is_array:
            return -(2**31)
        case None if kind == "uuid":
            return ZERO_UUID
        case set():
            return sum(1 << bit if bit < 31 else -(1 << bit) for bit in value)
        case uuid.UUID():
            return value.bytes
        case memoryview() | bytearray():
            return bytes(value)
        case _:
            return value
