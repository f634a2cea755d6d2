"""Answers: JSON, and problems with the status that is nearest to them."""

from __future__ import annotations

import json
import logging
from typing import Any, Final

from starlette.responses import Response

from fastlog.client.errors import ClientError, ConnectionFailed, RequestTimedOut, VersionMismatch
from fastlog.errors import ErrorCode
from fastlog.verbs.problems import BadArgument, NotFound, ReadOnly, TooMuch, problem_of

__all__ = ["answer", "failed", "problem"]

_LOG: Final = logging.getLogger("fastlog.console")
_MISSING: Final = frozenset(
    {
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.UNKNOWN_TOPIC_ID,
        ErrorCode.GROUP_ID_NOT_FOUND,
        ErrorCode.TRANSACTIONAL_ID_NOT_FOUND,
    }
)
_STATUS: Final[tuple[tuple[type[BaseException], int], ...]] = (
    (BadArgument, 400),
    (NotFound, 404),
    (ReadOnly, 403),
    (TooMuch, 400),
    (RequestTimedOut, 504),
    (TimeoutError, 504),
    (OSError, 500),
    (ConnectionFailed, 502),
    (VersionMismatch, 501),
)


def answer(value: Any, status: int = 200) -> Response:
    """A JSON document; `<` is escaped, so that it is harmless wherever it ends up."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return Response(
        text.encode("utf-8", "surrogatepass").decode("utf-8", "replace"),
        status,
        media_type="application/json",
    )


def problem(status: int, code: str, message: str) -> Response:
    """{"error": {"code": ..., "message": ...}}"""
    return answer({"error": {"code": code, "message": message}}, status)


def failed(error: BaseException) -> Response:
    """The answer to an error; one that is a defect of ours is logged, and tells nothing of itself."""
    found = problem_of(error)
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), None)
    if status is None and isinstance(error, ClientError):
        refused = error.code.name.endswith("AUTHORIZATION_FAILED")
        status = 404 if error.code in _MISSING else 403 if refused else 409
    if status is None and found.code == "DEFECT":
        _LOG.error("a request failed by a defect", exc_info=error)
        return problem(500, "DEFECT", "this failed by a defect; the console's log has more")
    return problem(status or 400, found.code, found.message)
