"""The head of an HTTP/1.x request, parsed strictly (RFC 9112): bytes to a request or to a refusal.

Only what a scraper, a probe or a browser sends is understood: requests have no body.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from fastlog.base.quick_dataclass import dataclass

__all__ = ["HEAD_END", "MAX_HEAD_BYTES", "HttpRefusal", "HttpRequest", "parse_head"]

HEAD_END: Final = b"\r\n\r\n"
MAX_HEAD_BYTES: Final = 16 * 1024
_MAX_HEADERS: Final = 100
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET: Final = re.compile(r"[\x21-\x7e]+")
_VERSION: Final = re.compile(r"HTTP/(\d)\.(\d)")
# Characters that no header value may hold: what one reader takes for the end of a line another may not.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_METHODS: Final = ("GET", "HEAD")


class HttpRefusal(Exception):
    """A request that gets `status`, after which the connection ends."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A GET or HEAD request. `path` is without query; header names are in lower case."""

    method: str
    path: str
    host: str | None
    """Whom it is for, `name` or `name:port`; None of a client that does not say (HTTP/1.0)."""
    headers: Mapping[str, str]
    keep_alive: bool
    chunks_allowed: bool
    """Whether the client knows chunked bodies (HTTP/1.1)."""
    sees_all: bool = True
    """Whether the client may see everything, or the status of probes alone."""


def parse_head(head: bytes) -> HttpRequest:
    """`head` ends with an empty line. Raises HttpRefusal."""
    lines = head[: -len(HEAD_END)].decode("latin-1").split("\r\n")
    method, target, minor = _request_line(lines[0])
    headers = _headers(lines[1:])
    if minor >= 1 and "host" not in headers:
        raise HttpRefusal(HTTPStatus.BAD_REQUEST, "the Host header is missing")
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        raise HttpRefusal(HTTPStatus.BAD_REQUEST, "requests with a body are not taken")
    if method not in _METHODS:
        raise HttpRefusal(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD are answered")
    connection = {part.strip().lower() for part in headers.get("connection", "").split(",")}
    keep_alive = "close" not in connection if minor >= 1 else "keep-alive" in connection
    authority, path = _split_target(target)
    host = headers.get("host") if authority is None else authority
    return HttpRequest(method, path, host, headers, keep_alive, chunks_allowed=minor >= 1)


def _request_line(line: str) -> tuple[str, str, int]:
    parts = line.split(" ")
    if len(parts) != 3 or _TOKEN.fullmatch(parts[0]) is None or _TARGET.fullmatch(parts[1]) is None:
        raise HttpRefusal(HTTPStatus.BAD_REQUEST, "this is no HTTP request")
    version = _VERSION.fullmatch(parts[2])
    if version is None:
        raise HttpRefusal(HTTPStatus.BAD_REQUEST, "this is no HTTP request")
    if version[1] != "1":
        raise HttpRefusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "only HTTP/1.x is spoken here")
    return parts[0], parts[1], int(version[2])


def _headers(lines: list[str]) -> dict[str, str]:
    if len(lines) > _MAX_HEADERS:
        raise HttpRefusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too many headers")
    headers: dict[str, str] = {}
    for line in lines:
        name, separator, value = line.partition(":")
        if not separator or _TOKEN.fullmatch(name) is None or _CONTROL.search(value) is not None:
            raise HttpRefusal(HTTPStatus.BAD_REQUEST, "a header is malformed")
        key = name.lower()
        if key in headers and key in ("host", "content-length", "transfer-encoding"):
            raise HttpRefusal(HTTPStatus.BAD_REQUEST, "a header is repeated that must not be")
        value = value.strip(" \t")
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


def _split_target(target: str) -> tuple[str | None, str]:
    """(authority of a target in absolute form, path): it counts before the Host header (RFC 9112, 3.2.2)."""
    authority = None
    if target.lower().startswith(("http://", "https://")):
        authority, _, rest = target.split("//", 1)[1].partition("/")
        authority = authority.partition("?")[0]
        target = "/" + rest
    if not target.startswith("/"):
        raise HttpRefusal(HTTPStatus.BAD_REQUEST, "the target must be a path")
    return authority, target.partition("?")[0].partition("#")[0]
