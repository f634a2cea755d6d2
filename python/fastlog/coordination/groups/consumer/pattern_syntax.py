"""The parser of regular expressions in RE2's syntax: from text to nested tuples.

| node                         | matches                                               |
|------------------------------|-------------------------------------------------------|
| ("chars", bits)              | one character whose bit is set                        |
| ("start",), ("end",)         | nothing, at the start or the end of the name          |
| ("boundary", is_one)         | nothing, where a word begins or ends (or does not)    |
| ("all of", [nodes])          | one after the other                                   |
| ("any of", [nodes])          | one of them                                           |
| ("repeat", node, low, high)  | so many times; high is None for any number            |
"""

from __future__ import annotations

import string
from typing import Any, Final, TypeAlias

from fastlog.coordination.groups.consumer.pattern_classes import (
    ALL,
    CLASSES,
    CONTROLS,
    NAMED,
    bits,
    unicode_class,
)
from fastlog.errors import FastlogError

Node: TypeAlias = tuple[Any, ...]

_MAX_REPEAT: Final = 1000
_MAX_DEPTH: Final = 100
_MAX_CODE: Final = 0x10FFFF
_OCTAL: Final = "01234567"


class BadPattern(FastlogError):
    """A regular expression that is not valid here; the text says why."""


class Parser:
    """Parses one pattern. Raises BadPattern."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._any_case = False
        self._names: set[str] = set()

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
            if self._skip("\\Q"):
                quoted = self._quoted()
                parts += [("chars", self._one(each)) for each in quoted[:-1]]
                if quoted:
                    # Of a quoted text the last character is what a repetition is about.
                    parts.append(self._repeated(("chars", self._one(quoted[-1]))))
            else:
                parts.append(self._repeated(self._atom()))
        return ("all of", parts)

    def _quoted(self) -> str:
        end = self._text.find("\\E", self._at)
        quoted = self._text[self._at : end if end >= 0 else len(self._text)]
        self._at += len(quoted) + (2 if end >= 0 else 0)
        return quoted

    def _repeated(self, node: Node) -> Node:
        times = self._times()
        if times is None:
            return node
        self._skip("?")  # to match as little as possible makes no difference to what matches in all
        if self._times() is not None:
            raise BadPattern("a repetition of a repetition")
        return ("repeat", node, *times)

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
                return ("chars", ALL & ~bits("\n"))
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
                self._group_name()
            elif not self._flags():
                return ("all of", [])
        node = self._alternatives()
        self._any_case = any_case
        if not self._skip(")"):
            raise BadPattern("a ')' is missing")
        return node

    def _group_name(self) -> None:
        name = self._text[self._at : self._text.find(">", self._at)]
        if not name.isascii() or not name.replace("_", "a").isalnum():
            raise BadPattern("a group without a proper name")
        if name in self._names:
            raise BadPattern(f"two groups have the name '{name}'")
        self._names.add(name)
        self._at += len(name) + 1

    def _flags(self) -> bool:
        """Reads `i:` and the like; False when the flags stand alone, as in `(?i)`."""
        on, is_dash_last = True, False
        while True:
            character = self._take()
            if is_dash_last and character in "-:)":
                raise BadPattern("a '-' that turns no flag off")
            is_dash_last = character == "-"
            match character:
                case "-" if on:
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
        if character in "bB":
            return ("boundary", character == "b")
        return ("chars", self._escaped_bits(character))

    def _escaped_bits(self, character: str) -> int:
        if character in CLASSES:
            return CLASSES[character]
        if character in CONTROLS:
            return bits(CONTROLS[character])
        if character in "pP":
            return self._unicode(negated=character == "P")
        if character == "x":
            return self._one(self._hexadecimal())
        if character == "0" or (character in _OCTAL and self._peek() and self._peek() in _OCTAL):
            return self._one(self._octal(character))
        if character.isascii() and character.isalnum():
            raise BadPattern(f"'\\{character}' is not known")
        return self._one(character)

    def _unicode(self, *, negated: bool) -> int:
        name = self._take()
        if name == "{":
            name = self._until("}")
            if name.startswith("^"):
                negated, name = not negated, name[1:]
        found = unicode_class(name)
        if found is None:
            raise BadPattern(f"the class of characters '{name}' is not known")
        return ALL & ~found if negated else found

    def _hexadecimal(self) -> str:
        digits = self._until("}") if self._skip("{") else self._take() + self._take()
        if (
            not digits
            or not all(digit in string.hexdigits for digit in digits)
            or int(digits, 16) > _MAX_CODE
        ):
            raise BadPattern("'\\x' needs two hexadecimal digits, or the number of a character in braces")
        return chr(int(digits, 16))

    def _octal(self, digits: str) -> str:
        while len(digits) < 3 and self._peek() and self._peek() in _OCTAL:
            digits += self._take()
        return chr(int(digits, 8))

    def _until(self, end: str) -> str:
        at = self._text.find(end, self._at)
        if at < 0:
            raise BadPattern(f"'{end}' is missing")
        text = self._text[self._at : at]
        self._at = at + len(end)
        return text

    def _set(self) -> int:
        negated = self._skip("^")
        found, first = 0, True
        while first or self._peek() != "]":
            first = False
            if self._text.startswith("[:", self._at) and ":]" in self._text[self._at :]:
                self._at += 2
                found |= self._named()
                continue
            # A dash after a class of characters stands for itself.
            is_class = self._text.startswith(
                ("\\d", "\\D", "\\s", "\\S", "\\w", "\\W", "\\p", "\\P"), self._at
            )
            low = self._element()
            is_range = self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("", "]")
            if is_range and not is_class:
                self._at += 1
                found |= self._range(low, self._element())
            else:
                found |= low
        self._at += 1
        return ALL & ~found if negated else found

    def _named(self) -> int:
        negated = self._skip("^")
        name = self._text[self._at : self._text.find(":]", self._at)]
        if name not in NAMED:
            raise BadPattern(f"'[:{name}:]' is not known")
        self._at += len(name) + 2
        return ALL & ~NAMED[name] if negated else NAMED[name]

    def _element(self) -> int:
        character = self._take()
        return self._escaped_bits(self._take()) if character == "\\" else self._one(character)

    def _range(self, low: int, high: int) -> int:
        # With (?i) an end stands for a letter in both cases; the range is made of each pair.
        if any(end.bit_count() not in (1, 2) for end in (low, high)):
            raise BadPattern("a range between sets of characters")
        found = 0
        for first, last in zip(_positions(low), _positions(high), strict=False):
            if last < first:
                raise BadPattern("a range that runs backwards")
            found |= (1 << last + 1) - (1 << first)
        return found

    def _one(self, character: str) -> int:
        if ord(character) > 127:
            # No topic's name has it: it matches nothing.
            return 0
        return bits(character.lower() + character.upper()) if self._any_case else bits(character)


def _positions(found: int) -> list[int]:
    return [position for position in range(128) if found >> position & 1]
