"""Arguments of verbs: of which kind they are, and reading them out of JSON or out of a query's texts."""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal, Union, get_args, get_origin

from fastlog.verbs.problems import BadArgument

__all__ = ["Kind", "kind_of", "read_argument"]

_TRUE_FALSE: Final = {"true": True, "1": True, "false": False, "0": False}
_MOST: Final = 2**63 - 1
_MAX_ITEMS: Final = 100_000
_MAX_DIGITS: Final = 30


@dataclass(frozen=True, slots=True)
class Kind:
    """`name`: text, int, float, bool, choice, list, map, any. `of` is what lists and maps hold."""

    name: str
    nullable: bool = False
    choices: tuple[str, ...] = ()
    of: Kind | None = None

    def schema(self) -> dict[str, Any]:
        """As JSON Schema."""
        found: dict[str, Any] = {}
        if self.name != "any":
            found["type"] = [_SCHEMA_TYPES[self.name], "null"] if self.nullable else _SCHEMA_TYPES[self.name]
        if self.choices:
            found["enum"] = [*self.choices, *([None] if self.nullable else [])]
        if self.of is not None:
            found["items" if self.name == "list" else "additionalProperties"] = self.of.schema()
        return found


_SCHEMA_TYPES: Final = {
    "text": "string",
    "choice": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "list": "array",
    "map": "object",
}
_SIMPLE: Final = {str: "text", int: "int", float: "float", bool: "bool", Any: "any", object: "any"}


def kind_of(annotation: Any) -> Kind:
    """The kind of a keyword's type. Raises TypeError for a type that no verb may have."""
    if annotation in _SIMPLE:
        return Kind(_SIMPLE[annotation])
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        rest = [part for part in parts if part is not type(None)]
        if len(rest) == 1:
            inner = kind_of(rest[0])
            return Kind(inner.name, True, inner.choices, inner.of)
    if origin is Literal:
        return Kind("choice", choices=tuple(parts))
    if origin in (list, Sequence):
        return Kind("list", of=kind_of(parts[0]))
    if origin in (dict, Mapping) and parts[0] is str:
        return Kind("map", of=kind_of(parts[1]))
    raise TypeError(f"{annotation} is no type of an argument")


def read_argument(name: str, kind: Kind, value: object, *, texts: bool = False) -> Any:
    """The value. `texts`: numbers and truths are texts, lists have commas, or are JSON as maps are.

    Raises BadArgument.
    """
    if texts and isinstance(value, str):
        return _read_text(name, kind, value)
    if value is None and kind.nullable:
        return None
    if kind.name in ("list", "map"):
        return _read_several(name, kind, value)
    if not _is_of(kind, value):
        raise _problem(name, kind, value)
    return float(value) if kind.name == "float" and isinstance(value, int) else value


def _is_of(kind: Kind, value: object) -> bool:
    match kind.name:
        case "any":
            return True
        case "choice":
            return value in kind.choices
        case "text":
            return isinstance(value, str)
        case "bool":
            return isinstance(value, bool)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MOST
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _read_several(name: str, kind: Kind, value: object) -> Any:
    of = kind.of or Kind("any")
    if kind.name == "list" and isinstance(value, list) and len(value) <= _MAX_ITEMS:
        return [read_argument(f"{name}[{at}]", of, item) for at, item in enumerate(value)]
    if kind.name == "map" and isinstance(value, dict) and len(value) <= _MAX_ITEMS:
        return {key: read_argument(f"{name}.{key[:50]}", of, item) for key, item in value.items()}
    raise _problem(name, kind, value)


def _read_text(name: str, kind: Kind, text: str) -> Any:
    match kind.name:
        case "text" | "choice":
            return read_argument(name, kind, text)
        case "bool" if text.lower() in _TRUE_FALSE:
            return _TRUE_FALSE[text.lower()]
        case "int" | "float":
            return _read_number(name, kind, text)
        case "list" if not text.lstrip().startswith("["):
            parts = text.split(",") if text else []
            if len(parts) <= _MAX_ITEMS:
                return [_read_text(name, kind.of or Kind("any"), part) for part in parts]
        case "list" | "map" | "any":
            with suppress(ValueError, RecursionError):
                return read_argument(name, kind, json.loads(text))
    raise _problem(name, kind, text)


def _read_number(name: str, kind: Kind, text: str) -> Any:
    if text == "" and kind.nullable:
        return None
    if len(text) <= _MAX_DIGITS:
        with suppress(ValueError):
            return read_argument(name, kind, int(text) if kind.name == "int" else float(text))
    raise _problem(name, kind, text)


def _problem(name: str, kind: Kind, value: object) -> BadArgument:
    return BadArgument(f"{name}: {_shown(value)} is not {_words(kind)}")


def _words(kind: Kind) -> str:
    if kind.choices:
        return f"one of {', '.join(kind.choices)}"
    words = {"text": "a text", "int": "a whole number", "float": "a number", "bool": "true or false"}
    return words.get(kind.name, "a list" if kind.name == "list" else "an object")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
