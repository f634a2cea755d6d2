"""What administration handlers share: one failed item of a request never fails its neighbours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Iterable
from typing import TypeVar

from fastlog.errors import ErrorCode, KafkaError
from fastlog.server.errors import error_code_of

T = TypeVar("T")


async def outcome(work: Awaitable[T]) -> tuple[T | None, int, str | None]:
    """(result, 0, None), or (None, error code, message) when `work` fails for a reason a client may know."""
    try:
        return await work, 0, None
    except KafkaError as error:
        return None, int(error.code), error.message
    except (OSError, TimeoutError) as error:
        return None, int(error_code_of(error)), str(error)


def repeated(names: Iterable[str]) -> set[str]:
    """The names that a request holds more than once: each of their items gets INVALID_REQUEST."""
    return {name for name, count in Counter(names).items() if count > 1}


def repeated_error(what: str) -> KafkaError:
    """The error of an item that stands more than once in its request."""
    return KafkaError(ErrorCode.INVALID_REQUEST, f"{what} appears more than once in the request")
