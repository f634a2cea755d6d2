"""Error codes inside answers, wherever their message keeps them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from functools import cache
from typing import Any, cast

from fastlog.wire.schema import struct_fields


def error_codes(answer: Any) -> Iterator[int]:
    """Every `error_code` of an answer, its own and those of its parts, in wire order.

    Meant for small answers: it looks at every nested struct.
    """
    own, parts = _layout(cast("Hashable", type(answer)))
    if own:
        yield answer.error_code
    for name, is_array in parts:
        part = getattr(answer, name)
        for item in part or () if is_array else () if part is None else (part,):
            yield from error_codes(item)


@cache
def _layout(struct: Hashable) -> tuple[bool, tuple[tuple[str, bool], ...]]:
    fields = struct_fields(cast("type[Any]", struct))
    own = any(field.name == "error_code" for field in fields)
    return own, tuple((field.name, field.wire.is_array) for field in fields if field.wire.struct is not None)
