"""Positions as people write them: `beginning`, `end`, `17`, `-5`, `@TIME`, and ranges `s@TIME`, `e@TIME`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from fastlog.client.consumer import BEGINNING, END, Position

__all__ = ["parse_range", "parse_time"]

_WORDS: Final = {"beginning": BEGINNING, "earliest": BEGINNING, "end": END, "latest": END}


def parse_range(texts: Sequence[str]) -> tuple[Position, Position | None]:
    """(start, end or None) of the values of `--offset`: at most one start and one `e@`.

    Raises ValueError with a sentence for the user.
    """
    starts = [text for text in texts if not text.startswith("e@")]
    ends = [text for text in texts if text.startswith("e@")]
    if len(starts) > 1 or len(ends) > 1:
        raise ValueError("give one start, and at most one end as e@TIME")
    start = _parse(starts[0]) if starts else BEGINNING
    return start, Position("timestamp", parse_time(ends[0][2:])) if ends else None


def _parse(text: str) -> Position:
    if text in _WORDS:
        return _WORDS[text]
    if text.startswith(("@", "s@")):
        return Position("timestamp", parse_time(text.partition("@")[2]))
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(
            f"{text!r} is no position; expected beginning, end, an offset, -N (N before the end), "
            "@TIME, s@TIME or e@TIME"
        )
    return Position("tail" if text.startswith("-") else "offset", int(digits))


def parse_time(text: str) -> int:
    """Milliseconds since the epoch: such a number itself, or an ISO 8601 time (local without a zone).

    Raises ValueError.
    """
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        raise ValueError(
            f"{text!r} is no time; expected ms since the epoch or a time such as 2026-11-25T14:00:00Z"
        ) from None
