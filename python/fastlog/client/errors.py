"""What the client raises: the errors of requests (`fastlog.errors.requests`)."""

from __future__ import annotations

from fastlog.errors.requests import (
    BadResponse,
    BrokerError,
    ClientError,
    ConnectionFailed,
    RequestTimedOut,
    Unreachable,
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
