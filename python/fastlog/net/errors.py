"""What a request to a broker may fail with (`fastlog.errors.requests`), and what is wrong with a socket."""

from __future__ import annotations

import errno
import os
import ssl

from fastlog.errors.requests import (
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
    "VersionMismatch",
    "in_words",
]


def in_words(error: Exception) -> str:
    """What went wrong with a socket, for people."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused (no broker listens there)"
    if isinstance(error, ConnectionResetError):
        return "connection reset by the peer"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the broker's certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS with this peer ({error.reason or error})"
    if isinstance(error, OSError) and error.errno:
        name = errno.errorcode.get(error.errno, str(error.errno))
        return f"{os.strerror(error.errno)} ({name})"
    return str(error) or type(error).__name__
