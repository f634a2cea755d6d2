"""Regular expressions in RE2's syntax, matched against topic names in time linear to their length.

Python's `re` tries alternatives one after the other: a short pattern of a client could hold the broker for
hours. Here a pattern becomes an automaton whose states are followed all at once, as RE2 does it. What RE2
does not have (back references, look-around) is an error here too. Topic names are ASCII, so is all that a
pattern can match.

An automaton lives as long as it is used, one thread at a time uses one: what clients send is checked and
thrown away, and made again when topics are to be matched. Its size is bounded (`_MAX_STATES`, about 2 MiB),
so is what it remembers of its steps (`_MAX_REMEMBERED`, about 8 MiB) and what all its new steps may cost
(`_MAX_VISITS`, about two seconds).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from fastlog.coordination.groups.consumer.pattern_classes import WORD
from fastlog.coordination.groups.consumer.pattern_syntax import BadPattern, Node, Parser

__all__ = ["MAX_PATTERN", "BadPattern", "Pattern", "check_pattern", "compile_pattern", "matching"]

MAX_PATTERN: Final = 1024
"""Longest pattern in characters."""

_MAX_STATES: Final = 5000
_MAX_REMEMBERED: Final = 100_000
"""Most states in all remembered steps."""
_MAX_VISITS: Final = 2_000_000
"""Most states that are looked at in steps that are not remembered: ordinary patterns need some hundred steps
of
some ten states, whatever there is to be matched."""
_MOST_CHECKED: Final = 1024
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
        self._count = 2
        self._edges: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        """By state: (set of characters as bits, next state)."""
        self._free: defaultdict[int, list[int]] = defaultdict(list)
        """By state: states that are reached without a character."""
        self._at_start: defaultdict[int, list[int]] = defaultdict(list)
        self._at_end: defaultdict[int, list[int]] = defaultdict(list)
        self._at_boundary: defaultdict[int, list[int]] = defaultdict(list)
        self._elsewhere: defaultdict[int, list[int]] = defaultdict(list)
        self._build(Parser(text).parse(), _START, _FINAL)
        self._steps: dict[tuple[frozenset[int], int], frozenset[int]] = {}
        self._remembered = 0
        self._visits = 0

    def fullmatch(self, name: str) -> bool:
        """Whether all of `name` matches. Raises BadPattern when all matching so far has cost too much."""
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
            edges = self._edges
            reached = {
                target for state in states for bits, target in edges.get(state, ()) if bits >> code & 1
            }
            before = _OTHER + (WORD >> code & 1)
            found = self._closure(reached, is_start=False, before=before, after=after)
            cost = len(states) + len(found)
            self._visits += cost
            if self._visits > _MAX_VISITS:
                raise BadPattern("it takes too long to match")
            self._remembered += cost + 1
            if self._remembered > _MAX_REMEMBERED:
                self._steps.clear()
                self._remembered = cost + 1
            self._steps[key] = found
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
                for target in table.get(state, ()):
                    if target not in states:
                        states.add(target)
                        todo.append(target)
        return frozenset(states)

    def _new(self) -> int:
        if self._count >= _MAX_STATES:
            raise BadPattern("it is too large")
        self._count += 1
        return self._count - 1

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


def compile_pattern(text: str) -> Pattern:
    """The pattern. Raises BadPattern, whose text says what is wrong."""
    if len(text) > MAX_PATTERN:
        raise BadPattern(f"it has more than {MAX_PATTERN} characters")
    return Pattern(text)


@lru_cache(maxsize=_MOST_CHECKED)
def check_pattern(text: str) -> None:
    """Raises BadPattern as `compile_pattern`. What was found good is remembered, errors are found anew."""
    compile_pattern(text)


def matching(text: str, names: Iterable[str]) -> frozenset[str]:
    """The names that the whole pattern matches. Meant for a thread: many names take a while.

    Raises BadPattern when it takes too long.
    """
    pattern = Pattern(text)
    return frozenset(name for name in names if pattern.fullmatch(name))
