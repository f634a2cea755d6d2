"""Values of settings as brokers want them: texts."""

from __future__ import annotations

__all__ = ["SettingValue", "as_text"]

SettingValue = str | int | float | bool
"""What a setting may be given as."""


def as_text(value: SettingValue) -> str:
    """`true`, `7200000`, `0.5`. Raises TypeError for what is no such value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise TypeError(f"a setting is a text, a number or true or false: {value!r}")
