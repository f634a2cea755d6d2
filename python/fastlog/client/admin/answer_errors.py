"""Error codes of answers as exceptions."""

from __future__ import annotations

from fastlog.client.errors import BrokerError
from fastlog.errors import ErrorCode
from fastlog.wire import ApiKey

__all__ = ["check", "failure"]


def failure(code: int, message: str | None, api: ApiKey) -> BrokerError | None:
    """The error of a row in an answer, or None for code 0."""
    if code == ErrorCode.NONE:
        return None
    return BrokerError(ErrorCode.of(code), message or None, api=api)


def check(code: int, message: str | None, api: ApiKey) -> None:
    """Raises BrokerError unless the code is 0."""
    error = failure(code, message, api)
    if error is not None:
        raise error
