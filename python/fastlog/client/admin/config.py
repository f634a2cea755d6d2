"""How an admin client works; names as in Kafka's configuration. Times in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastlog.client.client_config import ClientConfig, ClientOptions, check_least
from fastlog.client.option_checks import build

__all__ = ["AdminConfig", "AdminOptions"]


class AdminOptions(ClientOptions, total=False):
    """The keywords of `AdminConfig`, for type checkers and editors; a test compares the two."""

    default_api_timeout_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminConfig(ClientConfig):
    """Raises ConfigError for values that cannot work."""

    default_api_timeout_ms: int = 60_000
    """How long a call may take as a whole, whatever is asked again."""

    def __post_init__(self) -> None:
        ClientConfig.__post_init__(self)
        check_least({"default.api.timeout.ms": (self.default_api_timeout_ms, 1)})

    @classmethod
    def of(cls, options: Mapping[str, object], config: Mapping[str, object] | None) -> AdminConfig:
        """Out of keywords and dotted names. Raises ConfigError."""
        return build(cls, options, config)
