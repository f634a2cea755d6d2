"""Positions as people write them: `beginning`, `end`, `17`, `-5`, `@TIME`, and ranges `s@TIME`, `e@TIME`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fastlog.cli.tool.values import parse_datetime
from fastlog.client.consumer import BEGINNING, END, Position

__all__ = ["parse_range"]

_WORDS: Final = {"beginning": BEGINNING, "earliest": BEGINNING, "end": END, "latest": END}


def parse_range(texts: Sequence[str]) -> tuple[Position, Position | None]:
    """(start, end or None) of the values of `--offset`: at most one start and one `e@`.

    Raises ValueError or UsageProblem with a sentence for the user.
    """
    starts = [text for text in texts if not text.startswith("e@")]
    ends = [text for text in texts if text.startswith("e@")]
    if len(starts) > 1 or len(ends) > 1:
        raise ValueError("give one start, and at most one end as e@TIME")
    start = _parse(starts[0]) if starts else BEGINNING
    return start, Position("timestamp", parse_datetime(ends[0][2:], "--offset")) if ends else None


def _parse(text: str) -> Position:
    if text in _WORDS:
        return _WORDS[text]
    if text.startswith(("@", "s@")):
        return Position("timestamp", parse_datetime(text.partition("@")[2], "--offset"))
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(
            f"{text!r} is no position; expected beginning, end, an offset, -N (N before the end), "
            "@TIME, s@TIME or e@TIME"
        )
    return Position("tail" if text.startswith("-") else "offset", int(digits))
