"""Options that all clients have: where the cluster is, who asks, how long one answer may take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from fastlog.errors import ConfigError

__all__ = ["ClientConfig", "ClientOptions", "check_least"]


class ClientOptions(TypedDict, total=False):
    """The keywords of `ClientConfig`."""

    client_id: str
    request_timeout_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """Times in milliseconds; names are those of Kafka's clients. Raises ConfigError for what cannot work."""

    bootstrap_servers: str | Sequence[str] = "127.0.0.1:9092"
    """Addresses that are asked first, `host:port`, several with commas or as a sequence."""
    client_id: str = "fastlog"
    """What brokers call the client in logs, metrics and quotas."""
    request_timeout_ms: int = 30_000
    """How long a broker may take for one answer."""

    def __post_init__(self) -> None:
        check_least({"request.timeout.ms": (self.request_timeout_ms, 1)})


def check_least(limits: dict[str, tuple[float, float]]) -> None:
    """Raises ConfigError for the first key whose value is less than it may be."""
    for key, (value, least) in limits.items():
        if value < least:
            raise ConfigError(key, f"{value} is less than {least}")
