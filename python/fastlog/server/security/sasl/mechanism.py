"""What every mechanism is to its listener: tokens in, tokens out, and in the end a user."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from fastlog.base.quick_dataclass import dataclass

__all__ = ["AuthenticationFailed", "MakeServer", "Server", "Step"]


class AuthenticationFailed(Exception):
    """The peer is not who it says, or does not speak the mechanism. The text is for the peer: it reveals
    nothing that it does not know."""


@dataclass(frozen=True, slots=True)
class Step:
    """The answer to one token. `user` is set by the last one; `expires_at` (milliseconds of wall time) where
    what was shown has an end; `by_token` where it was a delegation token."""

    token: bytes
    user: str | None = None
    expires_at: int | None = None
    by_token: bool = False


class Server(Protocol):
    """One exchange of tokens."""

    def step(self, token: bytes) -> Step:
        """Takes the next token of the peer. Raises AuthenticationFailed."""
        ...


MakeServer = Callable[[], Server]


def malformed(mechanism: str) -> AuthenticationFailed:
    """Kafka's words for whatever it does not want to explain."""
    return AuthenticationFailed(
        f"Authentication failed during authentication due to invalid credentials with SASL mechanism "
        f"{mechanism}"
    )
