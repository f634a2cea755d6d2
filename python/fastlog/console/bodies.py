"""Bodies of requests, never more of them than is taken."""

from __future__ import annotations

import json
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request

from fastlog.verbs.problems import BadArgument, TooMuch

__all__ = ["MAX_BODY", "read_body", "read_object"]

MAX_BODY: Final = 8 << 20
"""Bytes of a body, but for imports."""


async def read_body(request: Request, most: int = MAX_BODY) -> bytes:
    """The body. Raises TooMuch as soon as it is known to be larger, and BadArgument when it breaks off."""
    told = request.headers.get("content-length", "0")
    if told.isascii() and told.isdecimal() and int(told[:20]) > most:
        raise TooMuch(f"the body has more than {most} bytes")
    found = bytearray()
    try:
        async for chunk in request.stream():
            found += chunk
            if len(found) > most:
                raise TooMuch(f"the body has more than {most} bytes")
    except ClientDisconnect:
        raise BadArgument("the body broke off") from None
    return bytes(found)


async def read_object(request: Request, most: int = MAX_BODY) -> dict[str, Any]:
    """A JSON object. Raises BadArgument, TooMuch."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise BadArgument("the body is to be application/json")
    try:
        found = json.loads(await read_body(request, most))
    except (ValueError, RecursionError):
        raise BadArgument("the body is no JSON") from None
    if not isinstance(found, dict):
        raise BadArgument("the body is no object")
    return found
