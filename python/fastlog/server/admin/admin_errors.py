"""What administration handlers share: one failed item of a request never fails its neighbours."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Hashable, Iterable
from typing import TYPE_CHECKING, Final, TypeVar

from fastlog.errors import ErrorCode, KafkaError
from fastlog.server.requests.error_answers import error_code_of
from fastlog.server.requests.turns import Abandoned

if TYPE_CHECKING:
    from fastlog.wire import Steps

T = TypeVar("T")
H = TypeVar("H", bound=Hashable)

_LOG: Final = logging.getLogger(__name__)


async def outcome(work: Awaitable[T]) -> tuple[T | None, int, str | None]:
    """(result, 0, None), or (None, error code, message) when `work` fails. A defect is logged."""
    try:
        return await work, 0, None
    except KafkaError as error:
        return None, int(error.code), error.message
    except Abandoned:
        raise
    except Exception as error:  # noqa: BLE001 - the neighbours are answered, whatever it was
        code = error_code_of(error)
        if code is ErrorCode.UNKNOWN_SERVER_ERROR:
            _LOG.error("an item of a request failed", exc_info=error)
            return None, int(code), None
        return None, int(code), str(error)


async def told(part: T | Exception) -> T:
    """One part of a change of many, as `outcome` wants it: what failed is raised."""
    if isinstance(part, Exception):
        raise part
    return part


def repeated(names: Iterable[H]) -> Steps[set[H]]:
    """The names that a request holds more than once: each of their items gets INVALID_REQUEST. In steps."""
    seen: set[H] = set()
    twice: set[H] = set()
    for name in names:
        if name in seen:
            twice.add(name)
        seen.add(name)
        yield
    return twice


def repeated_error(what: str) -> KafkaError:
    """The error of an item that stands more than once in its request."""
    return KafkaError(ErrorCode.INVALID_REQUEST, f"{what} appears more than once in the request")
