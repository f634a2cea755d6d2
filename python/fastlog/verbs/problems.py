"""What goes wrong, as `code` and `message`: the same in every JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from fastlog.errors import ConfigError, ErrorCode, FastlogError, KafkaError

__all__ = ["BadArgument", "NotFound", "Problem", "ReadOnly", "TooMuch", "problem_of"]

_WORDS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Problem:
    """`code` is Kafka's name of the error where it has one, else our own, such as READ_ONLY."""

    code: str
    message: str


class BadArgument(FastlogError):
    """An argument of a verb that cannot be used. Nothing has been tried."""


class ReadOnly(FastlogError):
    """Something was to be changed at a desk that may only look."""


class NotFound(FastlogError):
    """There is no such thing, and no error code of Kafka says so."""


class TooMuch(FastlogError):
    """More is asked for than is done at once."""


def problem_of(error: BaseException) -> Problem:
    """Any error."""
    if isinstance(error, ConfigError):
        return Problem("USAGE", str(error))
    if isinstance(error, KafkaError):
        if error.code is ErrorCode.NETWORK_EXCEPTION or not _is_brokers(error):
            return Problem(error.code.name, str(error))
        return Problem(error.code.name, error.message)
    if isinstance(error, TimeoutError):
        return Problem("TIMED_OUT", str(error) or "it took too long")
    if isinstance(error, OSError):
        text = error.strerror or str(error)
        name = f"{error.filename}: " if error.filename else ""
        return Problem("IO_ERROR", name + text)
    if isinstance(error, FastlogError):
        return Problem(_WORDS.sub("_", type(error).__name__).upper(), str(error))
    return Problem("DEFECT", f"{type(error).__name__}: {error}")


def _is_brokers(error: BaseException) -> bool:
    """Whether a broker said so; by name, so that errors of other kinds load no client."""
    return any(kind.__name__ == "BrokerError" for kind in type(error).__mro__)
