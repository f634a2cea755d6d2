"""The parser of regular expressions in RE2's syntax: from text to nested tuples.

| node                         | matches                                               |
|------------------------------|-------------------------------------------------------|
| ("chars", bits)              | one character whose bit is set                        |
| ("start",), ("end",)         | nothing, at the start or the end of the name          |
| ("all of", [nodes])          | one after the other                                   |
| ("any of", [nodes])          | one of them                                           |
| ("repeat", node, low, high)  | so many times; high is None for any number            |
"""

from __future__ import annotations

import string
from typing import Any, Final, TypeAlias

from fastlog.errors import FastlogError

Node: TypeAlias = tuple[Any, ...]

_MAX_REPEAT: Final = 1000
_MAX_DEPTH: Final = 100
_ALL: Final = (1 << 128) - 1


class BadPattern(FastlogError):
    """A regular expression that is not valid here; the text says why."""


def _bits(characters: str) -> int:
    return sum(1 << ord(character) for character in set(characters))


_DIGITS: Final = _bits(string.digits)
_WORD: Final = _bits(string.ascii_letters + string.digits + "_")
_SPACE: Final = _bits("\t\n\f\r ")
_CLASSES: Final = {
    "d": _DIGITS,
    "D": _ALL & ~_DIGITS,
    "w": _WORD,
    "W": _ALL & ~_WORD,
    "s": _SPACE,
    "S": _ALL & ~_SPACE,
}
_NAMED: Final = {
    "alnum": _bits(string.ascii_letters + string.digits),
    "alpha": _bits(string.ascii_letters),
    "ascii": _ALL,
    "blank": _bits("\t "),
    "digit": _DIGITS,
    "lower": _bits(string.ascii_lowercase),
    "punct": _bits(string.punctuation),
    "space": _SPACE | _bits("\v"),
    "upper": _bits(string.ascii_uppercase),
    "word": _WORD,
    "xdigit": _bits(string.hexdigits),
}
_CONTROLS: Final = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}


class Parser:
    """Parses one pattern. Raises BadPattern."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._any_case = False

    def parse(self) -> Node:
        """The whole pattern."""
        node = self._alternatives()
        if self._at < len(self._text):
            raise BadPattern(f"an unexpected ')' at {self._at}")
        return node

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        character = self._peek()
        if not character:
            raise BadPattern("it ends too early")
        self._at += 1
        return character

    def _skip(self, expected: str) -> bool:
        found = self._text.startswith(expected, self._at)
        self._at += len(expected) if found else 0
        return found

    def _alternatives(self) -> Node:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise BadPattern("its groups are nested too deeply")
        any_case = self._any_case
        branches = [self._sequence()]
        while self._skip("|"):
            branches.append(self._sequence())
        self._any_case = any_case
        self._depth -= 1
        return branches[0] if len(branches) == 1 else ("any of", branches)

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated())
        return ("all of", parts)

    def _repeated(self) -> Node:
        node = self._atom()
        times = self._times()
        while times is not None:
            self._skip("?")  # to match as little as possible makes no difference to what matches in all
            if self._peek() == "+":
                raise BadPattern("possessive repetition is not known")
            node = ("repeat", node, *times)
            times = self._times()
        return node

    def _times(self) -> tuple[int, int | None] | None:
        for mark, times in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._skip(mark):
                return times
        if self._peek() != "{":
            return None
        end = self._text.find("}", self._at)
        low, comma, high = self._text[self._at + 1 : end].partition(",")
        if end < 0 or not low.isdecimal() or not (high.isdecimal() or not high):
            # A brace that counts nothing stands for itself.
            return None
        self._at = end + 1
        least = int(low[:6])
        most = (int(high[:6]) if high else None) if comma else least
        if max(least, most or 0) > _MAX_REPEAT or (most is not None and most < least):
            raise BadPattern(f"a repetition of {{{low}{comma}{high}}}")
        return least, most

    def _atom(self) -> Node:
        character = self._take()
        match character:
            case "(":
                return self._group()
            case "[":
                return ("chars", self._set())
            case ".":
                return ("chars", _ALL & ~_bits("\n"))
            case "^":
                return ("start",)
            case "$":
                return ("end",)
            case "*" | "+" | "?":
                raise BadPattern(f"nothing to repeat at {self._at - 1}")
            case "\\":
                return self._escaped()
        return ("chars", self._one(character))

    def _group(self) -> Node:
        any_case = self._any_case
        if self._skip("?"):
            if self._skip("P<") or self._skip("<"):
                name = self._text[self._at : self._text.find(">", self._at)]
                if not name.isidentifier():
                    raise BadPattern("a group without a proper name")
                self._at += len(name) + 1
            elif not self._flags():
                return ("all of", [])
        node = self._alternatives()
        self._any_case = any_case
        if not self._skip(")"):
            raise BadPattern("a ')' is missing")
        return node

    def _flags(self) -> bool:
        """Reads `i:` and the like; False when the flags stand alone, as in `(?i)`."""
        on = True
        while True:
            match self._take():
                case "-":
                    on = False
                case "i":
                    self._any_case = on
                case "m" | "s" | "U":
                    pass  # they make no difference to names of one line
                case ":":
                    return True
                case ")":
                    return False
                case other:
                    raise BadPattern(f"'(?{other}' is not known")

    def _escaped(self) -> Node:
        character = self._take()
        if character == "A":
            return ("start",)
        if character == "z":
            return ("end",)
        if character == "Q":
            end = self._text.find("\\E", self._at)
            quoted = self._text[self._at : end if end >= 0 else len(self._text)]
            self._at += len(quoted) + (2 if end >= 0 else 0)
            return ("all of", [("chars", self._one(each)) for each in quoted])
        return ("chars", self._escaped_bits(character))

    def _escaped_bits(self, character: str) -> int:
        if character in _CLASSES:
            return _CLASSES[character]
        if character in _CONTROLS:
            return _bits(_CONTROLS[character])
        if character == "x":
            digits = self._take() + self._take()
            if not all(digit in string.hexdigits for digit in digits):
                raise BadPattern("'\\x' needs two hexadecimal digits")
            return self._one(chr(int(digits, 16)))
        if character.isalnum():
            raise BadPattern(f"'\\{character}' is not known")
        return self._one(character)

    def _set(self) -> int:
        negated = self._skip("^")
        bits, first = 0, True
        while first or self._peek() != "]":
            first = False
            if self._skip("[:"):
                bits |= self._named()
                continue
            low = self._element()
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("", "]"):
                self._at += 1
                bits |= self._range(low, self._element())
            else:
                bits |= low
        self._at += 1
        return _ALL & ~bits if negated else bits

    def _named(self) -> int:
        negated = self._skip("^")
        name = self._text[self._at : self._text.find(":]", self._at)]
        if name not in _NAMED:
            raise BadPattern(f"'[:{name}:]' is not known")
        self._at += len(name) + 2
        return _ALL & ~_NAMED[name] if negated else _NAMED[name]

    def _element(self) -> int:
        character = self._take()
        return self._escaped_bits(self._take()) if character == "\\" else self._one(character)

    def _range(self, low: int, high: int) -> int:
        # With (?i) an end stands for a letter in both cases; the range is made of each pair.
        if any(bits.bit_count() not in (1, 2) for bits in (low, high)):
            raise BadPattern("a range between sets of characters")
        bits = 0
        for first, last in zip(_positions(low), _positions(high), strict=False):
            if last < first:
                raise BadPattern("a range that runs backwards")
            bits |= (1 << last + 1) - (1 << first)
        return bits

    def _one(self, character: str) -> int:
        if ord(character) > 127:
            # No topic's name has it: it matches nothing.
            return 0
        return _bits(character.lower() + character.upper()) if self._any_case else _bits(character)


def _positions(bits: int) -> list[int]:
    return [position for position in range(128) if bits >> position & 1]
