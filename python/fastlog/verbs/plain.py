"""Results of verbs as what JSON has: dictionaries, lists, texts, numbers, null."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any

__all__ = ["plain"]


def plain(value: object) -> Any:
    """A dataclass by its fields' names, in their order; names of enums. Raises TypeError for other things."""
    if value is None or isinstance(value, bool | int | float | str):
        return value.name.lower() if isinstance(value, Enum) else value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {name: plain(getattr(value, name)) for name in _names(type(value))}
    raise TypeError(f"{type(value).__name__} has no place in JSON")


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))
