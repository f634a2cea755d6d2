"""What the client raises: the errors of a connection (`fastlog.net.errors`), and one of its own."""

from __future__ import annotations

from fastlog.net.errors import (
    BadResponse,
    BrokerError,
    ClientError,
    ConnectionFailed,
    RequestTimedOut,
    VersionMismatch,
)

__all__ = [
    "BadResponse",
    "BrokerError",
    "ClientError",
    "ConnectionFailed",
    "RequestTimedOut",
    "Unreachable",
    "VersionMismatch",
]


class Unreachable(ConnectionFailed):
    """Nobody can be reached: no bootstrap address answers, or a broker advertises a useless address.

    Trying again at once does not help; the text says what to change.
    """
