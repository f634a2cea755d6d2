"""Hypothesis strategies for wire messages, derived from the schema table itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from fastlog.wire import APIS, Message, request_type, response_type
from fastlog.wire.schema import FieldSpec, Wire, struct_fields

Special = Mapping[tuple[type, str], st.SearchStrategy[Any]]
"""Strategies that replace those of the schema, by struct and field: what an oracle cannot represent."""

MESSAGES: list[type[Message]] = [
    message for key in APIS for message in (request_type(key), response_type(key))
]

VARIANTS: list[tuple[type[Message], int]] = [
    (message, version) for message in MESSAGES for version in range(APIS[message.API].max_version + 1)
]

# Long ones have lengths of two bytes as varints.
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.just("long ünïcode " * 20)
_BYTES = st.binary(max_size=6) | st.just(b"\x00\xff" * 100)

_PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int8": st.integers(-(2**7), 2**7 - 1),
    "int16": st.integers(-(2**15), 2**15 - 1),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "float64": st.floats(allow_nan=False),
    "string": _TEXTS,
    "bytes": _BYTES,
    "records": _BYTES,
    "uuid": st.binary(min_size=16, max_size=16),
}


def instances(struct: type[Any], version: int, special: Special | None = None) -> st.SearchStrategy[Any]:
    """Instances of a message or nested struct; fields that `version` lacks keep their defaults."""
    fields = {
        spec.name: _field(struct, spec, version, special or {})
        for spec in struct_fields(struct)
        if version in spec.wire.versions
    }
    return st.builds(struct, **fields)


def _field(struct: type[Any], spec: FieldSpec, version: int, special: Special) -> st.SearchStrategy[Any]:
    wire = spec.wire
    value = special.get((struct, spec.name), None)
    if value is None:
        value = _value(wire, version, special)
    if wire.is_array:
        sizes = st.lists(value, max_size=2 if wire.struct else 5)
        value = sizes if wire.kind != "int32" else sizes | st.just(list(range(-10, 140)))
    if version in wire.nullable:
        value = st.none() | value
    if wire.tag is not None and wire.default is not None and not wire.is_array:
        value |= st.just(wire.default)
    return value


def _value(wire: Wire, version: int, special: Special) -> st.SearchStrategy[Any]:
    if wire.struct is not None:
        return instances(wire.struct, version, special)
    return _PRIMITIVES[wire.kind]


def present(struct: type[Any], version: int) -> list[FieldSpec]:
    """The fields that `version` has, in wire order."""
    return [spec for spec in struct_fields(struct) if version in spec.wire.versions]


def as_plain(value: Any, version: int) -> Any:
    """A message as nested dicts and lists of what `version` has, to compare with other implementations."""
    if dataclasses.is_dataclass(value):
        specs = present(type(value), version)
        return {spec.name: as_plain(getattr(value, spec.name), version) for spec in specs}
    if isinstance(value, list):
        return [as_plain(element, version) for element in value]
    return bytes(value) if isinstance(value, memoryview) else value
