"""Lists in pages. A cursor says behind which row the next page begins, not how many rows were before it.

So a page is right although things come and go meanwhile. For a client a cursor is a text without a meaning.
"""

from __future__ import annotations

import base64
import bisect
import json
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from fastlog.verbs.problems import BadArgument

__all__ = ["MAX_LIMIT", "check_limit", "page_of", "read_cursor", "write_cursor"]

T = TypeVar("T")

MAX_LIMIT: Final = 1000
"""Most rows of a page."""
_MAX_CURSOR: Final = 64 * 1024

SortValue = str | int | float


def check_limit(limit: int, most: int = MAX_LIMIT) -> None:
    """Raises BadArgument."""
    if not 1 <= limit <= most:
        raise BadArgument(f"limit: {limit} is not from 1 to {most}")


def write_cursor(kind: str, value: Any) -> str:
    """A cursor of that kind."""
    data = json.dumps([kind, value], separators=(",", ":"), ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def read_cursor(kind: str, cursor: str) -> Any:
    """What is in it, for the caller to check. Raises BadArgument for what is no cursor of that kind."""
    problem = BadArgument("cursor: is not one that this list gave")
    if len(cursor) > _MAX_CURSOR:
        raise problem
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise problem from None
    if not isinstance(found, list) or len(found) != 2 or found[0] != kind:
        raise problem
    return found[1]


def page_of(
    rows: Sequence[T],
    key: Callable[[T], tuple[SortValue, str]],
    *,
    kind: str,
    cursor: str | None,
    limit: int,
    descending: bool = False,
) -> tuple[list[T], str | None]:
    """The rows behind the cursor, at most `limit`, by `key`: a value to sort by, and a name that is unique.

    Returns the next cursor, too; None when nothing comes behind. Raises BadArgument.
    """
    check_limit(limit)
    keyed = sorted(((key(row), row) for row in rows), key=lambda item: item[0][1])
    keyed.sort(key=lambda item: item[0][0], reverse=descending)
    first = 0
    if cursor is not None:
        first = _place([item[0] for item in keyed], _last_key(kind, cursor), descending)
    shown = keyed[first : first + limit]
    if first + limit >= len(keyed):
        return [row for _, row in shown], None
    return [row for _, row in shown], write_cursor(kind, list(shown[-1][0]))


def _last_key(kind: str, cursor: str) -> tuple[SortValue, str]:
    found = read_cursor(kind, cursor)
    if isinstance(found, list) and len(found) == 2:
        value, name = found
        if isinstance(value, str | int | float) and isinstance(name, str):
            return value, name
    raise BadArgument("cursor: is not one that this list gave")


def _place(keys: Sequence[tuple[SortValue, str]], last: tuple[SortValue, str], descending: bool) -> int:
    """The first row behind `last`, whether that is still there or not."""
    try:
        if not descending:
            return bisect.bisect_right(keys, last)
        value, name = last
        low = bisect.bisect_left(keys, -_number(value), key=lambda item: -_number(item[0]))
        high = bisect.bisect_right(keys, -_number(value), key=lambda item: -_number(item[0]))
        return bisect.bisect_right(keys, name, low, high, key=lambda item: item[1])
    except TypeError:
        raise BadArgument("cursor: is of a list in another order") from None


def _number(value: SortValue) -> float:
    if isinstance(value, str):
        raise TypeError("a text")
    return value
