"""Types of configuration values and their text form, as Kafka's ConfigDef reads and writes them."""

from __future__ import annotations

import math
import re
from enum import IntEnum
from typing import Final

from fastlog.base.secrets import MASK

__all__ = ["MASK", "ConfigType", "Value", "format_value", "parse_value"]

Value = bool | int | float | str | tuple[str, ...] | None
"""A parsed value: LIST is a tuple, CLASS and PASSWORD are text, None is "not set"."""


class ConfigType(IntEnum):
    """Type of a value. The numbers are those of `config_type` in DescribeConfigs v3+."""

    BOOLEAN = 1
    STRING = 2
    INT = 3
    SHORT = 4
    LONG = 5
    DOUBLE = 6
    LIST = 7
    CLASS = 8
    PASSWORD = 9


_INTEGER: Final = re.compile(r"[+-]?[0-9]+\Z")
_DOUBLE: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?[dDfF]?\Z")
_BITS: Final = {ConfigType.SHORT: 16, ConfigType.INT: 32, ConfigType.LONG: 64}


def parse_value(kind: ConfigType, text: str) -> Value:
    """The value that `text` stands for. Raises ValueError with a phrase such as "is not a whole number"."""
    text = text.strip()
    if kind is ConfigType.BOOLEAN:
        return _parse_boolean(text)
    if kind in _BITS:
        return _parse_integer(text, _BITS[kind])
    if kind is ConfigType.DOUBLE:
        return _parse_double(text)
    if kind is ConfigType.LIST:
        return tuple(re.split(r"\s*,\s*", text)) if text else ()
    return text


def format_value(kind: ConfigType, value: Value) -> str | None:
    """The text of a value as Kafka prints it; None stays None."""
    if value is None:
        return None
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if kind is ConfigType.DOUBLE:
        return _format_double(float(value))
    return str(value)


def _parse_boolean(text: str) -> bool:
    lowered = text.lower()
    if lowered not in ("true", "false"):
        raise ValueError("is neither true nor false")
    return lowered == "true"


def _parse_integer(text: str, bits: int) -> int:
    # Python's int() would also take underscores, spaces and digits of other scripts.
    if not _INTEGER.match(text):
        raise ValueError("is not a whole number")
    value = int(text) if len(text) <= 20 else None
    if value is None or not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
        raise ValueError(f"does not fit into {bits} bits")
    return value


def _parse_double(text: str) -> float:
    if not _DOUBLE.match(text):
        raise ValueError("is not a number")
    return float(text.rstrip("dDfF"))


def _format_double(value: float) -> str:
    """Java's Double.toString: 0.5 as it is, 1.0E10 and 1.7976931348623157E308 with an exponent."""
    if value == 0 or not math.isfinite(value) or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    from decimal import Decimal  # rarely needed, and not free to import

    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    text = "".join(map(str, digits))
    return f"{'-' if sign else ''}{text[0]}.{text[1:] or '0'}E{int(exponent) + len(text) - 1}"
