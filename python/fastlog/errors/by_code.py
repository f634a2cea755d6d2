"""A class for each error code of the protocol, named after it: ILLEGAL_GENERATION is `IllegalGeneration`.

They are made of the table of codes, when the first of them is asked for; `by_code.pyi` has their names for
editors and type checkers.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from fastlog.errors import ErrorCode
from fastlog.errors.requests import (
    BrokerError,
    ClientError,
    NetworkException,
    RequestTimedOut,
    UnknownServerError,
    UnsupportedVersion,
)

_MADE: Final[dict[ErrorCode, type[ClientError]]] = {
    ErrorCode.UNKNOWN_SERVER_ERROR: UnknownServerError,
    ErrorCode.REQUEST_TIMED_OUT: RequestTimedOut,
    ErrorCode.NETWORK_EXCEPTION: NetworkException,
    ErrorCode.UNSUPPORTED_VERSION: UnsupportedVersion,
}
"""Those that others are derived from, or that the client raises with less to say."""


def class_name(code: ErrorCode) -> str:
    """The name of a code's class."""
    words = code.name.removesuffix("_EXCEPTION") if code is ErrorCode.INVALID_TOPIC_EXCEPTION else code.name
    return "".join(word.capitalize() for word in words.split("_"))


def class_of(code: int) -> type[ClientError]:
    """The class of an error code."""
    return _CLASSES[ErrorCode.of(code)]


@cache
def found_out(code: int) -> type[ClientError]:
    """The class of an error code that the client met by itself, made with the code as `ClientError` is."""
    known = class_of(code)
    if known.__init__ is ClientError.__init__:
        return known
    own = {"__init__": ClientError.__init__, "__doc__": known.__doc__, "__module__": __name__}
    return type(known.__name__, (known,), own)


@cache
def answered(code: int) -> type[BrokerError]:
    """The class of an error code that a broker has answered: a BrokerError, too."""
    known = class_of(code)
    return type(known.__name__, (BrokerError, known), {"__doc__": known.__doc__, "__module__": __name__})


def _made(code: ErrorCode) -> type[ClientError]:
    known = _MADE.get(code)
    if known is not None:
        return known
    doc = f"{code.name}: {code.text}"
    return type(class_name(code), (ClientError,), {"__doc__": doc, "__module__": __name__})


_CLASSES: Final = {code: _made(code) for code in ErrorCode}

globals().update({class_name(code): kind for code, kind in _CLASSES.items() if code is not ErrorCode.NONE})

__all__ = [
    "answered",
    "class_name",
    "class_of",
    "found_out",
    *(class_name(code) for code in ErrorCode if code is not ErrorCode.NONE),
]
