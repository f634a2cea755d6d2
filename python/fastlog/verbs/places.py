"""Where to begin in a log, as people write it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from fastlog.client.positions import BEGINNING, END, Position
from fastlog.verbs.problems import BadArgument

__all__ = ["parse_moment", "parse_position"]

_WORDS: Final = {"beginning": BEGINNING, "earliest": BEGINNING, "end": END, "latest": END}
_NUMBER: Final = re.compile(r"\d{1,18}", re.ASCII)


def parse_position(text: str) -> Position:
    """`beginning`, `end`, an offset, `-N` (N before the end), `@TIME`. Raises BadArgument."""
    if text in _WORDS:
        return _WORDS[text]
    if text.startswith("@"):
        return Position("timestamp", parse_moment(text[1:], "position"))
    digits = text.removeprefix("-")
    if _NUMBER.fullmatch(digits) is None:
        raise BadArgument(
            f"position: {text[:50]!r} is none; expected newest, beginning, end, an offset, -N or @TIME"
        )
    return Position("tail" if text.startswith("-") else "offset", int(digits))


def parse_moment(text: str, name: str) -> int:
    """Milliseconds since 1970: such a number, or ISO 8601; without a zone it is UTC. Raises BadArgument."""
    if _NUMBER.fullmatch(text):
        return int(text)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise BadArgument(
            f"{name}: {text[:50]!r} is no time; expected such as 2026-11-25T14:00:00Z, or ms since 1970"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    found = round(moment.timestamp() * 1000)
    if found < 0:
        raise BadArgument(f"{name}: {text[:50]} is before 1970")
    return found
