"""Every message, grouped by theme. Classes are found by API key, and a group is imported on first use."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TypeVar

from fastlog.wire.api_keys import APIS, ApiKey
from fastlog.wire.schema import Message, Request, Response

M = TypeVar("M", bound=Message)


@cache
def request_type(key: ApiKey) -> type[Request]:
    """The request class of an API in the table."""
    return _find(key, "Request", Request)


@cache
def response_type(key: ApiKey) -> type[Response]:
    """The response class of an API in the table."""
    return _find(key, "Response", Response)


def _find(key: ApiKey, suffix: str, base: type[M]) -> type[M]:
    api = APIS[key]
    found: type[M] = getattr(import_module(f"{__name__}.{api.module}"), api.name + suffix)
    if not issubclass(found, base) or found.API is not key:
        raise TypeError(f"{found.__name__} is not the {suffix.lower()} of {key.name}")
    return found
