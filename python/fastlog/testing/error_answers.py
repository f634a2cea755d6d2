"""Answers that say nothing but an error, to any request: a row with the code for each thing it names."""

from __future__ import annotations

from typing import Any, TypeVar

from fastlog.wire.messages import response_type
from fastlog.wire.schema import FieldSpec, Request, Response, struct_fields

__all__ = ["refusal", "with_code"]

R = TypeVar("R", bound=Response)

_PARTITION = frozenset({"index", "partition", "partition_index"})


def refusal(request: Request, version: int, code: int) -> Response:
    """The answer to a request that was not carried out: the code at the top, and for all that it names."""
    kind = response_type(request.API)
    return kind(**_values(kind, request, version, code))


def with_code(response: R, version: int, code: int) -> R:
    """The same answer with this code wherever it has one; records are left out."""
    _set(response, version, code)
    return response


def _values(kind: type[Any], asked: Any, version: int, code: int) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field in struct_fields(kind):
        name, wire = field.name, field.wire
        if version not in wire.versions:
            continue
        if name.endswith("error_code"):
            values[name] = code
        elif wire.struct is not None and wire.is_array:
            if _has_codes(wire.struct, version):
                values[name] = _rows(field, asked, version, code)
        elif wire.struct is None and not wire.is_array and not name.endswith("error_message"):
            found = _same(name, asked, version)
            if found is not None:
                values[name] = found
    return values


def _rows(field: FieldSpec, asked: Any, version: int, code: int) -> list[Any]:
    """A row for each element of the array of the request that goes with this one of the answer."""
    kind = field.wire.struct
    if kind is None or not hasattr(type(asked), "__dataclass_fields__"):
        return []
    arrays = [
        item
        for item in struct_fields(type(asked))
        if item.wire.is_array and version in item.wire.versions and getattr(asked, item.name)
    ]
    named = [item for item in arrays if item.name == field.name]
    if not arrays:
        return []
    return [
        kind(**_values(kind, element, version, code)) for element in getattr(asked, (named or arrays)[0].name)
    ]


def _same(name: str, asked: Any, version: int) -> Any:
    """The value that the request has for a field of the answer, if that names a thing."""
    if isinstance(asked, str | int | bytes):
        # An element without fields is itself the name, or the number of a partition.
        is_name = name in ("name", "topic", "group_id", "key", "coordinator_key")
        fits = is_name if isinstance(asked, str) else name in _PARTITION
        return asked if fits else None
    fields = {item.name for item in struct_fields(type(asked)) if version in item.wire.versions}
    if name in fields:
        return getattr(asked, name)
    if name in _PARTITION:
        for other in sorted(_PARTITION & fields):
            return getattr(asked, other)
    return None


def _has_codes(struct: type[Any], version: int) -> bool:
    return any(
        version in field.wire.versions
        and (
            field.name.endswith("error_code")
            or (field.wire.struct is not None and _has_codes(field.wire.struct, version))
        )
        for field in struct_fields(struct)
    )


def _set(struct: Any, version: int, code: int) -> None:
    for field in struct_fields(type(struct)):
        if version not in field.wire.versions:
            continue
        if field.name.endswith("error_code"):
            setattr(struct, field.name, code)
        elif field.wire.kind == "records":
            setattr(struct, field.name, None)
        elif field.wire.struct is not None:
            value = getattr(struct, field.name)
            for element in value or () if field.wire.is_array else [value] if value is not None else []:
                _set(element, version, code)
