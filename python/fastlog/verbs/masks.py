"""What nobody who looks at records is to see: rules that are applied before anything leaves the desk.

    [{"topic": "users*", "part": "value", "field": "email"},
     {"topic": "payments", "part": "value", "field": "**.card", "how": "hash"},
     {"topic": "secrets", "part": "*"}]

`part` is key, value, headers or `*`; `field` a path into JSON (`*` stands for any name or item, `**` for
any number of them), a header's name for headers; without one the whole part. `how`: `stars` (three of
them), `hash` (the first 16 digits of an HMAC with a key of this process: equal values stay equal) or
`remove`. A part that is to be masked in a field, but is not JSON, is masked as a whole: a rule must not
end where it is not understood.

Filters see what is left, so that nobody asks for what they cannot see.
"""

from __future__ import annotations

import fnmatch
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fastlog.errors import ConfigError
from fastlog.verbs.decoders import NO_TREE, Part

__all__ = ["STARS", "Mask", "Masks", "read_masks"]

STARS: Final = "***"
_HOW: Final = ("stars", "hash", "remove")
_PARTS: Final = ("key", "value", "headers", "*")
_GONE: Final = object()
_MAX_DEPTH: Final = 64


@dataclass(frozen=True, slots=True)
class Mask:
    """One rule."""

    topic: str
    part: str = "value"
    path: tuple[str, ...] = ()
    how: str = "stars"


@dataclass(frozen=True, slots=True)
class Masks:
    """All rules; the key of the hashes."""

    rules: Sequence[Mask] = ()
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def of(self, topic: str) -> Masks:
        """Those that bear on a topic."""
        return Masks([rule for rule in self.rules if fnmatch.fnmatchcase(topic, rule.topic)], self.key)

    def bears_on(self, part: str) -> bool:
        """Whether any rule is about this part (key, value, headers)."""
        return any(rule.part in (part, "*") for rule in self.rules)

    def apply(self, part: str, found: Part) -> bool:
        """Masks a key or a value; whether anything was to be masked."""
        rules = [rule for rule in self.rules if rule.part in (part, "*")]
        if not rules or found.data is None:
            return False
        for rule in rules:
            if not rule.path:
                found.hide(self._instead(found.data, rule.how))
                return True
        tree = found.tree
        if tree is NO_TREE or not isinstance(tree, dict | list):
            found.hide(STARS)
            return True
        for rule in rules:
            tree = self._masked(tree, rule.path, rule.how, 0)
        found.replace_tree(tree)
        return True

    def header(self, name: str, found: Part) -> bool:
        """Masks a header's value; whether it was to be masked."""
        for rule in self.rules:
            whole = rule.part == "*" and not rule.path
            named = (rule.part == "headers" and not rule.path) or (
                rule.part in ("headers", "*") and rule.path == (name,)
            )
            if (whole or named) and found.data is not None:
                found.hide(self._instead(found.data, rule.how))
                return True
        return False

    def _masked(self, tree: Any, path: Sequence[str], how: str, depth: int) -> Any:
        if not path or depth > _MAX_DEPTH:
            if how == "remove":
                return _GONE
            return self._instead(json.dumps(tree, sort_keys=True).encode(), how)
        if path[0] == "**":
            tree = self._masked(tree, path[1:], how, depth + 1) if len(path) > 1 else _GONE
            return self._each(tree, "*", path, how, depth) if isinstance(tree, dict | list) else tree
        return self._each(tree, path[0], path[1:], how, depth)

    def _each(self, tree: Any, name: str, rest: Sequence[str], how: str, depth: int) -> Any:
        if isinstance(tree, dict):
            items = {
                key: self._masked(item, rest, how, depth + 1) if name in ("*", key) else item
                for key, item in tree.items()
            }
            return {key: item for key, item in items.items() if item is not _GONE}
        if isinstance(tree, list):
            if name != "*" and not name.isdecimal():
                # A path that does not name the items of a list means each of them.
                rows = [self._each(item, name, rest, how, depth + 1) for item in tree]
            else:
                rows = [
                    self._masked(item, rest, how, depth + 1) if name in ("*", str(at)) else item
                    for at, item in enumerate(tree)
                ]
            return [item for item in rows if item is not _GONE]
        return tree

    def _instead(self, data: bytes, how: str) -> str:
        if how == "hash":
            return hmac.new(self.key, data, hashlib.sha256).hexdigest()[:16]
        return STARS if how == "stars" else ""


def read_masks(path: Path) -> Masks:
    """The rules of a JSON file. Raises ConfigError: a rule that is not understood protects nothing."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(str(path), f"cannot be read: {error}") from None
    if not isinstance(rows, list):
        raise ConfigError(str(path), "is not a list of rules")
    return Masks([_rule(f"{path}, rule {at + 1}", row) for at, row in enumerate(rows)])


def _rule(where: str, row: object) -> Mask:
    if not isinstance(row, Mapping) or not all(isinstance(item, str) for item in row.values()):
        raise ConfigError(where, "is not an object of texts")
    unknown = sorted(set(row) - {"topic", "part", "field", "how"})
    if unknown or not row.get("topic"):
        raise ConfigError(where, f"has {', '.join(unknown)}" if unknown else "names no topic")
    part, how = row.get("part", "value"), row.get("how", "stars")
    if part not in _PARTS or how not in _HOW:
        raise ConfigError(where, f"part is one of {', '.join(_PARTS)}, how one of {', '.join(_HOW)}")
    text = row.get("field", "")
    path = (text,) if part == "headers" and text else tuple(text.split(".")) if text else ()
    if any(not name for name in path) or path[-1:] == ("**",):
        raise ConfigError(where, f"{text!r} is no path")
    return Mask(row["topic"], part, path, how)
