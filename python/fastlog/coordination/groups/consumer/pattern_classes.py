"""Sets of ASCII characters for regular expressions, as bits: what `\\d`, `[:alpha:]` and `\\pL` stand for."""

from __future__ import annotations

import string
import unicodedata
from typing import Final

ALL: Final = (1 << 128) - 1


def bits(characters: str) -> int:
    """The set of these characters."""
    return sum(1 << ord(character) for character in set(characters))


LETTERS: Final = bits(string.ascii_letters)
DIGITS: Final = bits(string.digits)
WORD: Final = LETTERS | DIGITS | bits("_")
_SPACE: Final = bits("\t\n\f\r ")

CLASSES: Final = {
    "d": DIGITS,
    "D": ALL & ~DIGITS,
    "w": WORD,
    "W": ALL & ~WORD,
    "s": _SPACE,
    "S": ALL & ~_SPACE,
}
"""By the letter after a backslash."""

NAMED: Final = {
    "alnum": LETTERS | DIGITS,
    "alpha": LETTERS,
    "ascii": ALL,
    "blank": bits("\t "),
    "cntrl": bits("".join(map(chr, [*range(32), 127]))),
    "digit": DIGITS,
    "graph": bits("".join(map(chr, range(33, 127)))),
    "lower": bits(string.ascii_lowercase),
    "print": bits("".join(map(chr, range(32, 127)))),
    "punct": bits(string.punctuation),
    "space": _SPACE | bits("\v"),
    "upper": bits(string.ascii_uppercase),
    "word": WORD,
    "xdigit": bits(string.hexdigits),
}
"""By the name between `[:` and `:]`."""

CONTROLS: Final = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}

_CATEGORIES: Final = {
    "C": "cfos",
    "L": "lmotu",
    "M": "cen",
    "N": "dlo",
    "P": "cdefios",
    "S": "ckmo",
    "Z": "lps",
}


def unicode_class(name: str) -> int | None:
    """The ASCII part of a general category such as `Lu` or `L`, or of a script; None for an unknown name.

    Of the scripts Latin and Common are known: the others have no ASCII character.
    """
    if name == "Any":
        return ALL
    if name in ("Latin", "Common"):
        return LETTERS if name == "Latin" else ALL & ~LETTERS
    minor = _CATEGORIES.get(name[:1])
    if minor is None or len(name) > 2 or name[1:] not in minor:
        return None
    return bits("".join(chr(code) for code in range(128) if unicodedata.category(chr(code)).startswith(name)))
