"""What a request to a broker may fail with: one hierarchy under `KafkaError`, a class for each error code.

`ClientError(code, ...)` and `BrokerError(code, ...)` make an instance of the class of that code
(`fastlog.errors.by_code`), so that `except errors.IllegalGeneration` catches it. A BrokerError is what a
broker answered; the same code without it is what the client found out by itself. The text names the API, the
broker and the correlation id of the request where they are known, and the code where a broker sent one.
"""

from __future__ import annotations

from typing import Any, Final, Protocol, Self

from fastlog.errors import ErrorCode, KafkaError

__all__ = [
    "BadResponse",
    "BrokerError",
    "ClientError",
    "ConnectionFailed",
    "NamedApi",
    "NetworkException",
    "Origin",
    "RequestTimedOut",
    "UnknownServerError",
    "Unreachable",
    "UnsupportedVersion",
    "VersionMismatch",
]


class NamedApi(Protocol):
    """An API of the protocol (`fastlog.wire.ApiKey`)."""

    @property
    def title(self) -> str:
        """Kafka's name of it."""
        ...


class Origin(Protocol):
    """An answer that knows where it came from (`fastlog.wire.Response`)."""

    @property
    def broker(self) -> str | None:
        """host:port."""
        ...

    @property
    def correlation_id(self) -> int | None:
        """The number of the request on its connection."""
        ...


class ClientError(KafkaError):
    """Base of what a client of a broker raises. `broker` is `host:port`; None: no single one is meant.

    `answer` is the answer that holds the error code: it says which broker sent it, and to which request.
    """

    def __new__(cls, *args: Any, **_: Any) -> Self:
        """The class of the code, where only the base was named."""
        if cls is ClientError or cls is BrokerError:
            # 130 classes: not made before one is needed.
            from fastlog.errors.by_code import answered, found_out

            made = found_out(args[0]) if cls is ClientError else answered(args[0])
            return super().__new__(made)  # type: ignore[return-value] # a subclass of `cls`
        return super().__new__(cls)

    def __init__(
        self,
        code: ErrorCode,
        message: str | None = None,
        *,
        api: NamedApi | None = None,
        broker: str | None = None,
        correlation_id: int | None = None,
        answer: Origin | None = None,
    ) -> None:
        super().__init__(code, message)
        self.api: Final = api
        self.broker: Final = answer.broker if broker is None and answer is not None else broker
        self.correlation_id: Final = (
            answer.correlation_id if correlation_id is None and answer is not None else correlation_id
        )
        """The request on its connection, as brokers' logs have it; None where no request failed."""

    def __str__(self) -> str:
        where = [] if self.api is None else [self.api.title]
        if self.broker is not None:
            where.append(f"at {self.broker}" if where else self.broker)
        if self.correlation_id is not None:
            where.append(f"[{self.correlation_id}]")
        return f"{' '.join(where)}: {self.message}" if where else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors cross process borders with all that they say."""
        base = BrokerError if isinstance(self, BrokerError) else type(self)
        known = {"api": self.api, "broker": self.broker, "correlation_id": self.correlation_id}
        return _rebuilt, (base, self.code, self.message, known, self.__dict__)


class BrokerError(ClientError):
    """An error code in a broker's answer."""

    def __init__(
        self,
        code: ErrorCode,
        message: str | None = None,
        *,
        api: NamedApi | None = None,
        broker: str | None = None,
        correlation_id: int | None = None,
        answer: Origin | None = None,
    ) -> None:
        ClientError.__init__(
            self, code, message, api=api, broker=broker, correlation_id=correlation_id, answer=answer
        )

    def __str__(self) -> str:
        return f"{ClientError.__str__(self)} ({self.code.name})"


class NetworkException(ClientError):
    """NETWORK_EXCEPTION: the connection failed."""


class ConnectionFailed(NetworkException):
    """No connection could be made, or it died before the answer came.

    `sent` tells whether the request may have reached the broker, so that it may have taken effect.
    """

    def __init__(
        self,
        message: str,
        *,
        api: NamedApi | None = None,
        broker: str | None = None,
        correlation_id: int | None = None,
        sent: bool = False,
    ) -> None:
        super().__init__(
            ErrorCode.NETWORK_EXCEPTION, message, api=api, broker=broker, correlation_id=correlation_id
        )
        self.sent: Final = sent


class Unreachable(ConnectionFailed):
    """Nobody can be reached: no bootstrap address answers, or a broker advertises a useless address.

    Trying again at once does not help; the text says what to change.
    """


class RequestTimedOut(ClientError):
    """REQUEST_TIMED_OUT: the answer, or the state that was waited for, did not come in time."""

    def __init__(
        self,
        message: str,
        *,
        api: NamedApi | None = None,
        broker: str | None = None,
        correlation_id: int | None = None,
    ) -> None:
        super().__init__(
            ErrorCode.REQUEST_TIMED_OUT, message, api=api, broker=broker, correlation_id=correlation_id
        )


class UnsupportedVersion(ClientError):
    """UNSUPPORTED_VERSION: the broker does not know the version of the request."""


class VersionMismatch(UnsupportedVersion):
    """Client and broker have no version of an API in common."""

    def __init__(self, message: str, *, api: NamedApi | None = None, broker: str | None = None) -> None:
        super().__init__(ErrorCode.UNSUPPORTED_VERSION, message, api=api, broker=broker)


class UnknownServerError(ClientError):
    """UNKNOWN_SERVER_ERROR: something that nobody expected; the broker's log says more."""


class BadResponse(UnknownServerError):
    """Bytes came that are no answer to what was asked. The connection is closed; it cannot be trusted."""

    def __init__(self, message: str, *, api: NamedApi | None = None, broker: str | None = None) -> None:
        super().__init__(ErrorCode.UNKNOWN_SERVER_ERROR, message, api=api, broker=broker)


def _rebuilt(
    kind: type[ClientError], code: ErrorCode, message: str, known: dict[str, Any], rest: dict[str, Any]
) -> ClientError:
    made = kind.__new__(kind, code)
    ClientError.__init__(made, code, message, **known)
    made.__dict__.update(rest)
    return made
