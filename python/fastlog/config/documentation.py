"""Generates parts of docs/configuration.md: `python -m fastlog.config.documentation docs/configuration.md`.

A part stands between `<!-- NAME: generated -->` and `<!-- end -->`; a test compares it with the definitions.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from fastlog.config.definitions import BROKER_KEYS
from fastlog.config.definitions.of_topics import TOPIC_KEYS
from fastlog.config.keys import ConfigKey, Unused, UpdateMode

__all__ = ["with_generated_parts"]

_PART: Final = re.compile(r"(<!-- (\w+): generated -->\n).*?(<!-- end -->)", re.DOTALL)


def with_generated_parts(document: str) -> str:
    """The document with all generated parts brought up to date."""
    return _PART.sub(lambda found: f"{found[1]}{_PARTS[found[2]]()}\n{found[3]}", document)


def _own_keys() -> str:
    rows = (
        f"| `{key.name}` | {key.type.name.lower()} | `{key.default}` | {_changes(key)} | {key.doc} |"
        for key in BROKER_KEYS.values()
        if key.name.startswith("fastlog.")
    )
    return _table("| key | type | default | at run time | |", rows)


def _kafka_keys() -> str:
    rows = (
        f"| `{key.name}` | {_shown_default(key)} | {_changes(key)} | {key.doc} |"
        for key in sorted(BROKER_KEYS.values(), key=lambda key: key.name)
        if key.unused is None and not key.internal and not key.name.startswith("fastlog.")
    )
    return _table("| key | default | at run time | |", rows)


def _topic_keys() -> str:
    rows = (
        f"| `{entry.key.name}` | {', '.join(f'`{name}`' for name in entry.synonyms)} | {entry.key.doc} |"
        for _, entry in sorted(TOPIC_KEYS.items())
    )
    return _table("| topic key | broker keys, the strongest first | |", rows)


def _unused_keys() -> str:
    lines = []
    for reason in Unused:
        names = sorted(f"`{key.name}`" for key in BROKER_KEYS.values() if key.unused is reason)
        if names:
            lines.append(f"* *{reason.value}*: {', '.join(names)}")
    return "\n".join(lines)


_PARTS: Final[dict[str, Callable[[], str]]] = {
    "own": _own_keys,
    "kafka": _kafka_keys,
    "topic": _topic_keys,
    "unused": _unused_keys,
}


def _table(head: str, rows: Iterator[str]) -> str:
    return "\n".join([head, "|-" * (head.count("|") - 1) + "|", *rows])


def _shown_default(key: ConfigKey) -> str:
    return "" if key.default is None else f"`{key.default}`"


def _changes(key: ConfigKey) -> str:
    return "yes" if key.update is UpdateMode.CLUSTER_WIDE else "no"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_generated_parts(path.read_text(encoding="utf-8")), encoding="utf-8")
