"""What is configured of delegation tokens (KIP-48): without a key, brokers have none."""

from __future__ import annotations

from dataclasses import field
from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.config.layers import Layers

__all__ = ["SECRET_KEY", "TokenSettings", "token_settings"]

SECRET_KEY: Final = "delegation.token.secret.key"  # noqa: S105 - the name of a key
_KEYS: Final = (SECRET_KEY, "delegation.token.master.key")
"""The first one that is set."""


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """`key` makes the secrets of tokens. Times in milliseconds."""

    key: bytes = field(repr=False)
    max_lifetime_ms: int
    expiry_ms: int
    check_interval_ms: int
    max_count: int


def token_settings(layers: Layers) -> TokenSettings | None:
    """None where there is no key, or it is empty."""
    # As in Kafka: an empty key is one, and switches tokens off.
    key = next((value for value in map(layers.value, _KEYS) if value is not None), "")
    if not isinstance(key, str) or not key:
        return None
    return TokenSettings(
        key.encode(),
        max_lifetime_ms=_number(layers, "delegation.token.max.lifetime.ms"),
        expiry_ms=_number(layers, "delegation.token.expiry.time.ms"),
        check_interval_ms=_number(layers, "delegation.token.expiry.check.interval.ms"),
        max_count=_number(layers, "fastlog.delegation.token.max.count"),
    )


def _number(layers: Layers, key: str) -> int:
    value = layers.value(key)
    if not isinstance(value, int):
        raise TypeError(key)
    return value
