"""Error codes of answers as exceptions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from fastlog.client.errors import BrokerError, ClientError
from fastlog.errors import ErrorCode
from fastlog.wire import ApiKey, Response

__all__ = ["check", "each_of", "failure"]

K = TypeVar("K")
V = TypeVar("V")


def failure(code: int, message: str | None, answer: Response | ApiKey) -> BrokerError | None:
    """The error of a row in an answer, or None for code 0. An API alone tells no broker."""
    if code == ErrorCode.NONE:
        return None
    if isinstance(answer, ApiKey):
        return BrokerError(ErrorCode.of(code), message or None, api=answer)
    return BrokerError(ErrorCode.of(code), message or None, api=answer.API, answer=answer)


def check(code: int, message: str | None, answer: Response | ApiKey) -> None:
    """Raises BrokerError unless the code is 0."""
    error = failure(code, message, answer)
    if error is not None:
        raise error


def each_of(
    wanted: Iterable[K], found: Mapping[K, V | ClientError], answer: Response
) -> dict[K, V | ClientError]:
    """What was found of each, in that order; an error for those that the answer leaves out."""
    text = "the answer leaves it out"
    left_out = BrokerError(ErrorCode.UNKNOWN_SERVER_ERROR, text, api=answer.API, answer=answer)
    return {name: found.get(name, left_out) for name in wanted}
