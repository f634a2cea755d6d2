"""kio 0.5.0 (Kafka 3.9, every version from 0) as an oracle: an independent implementation of each message.

kio has typed values where the protocol has numbers (durations, times, error codes, UUIDs) and renames such
fields. Fields pair by position, since both sides keep Kafka's order, and their names have to agree as well.
"""

from __future__ import annotations

import dataclasses
import datetime
import io
import typing
import uuid
from typing import Any

from hypothesis import strategies as st
from kio.index import load_entity_schema
from kio.schema.errors import ErrorCode
from kio.serial import entity_reader, entity_writer
from kio.static.constants import EntityType

from fastlog.wire import APIS, ZERO_UUID, Message, Request
from fastlog.wire.schema import Versions
from tests.property.wire_strategies import as_plain, present

_EPOCH = datetime.datetime.fromtimestamp(0, datetime.UTC)
_MILLISECOND = datetime.timedelta(milliseconds=1)


def entity_class(message: type[Message], version: int) -> type[Any]:
    """kio's class for a message in one version."""
    words = "".join(f"_{c.lower()}" if c.isupper() else c for c in APIS[message.API].name)
    kind = EntityType.request if issubclass(message, Request) else EntityType.response
    found: type[Any] = load_entity_schema(words.lstrip("_"), version, kind)
    return found


def decode(message: type[Message], version: int, body: bytes) -> Any:
    """Reads a body to its last byte."""
    entity, size = entity_reader(entity_class(message, version))(body, 0)
    assert size == len(body)
    return entity


def encode(entity: Any) -> bytes:
    """Writes a body."""
    out = io.BytesIO()
    entity_writer(type(entity))(out, entity)
    return out.getvalue()


def plain(entity: Any, struct: type[Any], version: int) -> dict[str, Any]:
    """An entity as nested dicts under our names; fails where the fields of both sides do not pair up."""
    out = {}
    for spec, field in _pairs(struct, type(entity), version):
        value = getattr(entity, field.name)
        if spec.wire.struct is None or value is None:
            out[spec.name] = _number(value, field)
        elif spec.wire.is_array:
            out[spec.name] = [plain(element, spec.wire.struct, version) for element in value]
        else:
            out[spec.name] = plain(value, spec.wire.struct, version)
    return out


def limits(struct: type[Any], entity: type[Any], version: int) -> dict[tuple[type, str], Any]:
    """Strategies for the fields whose numbers kio cannot all represent."""
    found: dict[tuple[type, str], Any] = {}
    for spec, field in _pairs(struct, entity, version):
        match field.metadata.get("kafka_type"):
            case "error_code":
                found[struct, spec.name] = st.sampled_from([int(code) for code in ErrorCode])
            case "timedelta_i64":
                found[struct, spec.name] = st.integers(-(2**45), 2**45)
            case "datetime_i64":  # kio's times are floats on the way: whole seconds survive it
                seconds = st.integers(0, 2**32).map(lambda second: second * 1000)
                found[struct, spec.name] = st.just(-1) | seconds if _is_optional(field) else seconds
        if spec.wire.struct is not None:
            found |= limits(spec.wire.struct, _entity_type(field.type), version)
    return found


def differences(struct: type[Any], entity: type[Any], version: int) -> list[str]:
    """Fields whose nullability or default differ, all the way down.

    Left out are defaults that kio does not have, and our null defaults of fields that every version has:
    those never stand for something that was not on the wire.
    """
    found = []
    for spec, field in _pairs(struct, entity, version):
        wire = spec.wire
        special = field.metadata.get("kafka_type") in (
            "uuid",
            "datetime_i64",
        )  # null stands for a number there
        if not special and _is_optional(field) != (version in wire.nullable):
            found.append(f"{struct.__name__}.{spec.name} v{version}: nullable {wire.nullable}")
        only_ours = wire.default is None and wire.versions == Versions.parse("0+") and wire.tag is None
        if not special and not only_ours and field.default is not dataclasses.MISSING:
            theirs = field.default
            if wire.struct is not None and not wire.is_array and theirs is not None:
                theirs = plain(theirs, wire.struct, version)
            elif wire.struct is None:
                theirs = _number(theirs, field)
            if as_plain(wire.default, version) != (list(theirs) if theirs == () else theirs):
                found.append(f"{struct.__name__}.{spec.name} v{version}: {wire.default!r} or {theirs!r}")
        if wire.struct is not None:
            found += differences(wire.struct, _entity_type(field.type), version)
    return found


def _pairs(struct: type[Any], entity: type[Any], version: int) -> list[tuple[Any, dataclasses.Field[Any]]]:
    ours, theirs = present(struct, version), dataclasses.fields(entity)
    names = [spec.name for spec in ours]
    renamed = [
        name if name in (field.name, f"{field.name}_ms") else field.name
        for name, field in zip(names, theirs, strict=True)
    ]
    assert names == renamed
    assert [spec.wire.tag for spec in ours] == [field.metadata.get("tag") for field in theirs]
    return list(zip(ours, theirs, strict=True))


def _number(value: Any, field: dataclasses.Field[Any]) -> Any:
    """What goes over the wire for one of kio's typed values."""
    match value:
        case None:
            return {"uuid": ZERO_UUID, "datetime_i64": -1}.get(field.metadata.get("kafka_type", ""))
        case tuple():
            return [_number(element, field) for element in value]
        case datetime.datetime():
            return (value - _EPOCH) // _MILLISECOND
        case datetime.timedelta():
            return value // _MILLISECOND
        case uuid.UUID():
            return value.bytes
        case bool() | float() | str() | bytes():
            return value
        case _:
            return int(value)


def _is_optional(field: dataclasses.Field[Any]) -> bool:
    return type(None) in typing.get_args(field.type)


def _entity_type(annotation: Any) -> type[Any]:
    if dataclasses.is_dataclass(annotation):
        return typing.cast("type[Any]", annotation)
    return next(
        found
        for arg in typing.get_args(annotation)
        if arg is not ... and (found := _entity_type_or_none(arg))
    )


def _entity_type_or_none(annotation: Any) -> type[Any] | None:
    if dataclasses.is_dataclass(annotation) or typing.get_args(annotation):
        return _entity_type(annotation)
    return None
