"""What a request to a broker may fail with: one hierarchy under `KafkaError`, so `code` and `retriable` are
always there.

The text names the API and the broker where they are known, and the error code where a broker sent one.
"""

from __future__ import annotations

import errno
import os
import ssl
from typing import Final

from fastlog.errors import ErrorCode, KafkaError
from fastlog.wire import APIS, ApiKey

__all__ = [
    "BadResponse",
    "BrokerError",
    "ClientError",
    "ConnectionFailed",
    "RequestTimedOut",
    "VersionMismatch",
    "in_words",
]


class ClientError(KafkaError):
    """Base of what a client of a broker raises. `broker` is `host:port`; None: no single one is meant."""

    def __init__(
        self,
        code: ErrorCode,
        message: str | None = None,
        *,
        api: ApiKey | None = None,
        broker: str | None = None,
    ) -> None:
        super().__init__(code, message)
        self.api: Final = api
        self.broker: Final = broker

    def __str__(self) -> str:
        where = [] if self.api is None else [APIS[self.api].name if self.api in APIS else self.api.name]
        if self.broker is not None:
            where.append(f"at {self.broker}" if where else self.broker)
        return f"{' '.join(where)}: {self.message}" if where else self.message


class BrokerError(ClientError):
    """An error code in a broker's answer."""

    def __str__(self) -> str:
        return f"{super().__str__()} ({self.code.name})"


class ConnectionFailed(ClientError):
    """No connection could be made, or it died before the answer came.

    `sent` tells whether the request may have reached the broker, so that it may have taken effect.
    """

    def __init__(
        self, message: str, *, api: ApiKey | None = None, broker: str | None = None, sent: bool = False
    ) -> None:
        super().__init__(ErrorCode.NETWORK_EXCEPTION, message, api=api, broker=broker)
        self.sent: Final = sent


class RequestTimedOut(ClientError):
    """The answer, or the state that was waited for, did not come in time."""

    def __init__(self, message: str, *, api: ApiKey | None = None, broker: str | None = None) -> None:
        super().__init__(ErrorCode.REQUEST_TIMED_OUT, message, api=api, broker=broker)


class VersionMismatch(ClientError):
    """Client and broker have no version of an API in common."""

    def __init__(self, message: str, *, api: ApiKey | None = None, broker: str | None = None) -> None:
        super().__init__(ErrorCode.UNSUPPORTED_VERSION, message, api=api, broker=broker)


class BadResponse(ClientError):
    """Bytes came that are no answer to what was asked. The connection is closed; it cannot be trusted."""

    def __init__(self, message: str, *, api: ApiKey | None = None, broker: str | None = None) -> None:
        super().__init__(ErrorCode.UNKNOWN_SERVER_ERROR, message, api=api, broker=broker)


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
