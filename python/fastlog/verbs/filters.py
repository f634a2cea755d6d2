"""Whether a record is one that a filter chooses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from fastlog.verbs.decoders import NO_TREE, Part
from fastlog.verbs.filter_syntax import And, Compare, Exists, Literal, Node, Not, Or, Place, parse_filter

__all__ = ["Fields", "Filter", "compile_filter"]

_MISSING: Final = object()


class Fields(Protocol):
    """What a filter asks of a record."""

    key: Part
    value: Part
    headers: list[tuple[str, Part]]
    partition: int
    offset: int
    timestamp: int

    @property
    def size(self) -> int:
        """Bytes of key and value."""


Filter = Callable[[Fields], bool]


def compile_filter(text: str | None) -> Filter | None:
    """None for no filter. Raises BadArgument."""
    tree = None if text is None else parse_filter(text)
    return None if tree is None else _node(tree)


def _node(node: Node) -> Filter:
    match node:
        case And(parts):
            every = [_node(part) for part in parts]
            return lambda record: all(part(record) for part in every)
        case Or(parts):
            some = [_node(part) for part in parts]
            return lambda record: any(part(record) for part in some)
        case Not(part):
            negated = _node(part)
            return lambda record: not negated(record)
        case Exists(place):
            look = _place(place)
            return lambda record: look(record) not in (_MISSING, None)
        case Compare(place, operator, literal):
            return _compare(_place(place), operator, literal)


def _compare(look: Callable[[Fields], Any], operator: str, literal: Literal) -> Filter:
    if operator in _EQUALITY:
        wanted = operator == "=="
        return lambda record: (found := look(record)) is not _MISSING and _same(found, literal) is wanted
    if operator in _ORDER:
        order = _ORDER[operator]
        return lambda record: _comparable(found := look(record), literal) and order(found, literal)
    text = str(literal)
    if operator == "~":
        pieces = text.split("*")
        return lambda record: isinstance(found := look(record), str) and _matches(found, pieces)
    test = _TEXTS[operator]
    return lambda record: isinstance(found := look(record), str) and test(found, text)


_EQUALITY: Final = frozenset({"==", "!="})
_ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": lambda found, literal: bool(found < literal),
    "<=": lambda found, literal: bool(found <= literal),
    ">": lambda found, literal: bool(found > literal),
    ">=": lambda found, literal: bool(found >= literal),
}
_TEXTS: Final[dict[str, Callable[[str, str], bool]]] = {
    "contains": lambda found, text: text in found,
    "startswith": lambda found, text: found.startswith(text),
    "endswith": lambda found, text: found.endswith(text),
}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(found: object, literal: Literal) -> bool:
    if _is_number(found) and isinstance(literal, str):
        return str(found) == literal
    if isinstance(found, str) and _is_number(literal):
        # A key "17" is 17 for whoever looks for it.
        return found == str(literal)
    return isinstance(found, bool) == isinstance(literal, bool) and found == literal


def _comparable(found: object, literal: Literal) -> bool:
    return (_is_number(found) and _is_number(literal)) or (
        isinstance(found, str) and isinstance(literal, str)
    )


def _matches(text: str, pieces: Sequence[str]) -> bool:
    """Whether the pieces come one after the other, the first at the start and the last at the end."""
    if len(pieces) == 1:
        return text == pieces[0]
    first, *middle, last = pieces
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for piece in middle:
        at = text.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True


def _place(place: Place) -> Callable[[Fields], Any]:
    root, path = place.root, place.path
    if root == "headers":
        name = str(path[0])
        return lambda record: next((_whole(part) for key, part in record.headers if key == name), _MISSING)
    if root in ("key", "value"):
        if not path:
            return lambda record: _whole(getattr(record, root))
        return lambda record: _inside(getattr(record, root), path)
    return lambda record: getattr(record, root)


def _whole(part: Part) -> Any:
    """The text as it is; a JSON number or truth (not in quotes) compares as such, too, by `_same`."""
    if part.data is None:
        return None
    text = part.text
    if text is None:
        shown, _ = part.shown(1 << 20)
        return shown["base64"] if isinstance(shown, dict) else shown
    return text


def _inside(part: Part, path: Sequence[str | int]) -> Any:
    found = part.tree
    if found is NO_TREE:
        return _MISSING
    for step in path:
        if isinstance(found, dict):
            found = found.get(str(step), _MISSING)
        elif isinstance(found, list) and str(step).isdecimal() and int(step) < len(found):
            found = found[int(step)]
        else:
            return _MISSING
    return found
