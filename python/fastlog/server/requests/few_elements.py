"""Which answers are so small that they are encoded at once: read off the schema, as few looks as can be."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from typing import Any, Final, NamedTuple, cast

from fastlog.wire.schema import Response, struct_fields

FEW: Final = 64
"""So many elements of arrays take a tenth of a millisecond."""


class _Arrays(NamedTuple):
    """The arrays of a struct: (name, arrays of its elements); and (name, its arrays) of single structs."""

    arrays: tuple[tuple[str, _Arrays], ...]
    structs: tuple[tuple[str, _Arrays], ...]


def has_few_elements(response: Response) -> bool:
    """Whether all arrays of an answer have together no more than `FEW` elements, at every depth."""
    return _count(_arrays_of(cast("Hashable", type(response))), response, FEW) >= 0


def _count(places: _Arrays, struct: Any, left: int) -> int:
    """How many more there may be; negative when there are too many."""
    for name, inner in places.arrays:
        elements = getattr(struct, name)
        if elements:
            left -= len(elements)
            if left < 0:
                return left
            if inner.arrays or inner.structs:
                for element in elements:
                    left = _count(inner, element, left)
                    if left < 0:
                        return left
    for name, inner in places.structs:
        value = getattr(struct, name)
        if value is not None:
            left = _count(inner, value, left)
            if left < 0:
                return left
    return left


@cache
def _arrays_of(struct: type[Any]) -> _Arrays:
    arrays: list[tuple[str, _Arrays]] = []
    structs: list[tuple[str, _Arrays]] = []
    for field in struct_fields(struct):
        wire = field.wire
        inner = _Arrays((), ()) if wire.struct is None else _arrays_of(cast("Hashable", wire.struct))
        if wire.is_array:
            arrays.append((field.name, inner))
        elif inner.arrays or inner.structs:
            structs.append((field.name, inner))
    return _Arrays(tuple(arrays), tuple(structs))
