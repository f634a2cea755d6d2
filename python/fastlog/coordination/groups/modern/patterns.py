"""Regular expressions in RE2's syntax, matched against topic names in time linear to their length.

Python's `re` tries alternatives one after the other: a short pattern of a client could hold the broker for
hours. Here a pattern becomes an automaton whose states are followed all at once, as RE2 does it. What RE2
does not have (back references, look-around) is an error here too. Topic names are ASCII, so is all that a
pattern can match.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from fastlog.coordination.groups.modern.pattern_classes import WORD
from fastlog.coordination.groups.modern.pattern_syntax import BadPattern, Node, Parser

__all__ = ["MAX_PATTERN", "BadPattern", "Pattern", "compile_pattern", "matching"]

MAX_PATTERN: Final = 1024
"""Longest pattern in characters."""

_MAX_STATES: Final = 5000
_MAX_CACHED_SETS: Final = 2000
_ALPHABET: Final = 128

_START: Final = 0
_FINAL: Final = 1

# What is beside a position of the name: the name's start or end, another character, or one of a word.
_END: Final = 0
_OTHER: Final = 1
_A_WORD: Final = 2
_KINDS: Final = 3


class Pattern:
    """A compiled pattern. `fullmatch` is for one thread at a time."""

    def __init__(self, text: str) -> None:
        self._edges: list[list[tuple[int, int]]] = [[], []]
        """By state: (set of characters as bits, next state)."""
        self._free: list[list[int]] = [[], []]
        """By state: states that are reached without a character."""
        self._at_start: list[list[int]] = [[], []]
        self._at_end: list[list[int]] = [[], []]
        self._at_boundary: list[list[int]] = [[], []]
        self._elsewhere: list[list[int]] = [[], []]
        self._build(Parser(text).parse(), _START, _FINAL)
        self._steps: dict[tuple[frozenset[int], int], frozenset[int]] = {}

    def fullmatch(self, name: str) -> bool:
        """Whether all of `name` matches."""
        codes = [ord(character) for character in name]
        if any(code >= _ALPHABET for code in codes):
            return False
        following = [*(_OTHER + (WORD >> code & 1) for code in codes), _END]
        current = self._closure({_START}, is_start=True, before=_END, after=following[0])
        for code, after in zip(codes, following[1:], strict=True):
            current = self._step(current, code, after)
            if not current:
                return False
        return _FINAL in current

    def _step(self, states: frozenset[int], code: int, after: int) -> frozenset[int]:
        key = (states, code * _KINDS + after)
        found = self._steps.get(key)
        if found is None:
            reached = {target for state in states for bits, target in self._edges[state] if bits >> code & 1}
            if len(self._steps) >= _MAX_CACHED_SETS:
                self._steps.clear()
            before = _OTHER + (WORD >> code & 1)
            found = self._steps[key] = self._closure(reached, is_start=False, before=before, after=after)
        return found

    def _closure(self, states: set[int], *, is_start: bool, before: int, after: int) -> frozenset[int]:
        tables = [
            self._free,
            self._at_boundary if (before == _A_WORD) != (after == _A_WORD) else self._elsewhere,
        ]
        if is_start:
            tables.append(self._at_start)
        if after == _END:
            tables.append(self._at_end)
        todo = list(states)
        while todo:
            state = todo.pop()
            for table in tables:
                for target in table[state]:
                    if target not in states:
                        states.add(target)
                        todo.append(target)
        return frozenset(states)

    def _new(self) -> int:
        if len(self._edges) >= _MAX_STATES:
            raise BadPattern("it is too large")
        self._edges.append([])
        for table in (self._free, self._at_start, self._at_end, self._at_boundary, self._elsewhere):
            table.append([])
        return len(self._edges) - 1

    def _build(self, node: Node, start: int, end: int) -> None:
        """Adds states that lead from `start` to `end` along `node`."""
        match node:
            case ("chars", int(bits)):
                self._edges[start].append((bits, end))
            case ("start",):
                self._at_start[start].append(end)
            case ("end",):
                self._at_end[start].append(end)
            case ("boundary", bool(is_one)):
                (self._at_boundary if is_one else self._elsewhere)[start].append(end)
            case ("any of", list(branches)):
                for branch in branches:
                    inner = self._new()
                    self._free[start].append(inner)
                    self._build(branch, inner, end)
            case ("all of", list(parts)):
                for part in parts:
                    following = self._new()
                    self._build(part, start, following)
                    start = following
                self._free[start].append(end)
            case ("repeat", inner_node, int(least), most):
                self._repeat(inner_node, least, most, start, end)

    def _repeat(self, node: Node, least: int, most: int | None, start: int, end: int) -> None:
        for _ in range(least):
            following = self._new()
            self._build(node, start, following)
            start = following
        if most is None:
            loop = self._new()
            self._free[start].append(loop)
            following = self._new()
            self._build(node, loop, following)
            self._free[following].append(loop)
            start = loop
        for _ in range(0 if most is None else most - least):
            self._free[start].append(end)
            following = self._new()
            self._build(node, start, following)
            start = following
        self._free[start].append(end)


@lru_cache(maxsize=256)
def compile_pattern(text: str) -> Pattern:
    """The pattern; an error is raised each time anew. Raises BadPattern, whose text says what is wrong."""
    if len(text) > MAX_PATTERN:
        raise BadPattern(f"it has more than {MAX_PATTERN} characters")
    return Pattern(text)


def matching(text: str, names: Iterable[str]) -> frozenset[str]:
    """The names that the whole pattern matches. Meant for a thread: many names take a while."""
    pattern = Pattern(text)
    return frozenset(name for name in names if pattern.fullmatch(name))
