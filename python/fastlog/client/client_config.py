"""Options that all clients have: where the cluster is, who asks, how long one answer may take."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypedDict

from fastlog.client.security import security_of
from fastlog.errors import ConfigError

__all__ = ["ClientConfig", "ClientOptions", "check_least"]


class ClientOptions(TypedDict, total=False):
    """The keywords of `ClientConfig`."""

    client_id: str
    request_timeout_ms: int
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
    ssl_cafile: str | None
    ssl_certfile: str | None
    ssl_keyfile: str | None
    ssl_password: str | None
    ssl_check_hostname: bool
    ssl_context: ssl.SSLContext | None
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None
    sasl_username: str | None
    sasl_password: str | None
    sasl_delegation_token: bool
    sasl_oauth_token: Callable[[], str | Awaitable[str]] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """Times in milliseconds; names are those of Kafka's clients. Raises ConfigError for what cannot work."""

    bootstrap_servers: str | Sequence[str] = "127.0.0.1:9092"
    """Addresses that are asked first, `host:port`, several with commas or as a sequence."""
    client_id: str = "fastlog"
    """What brokers call the client in logs, metrics and quotas."""
    request_timeout_ms: int = 30_000
    """How long a broker may take for one answer."""

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """Whether connections are encrypted (SSL), and whether the client says who it is (SASL)."""
    ssl_cafile: str | None = None
    """Certificates of those who may sign a broker's, in a PEM file; None: those of the system."""
    ssl_certfile: str | None = None
    """The client's own certificate, in a PEM file."""
    ssl_keyfile: str | None = None
    """Its key; None: it is in `ssl_certfile`, too."""
    ssl_password: str | None = field(default=None, repr=False)
    """The password of the key."""
    ssl_check_hostname: bool = True
    """Whether a broker's certificate has to be that of the name by which it is reached."""
    ssl_context: ssl.SSLContext | None = None
    """Instead of all of these."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    """How the client proves who it is."""
    sasl_username: str | None = None
    """With PLAIN and SCRAM."""
    sasl_password: str | None = field(default=None, repr=False)
    """With PLAIN and SCRAM."""
    sasl_delegation_token: bool = False
    """Whether these are id and secret of a delegation token; with SCRAM."""
    sasl_oauth_token: Callable[[], str | Awaitable[str]] | None = None
    """With OAUTHBEARER: a function, of coroutines or not, that is asked for a token for each connection."""

    def __post_init__(self) -> None:
        check_least({"request.timeout.ms": (self.request_timeout_ms, 1)})
        security_of(self)


def check_least(limits: dict[str, tuple[float, float]]) -> None:
    """Raises ConfigError for the first key whose value is less than it may be."""
    for key, (value, least) in limits.items():
        if value < least:
            raise ConfigError(key, f"{value} is less than {least}")
