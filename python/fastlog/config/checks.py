"""Checks of a parsed value, as Kafka's ConfigDef validators: each says what is wrong, or None."""

from __future__ import annotations

import re
from typing import Final, Protocol

from fastlog.base.quick_dataclass import dataclass
from fastlog.config.types import Value

__all__ = [
    "GZIP_LEVEL",
    "KAFKA_VERSION",
    "THROTTLED_REPLICAS",
    "AtLeast",
    "Between",
    "Check",
    "ItemsOf",
    "NotEmpty",
    "OneOf",
    "Pattern",
]


class Check(Protocol):
    """A rule for the value of one key."""

    def problem(self, value: Value) -> str | None:
        """A phrase such as "must be at least 1", or None when `value` is fine."""
        ...


@dataclass(frozen=True, slots=True)
class AtLeast:
    """A number of `low` or more."""

    low: float

    def problem(self, value: Value) -> str | None:
        """See `Check.problem`."""
        if isinstance(value, (int, float)) and value >= self.low:
            return None
        return f"must be at least {self.low}"


@dataclass(frozen=True, slots=True)
class Between:
    """A number from `low` to `high`, or `also` when that is given."""

    low: float
    high: float
    also: float | None = None

    def problem(self, value: Value) -> str | None:
        """See `Check.problem`."""
        if isinstance(value, (int, float)) and (self.low <= value <= self.high or value == self.also):
            return None
        return f"must be from {self.low} to {self.high}" + (
            f", or {self.also}" if self.also is not None else ""
        )


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of some words."""

    words: tuple[str, ...]
    ignore_case: bool = False

    def problem(self, value: Value) -> str | None:
        """See `Check.problem`."""
        word = str(value).lower() if self.ignore_case else value
        return None if word in self.words else f"must be one of {', '.join(self.words)}"


@dataclass(frozen=True, slots=True)
class ItemsOf:
    """A list whose items all come from some words."""

    words: tuple[str, ...]

    def problem(self, value: Value) -> str | None:
        """See `Check.problem`."""
        if isinstance(value, tuple) and all(item in self.words for item in value):
            return None
        return f"must hold only {', '.join(self.words)}"


@dataclass(frozen=True, slots=True)
class NotEmpty:
    """A text or list that is not empty."""

    def problem(self, value: Value) -> str | None:
        """See `Check.problem`."""
        return None if value else "must not be empty"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text, or a list whose every item matches a regular expression."""

    expression: str
    phrase: str

    def problem(self, value: Value) -> str | None:
        """See `Check.problem`."""
        items = value if isinstance(value, tuple) else (str(value),)
        wrong = any(re.fullmatch(self.expression, item) is None for item in items)
        return f"must be {self.phrase}" if wrong else None


KAFKA_VERSION: Final = Pattern(r"\d+\.\d+(\.\d+)*(-IV\d+)?", "a Kafka version such as 3.9 or 3.9-IV0")
THROTTLED_REPLICAS: Final = Pattern(r"\*|\d+:\d+|", "a list of partition:broker pairs, * for all, or empty")
GZIP_LEVEL: Final = Between(1, 9, also=-1)
