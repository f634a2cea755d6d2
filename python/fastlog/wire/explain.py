"""Finds out why a message cannot be encoded. Runs only after an encoder has failed, so it may be slow."""

from __future__ import annotations

from typing import Any, Final

from fastlog.errors import shortened
from fastlog.wire.primitives import MAX_STRING
from fastlog.wire.schema import Wire, is_error_text, struct_fields

_INT_BITS: Final = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}


def explain(struct: Any, version: int, path: str = "") -> str | None:
    """The first field of a struct that `version` has no form for, and why; None if all are fine."""
    for spec in struct_fields(type(struct)):
        value = getattr(struct, spec.name)
        if is_error_text(spec) and isinstance(value, str):
            value = shortened(value)
        where = f"{path}{spec.name}"
        if version in spec.wire.versions:
            problem = _value(spec.wire, value, version, where)
            if problem is not None:
                return problem
        elif not spec.wire.ignorable and value != spec.wire.default:
            return f"{where} is not part of this version and must keep its default {spec.wire.default!r}"
    return None


def _value(wire: Wire, value: Any, version: int, where: str) -> str | None:
    if value is None:
        return None if version in wire.nullable else f"{where} cannot be null"
    if not wire.is_array:
        return _single(wire, value, version, where)
    if not isinstance(value, list | tuple):
        return f"{where} is not a list but {type(value).__name__}"
    for index, element in enumerate(value):
        problem = _single(wire, element, version, f"{where}[{index}]")
        if problem is not None:
            return problem
    return None


def _single(wire: Wire, value: Any, version: int, where: str) -> str | None:
    if wire.struct is not None:
        if not isinstance(value, wire.struct):
            return f"{where} is not a {wire.struct.__name__} but {value!r}"
        return explain(value, version, f"{where}.")
    if wire.kind in _INT_BITS:
        limit = 1 << _INT_BITS[wire.kind] - 1
        if not isinstance(value, int) or not -limit <= value < limit:
            return f"{where} is not an {wire.kind}: {value!r}"
    elif wire.kind == "string":
        return _string(value, where)
    elif wire.kind == "uuid" and (not isinstance(value, bytes) or len(value) != 16):
        return f"{where} is not a UUID of 16 bytes: {value!r}"
    elif wire.kind in ("bytes", "records") and not isinstance(value, bytes | bytearray | memoryview):
        return f"{where} is not bytes but {type(value).__name__}"
    return None


def _string(value: Any, where: str) -> str | None:
    if not isinstance(value, str):
        return f"{where} is not a string: {value!r}"
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        return f"{where} is not encodable as UTF-8: {error.reason}"
    return None if size <= MAX_STRING else f"{where} has {size} bytes of UTF-8, more than {MAX_STRING}"
