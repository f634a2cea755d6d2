"""`--print-config`: values with the places they come from. Passwords are masked."""

from __future__ import annotations

import json
from collections.abc import Iterator

from fastlog.base.quick_dataclass import dataclass
from fastlog.config import BROKER_KEYS, BrokerConfig, Source
from fastlog.config.definitions import key_or_plugins

__all__ = ["config_as_json", "config_as_text"]


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    value: str | None
    source: Source
    origin: str
    no_effect: str | None


def config_as_text(config: BrokerConfig) -> str:
    """Keys that were set, and defaults that have an effect: one line each, sorted."""
    lines = [line for line in _lines(config) if line.source is not Source.DEFAULT or line.no_effect is None]
    rows = [(f"{line.name}={'' if line.value is None else line.value}", _remark(line)) for line in lines]
    width = min(60, max(len(row[0]) for row in rows))
    return "\n".join(f"{text:<{width}}  # {remark}" for text, remark in rows)


def config_as_json(config: BrokerConfig) -> str:
    """All keys, one object each."""
    keys = [
        {
            "name": line.name,
            "value": line.value,
            "source": line.source.value,
            "origin": line.origin,
            "has_effect": line.no_effect is None,
            "no_effect_because": line.no_effect,
        }
        for line in _lines(config)
    ]
    return json.dumps(
        {"keys": keys, "warnings": list(config.layers.settings.notes)}, indent=2, ensure_ascii=False
    )


def _remark(line: _Line) -> str:
    where = line.source.value if line.origin == "" else f"{line.source.value} {line.origin}"
    return where if line.no_effect is None else f"{where}; no effect: {line.no_effect}"


def _lines(config: BrokerConfig) -> Iterator[_Line]:
    settings = config.layers.settings
    for name in sorted({*BROKER_KEYS, *settings.values}):
        key = key_or_plugins(name)
        if key.internal and name not in settings.values:
            continue
        setting = settings.values.get(name)
        text = setting.text if setting is not None else settings.default(name)
        value = None if text is None else key.format(key.parse(text))
        yield _Line(
            name,
            value,
            Source.DEFAULT if setting is None else setting.source,
            "" if setting is None else setting.origin,
            None if key.unused is None else key.unused.value,
        )
