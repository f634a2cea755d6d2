"""Answers that say for how long the client is to wait (`throttle_time_ms`); its connection waits, too."""

from __future__ import annotations

from copy import copy
from functools import cache
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from fastlog.wire import response_type
from fastlog.wire.headers import response_header_is_flexible
from fastlog.wire.schema import struct_fields

if TYPE_CHECKING:
    from fastlog.server.network.exchange import Exchange
    from fastlog.wire import ApiKey, Response

__all__ = ["metered", "with_throttle"]

R = TypeVar("R", bound="Response")

_FIELD: Final = "throttle_time_ms"
_INT: Final = Struct(">i")


def metered(exchange: Exchange, response: R) -> R:
    """What is to be sent instead of `response`, which may say by itself that the client is to wait.

    It has to be sent next: from now on nothing else of the connection is taken up.
    """
    said: int = getattr(response, _FIELD, 0)
    wait = said if exchange.meter is None else exchange.meter.answered(said)
    if wait != said and hasattr(response, _FIELD):
        # It may be shared with others who ask the same.
        response = copy(response)
        cast("Any", response).throttle_time_ms = wait
    exchange.throttle(wait)
    return response


def with_throttle(api_key: ApiKey, version: int, rest: memoryview, wait: int) -> bytes | memoryview:
    """The same for an encoded answer, of which `rest` is what follows its correlation id."""
    start = _place(api_key, version)
    if start is None:
        return rest
    return b"".join((rest[:start], _INT.pack(wait), rest[start + _INT.size :]))


@cache
def _place(api_key: ApiKey, version: int) -> int | None:
    """Where the time is, if it is the first field."""
    for field in struct_fields(response_type(api_key)):
        if version in field.wire.versions and field.wire.tag is None:
            if field.name != _FIELD:
                return None
            # The tags of the header are empty.
            return 1 if response_header_is_flexible(api_key, version) else 0
    return None
