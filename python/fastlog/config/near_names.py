"""Telling a mistyped key from a key that is nobody's but a plugin's."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile

__all__ = ["one_typing_error_away"]


def one_typing_error_away(name: str, known: Iterable[str]) -> str | None:
    """That of `known` that `name` would be without one letter too many, too few, wrong or swapped.

    Capitals, underscores and dashes in the place of dots count for nothing.
    """
    wanted = _folded(name.strip())
    near = None
    for candidate in known:
        if abs(len(candidate) - len(wanted)) > 1:
            continue
        folded = _folded(candidate)
        if folded == wanted:
            return candidate
        if near is None and _is_near(wanted, folded):
            near = candidate
    return near


def _folded(name: str) -> str:
    return name.lower().replace("_", ".").replace("-", ".")


def _is_near(one: str, other: str) -> bool:
    shorter = min(len(one), len(other))
    start = _common(one, other)
    end = min(_common(reversed(one), reversed(other)), shorter - start)
    left, right = one[start : len(one) - end], other[start : len(other) - end]
    return max(len(left), len(right)) <= 1 or (len(left) == 2 and left == right[::-1])


def _common(one: Iterable[str], other: Iterable[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
