"""Which error codes a response holds, nested ones included, for the counters: read off the schema."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Hashable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, Final, NamedTuple, cast

from fastlog.wire.schema import Response, struct_fields

__all__ = ["Errors", "errors_in", "errors_in_steps"]

Errors = tuple[tuple[int, int], ...]
"""(code, how often) for each code but 0."""

# So many structs are looked at between two steps: well below a millisecond.
_STRUCTS_PER_STEP: Final = 1000


class _Places(NamedTuple):
    """Where a struct has codes: getters of its own, and (name, is an array, places in there) of nested ones.

    Getters are mapped over arrays: most codes are 0, and none of them is looked at in Python.
    """

    own: tuple[Callable[[Any], int], ...]
    nested: tuple[tuple[str, bool, _Places], ...]


def errors_in(response: Response, version: int) -> Errors:
    """The codes in what goes out of `response` in `version`."""
    found: list[int] = []
    _note(_places(cast("Hashable", type(response)), version), response, found)
    return tuple(Counter(found).items()) if found else ()


def errors_in_steps(response: Response, version: int) -> Generator[None, None, Errors]:
    """The same for large responses: yields now and then, and returns the counts."""
    places = _places(cast("Hashable", type(response)), version)
    found: list[int] = []
    yield from _collect(places, [response], found)
    return tuple(Counter(found).items()) if found else ()


def _note(places: _Places, struct: Any, found: list[int]) -> None:
    """Adds the codes of one struct."""
    found += [code for own in places.own if (code := own(struct))]
    for name, is_array, inner in places.nested:
        value = getattr(struct, name)
        if is_array:
            if inner.nested:
                for element in value or ():
                    _note(inner, element, found)
            else:
                for own in inner.own:
                    found += filter(None, map(own, value or ()))
        elif value is not None:
            _note(inner, value, found)


def _collect(places: _Places, structs: Sequence[Any], found: list[int]) -> Generator[None, None, None]:
    for first in range(0, len(structs), _STRUCTS_PER_STEP):
        if first:
            yield
        part = structs[first : first + _STRUCTS_PER_STEP] if len(structs) > _STRUCTS_PER_STEP else structs
        for own in places.own:
            found += filter(None, map(own, part))
        for name, is_array, inner in places.nested:
            rows: list[Any] = []
            for struct in part:
                value = getattr(struct, name)
                if is_array:
                    rows += value or ()
                elif value is not None:
                    rows.append(value)
            if rows:
                yield from _collect(inner, rows, found)


@cache
def _places(struct: type[Any], version: int) -> _Places:
    own: list[Callable[[Any], int]] = []
    nested: list[tuple[str, bool, _Places]] = []
    for field in struct_fields(struct):
        wire = field.wire
        if version not in wire.versions:
            continue
        if field.name.endswith("error_code"):
            own.append(attrgetter(field.name))
        elif wire.struct is not None:
            inner = _places(cast("Hashable", wire.struct), version)
            if inner.own or inner.nested:
                nested.append((field.name, wire.is_array, inner))
    return _Places(tuple(own), tuple(nested))
