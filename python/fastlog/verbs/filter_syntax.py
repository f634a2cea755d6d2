"""The language that chooses records: a small grammar with a parser of its own, and nothing that is evaluated.

    value.user.id == 17 and (key startswith "eu-" or headers.trace exists) and not value.items[0].sku ~ "A*"

    expression  and, or, not, parentheses; `and` binds closer than `or`
    comparison  PLACE (== != < <= > >= contains startswith endswith ~) LITERAL, or PLACE exists
    place       key value headers.NAME partition offset timestamp size; with a path: value.a.b[0]["c d"]
    literal     "text" 'text' 12 -3.5 true false null

`~` is a pattern for the whole text in which `*` stands for any characters. Text comparisons take the whole
key or value as it is shown; paths go into JSON, MessagePack and what schemas tell. What is not there compares
with nothing: neither `==` nor `!=` holds. There are no regular expressions, calls, loops or names: the work
for a record is bounded by the length of the filter and of the record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from fastlog.verbs.problems import BadArgument

__all__ = ["And", "Compare", "Exists", "Literal", "Node", "Not", "Or", "Place", "parse_filter"]

MAX_TEXT: Final = 2000
MAX_NODES: Final = 100
MAX_DEPTH: Final = 20
MAX_PATH: Final = 20

Literal = str | int | float | bool | None

_TOKEN: Final = re.compile(
    r"""\s*(?:
    (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<number>-?\d{1,18}(?:\.\d{1,15})?(?![\w.]))
    |(?P<op>==|!=|<=|>=|<|>|~|\(|\)|\[|\]|\.)
    |(?P<word>[A-Za-z_][\w-]*)
    )""",
    re.VERBOSE | re.ASCII,
)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r"}
_COMPARISONS: Final = frozenset({"==", "!=", "<", "<=", ">", ">=", "~", "contains", "startswith", "endswith"})
_ROOTS: Final = frozenset({"key", "value", "headers", "partition", "offset", "timestamp", "size"})
_CONSTANTS: Final[dict[str, Literal]] = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a record: a root, and names or indexes from there."""

    root: str
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Compare:
    """A place against a literal."""

    place: Place
    operator: str
    literal: Literal


@dataclass(frozen=True, slots=True)
class Exists:
    """Whether there is something."""

    place: Place


@dataclass(frozen=True, slots=True)
class Not:
    """The contrary."""

    part: Node


@dataclass(frozen=True, slots=True)
class And:
    """All of them."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """One of them."""

    parts: tuple[Node, ...]


Node = Compare | Exists | Not | And | Or


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def parse_filter(text: str) -> Node | None:
    """The tree; None for a blank text. Raises BadArgument, which says where."""
    if len(text) > MAX_TEXT:
        raise BadArgument(f"filter: has {len(text)} characters, at most {MAX_TEXT} are taken")
    if not text.strip():
        return None
    return _Parser(list(_tokens(text))).whole()


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    end = len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            begin = at + len(text[at:]) - len(text[at:].lstrip())
            raise BadArgument(
                f"filter, character {begin + 1}: {text[begin : begin + 20]!r} is not understood"
            )
        yield _Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup))
        at = match.end()
    yield _Token("end", "", end)


class _Parser:
    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._nodes = 0

    def whole(self) -> Node:
        found = self._either(0)
        if self._token.kind != "end":
            raise self._problem("and, or, or the end")
        return found

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _problem(self, expected: str) -> BadArgument:
        token = self._token
        found = f"{token.text[:40]!r}" if token.kind != "end" else "the end"
        return BadArgument(f"filter, character {token.at + 1}: expected {expected}, found {found}")

    def _takes(self, kind: str, *texts: str) -> bool:
        token = self._token
        if token.kind != kind or (texts and token.text not in texts):
            return False
        self._next += 1
        return True

    def _expect(self, kind: str, text: str) -> None:
        if not self._takes(kind, text):
            raise self._problem(text)

    def _made(self, node: Node) -> Node:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise BadArgument(f"filter: has more than {MAX_NODES} parts")
        return node

    def _either(self, depth: int) -> Node:
        parts = [self._all(depth)]
        while self._takes("word", "or"):
            parts.append(self._all(depth))
        return parts[0] if len(parts) == 1 else self._made(Or(tuple(parts)))

    def _all(self, depth: int) -> Node:
        parts = [self._one(depth)]
        while self._takes("word", "and"):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else self._made(And(tuple(parts)))

    def _one(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise BadArgument(f"filter: is nested more than {MAX_DEPTH} deep")
        if self._takes("word", "not"):
            return self._made(Not(self._one(depth + 1)))
        if self._takes("op", "("):
            found = self._either(depth + 1)
            self._expect("op", ")")
            return found
        place = self._place()
        if self._takes("word", "exists"):
            return self._made(Exists(place))
        token = self._token
        if token.text not in _COMPARISONS or token.kind not in ("op", "word"):
            raise self._problem("a comparison")
        self._next += 1
        literal = self._literal()
        if token.text in ("~", "contains", "startswith", "endswith") and not isinstance(literal, str):
            raise BadArgument(f"filter, character {token.at + 1}: {token.text} wants a text")
        if token.text in ("<", "<=", ">", ">=") and (literal is None or isinstance(literal, bool)):
            raise BadArgument(f"filter, character {token.at + 1}: {token.text} wants a number or a text")
        return self._made(Compare(place, token.text, literal))

    def _place(self) -> Place:
        token = self._token
        if token.kind != "word" or token.text not in _ROOTS:
            raise self._problem(f"one of {', '.join(sorted(_ROOTS))}")
        self._next += 1
        path: list[str | int] = []
        while True:
            if self._takes("op", "."):
                name = self._token
                if not (self._takes("word") or self._takes("number")):
                    raise self._problem("a name")
                path.append(name.text)
            elif self._takes("op", "["):
                path.append(self._index())
                self._expect("op", "]")
            else:
                break
            if len(path) > MAX_PATH:
                raise BadArgument(f"filter: a path has more than {MAX_PATH} steps")
        self._check_path(token, path)
        return Place(token.text, tuple(path))

    def _check_path(self, token: _Token, path: Sequence[str | int]) -> None:
        takes = {"key": True, "value": True, "headers": len(path) == 1}.get(token.text, not path)
        if not takes:
            text = "names one header" if token.text == "headers" else "has no parts"
            raise BadArgument(f"filter, character {token.at + 1}: {token.text} {text}")

    def _index(self) -> str | int:
        token = self._token
        if self._takes("text"):
            return _unquoted(token.text)
        if self._takes("number") and token.text.isdecimal():
            return int(token.text)
        raise self._problem("a number or a text")

    def _literal(self) -> Literal:
        token = self._token
        if self._takes("text"):
            return _unquoted(token.text)
        if self._takes("number"):
            return float(token.text) if "." in token.text else int(token.text)
        if token.text in _CONSTANTS and self._takes("word"):
            return _CONSTANTS[token.text]
        raise self._problem("a text in quotes, a number, true, false or null")


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text[1:-1], flags=re.DOTALL)
