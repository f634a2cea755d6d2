"""The static files: read once from the package, and then found by their exact name or not at all.

So no path of a request ever reaches the file system.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from fastlog.console.answers import problem

__all__ = ["Pages"]

_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "json": "application/json",
    "txt": "text/plain; charset=utf-8",
    "woff2": "font/woff2",
}
_PREFIX: Final = "/static/"
_OF_BROWSERS: Final = ("/favicon.ico", "/robots.txt")
_MOST_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class _File:
    data: bytes
    media_type: str
    tag: str


class Pages:
    """Files below `fastlog/console/static` as `/static/...`; `index.html` for all paths of pages."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._read(files("fastlog.console") / "static", _PREFIX)

    def _read(self, place: Traversable, prefix: str) -> None:
        for item in place.iterdir():
            kind = _TYPES.get(item.name.rpartition(".")[2])
            if item.is_dir():
                self._read(item, f"{prefix}{item.name}/")
            elif kind is not None:
                data = item.read_bytes()
                if len(data) <= _MOST_BYTES:
                    tag = f'"{hashlib.sha256(data).hexdigest()[:24]}"'
                    self._files[prefix + item.name] = _File(data, kind, tag)

    async def serve(self, request: Request) -> Response:
        """GET and HEAD of a file, or of a page that the browser makes itself."""
        path = request.url.path
        is_page = not path.startswith((_PREFIX, "/api/")) and path not in _OF_BROWSERS
        found = self._files.get(f"{_PREFIX}index.html" if is_page else path)
        if found is None:
            return problem(404, "NOT_FOUND", "there is no such page")
        headers = {"etag": found.tag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == found.tag:
            return Response(status_code=304, headers=headers)
        return Response(found.data, media_type=found.media_type, headers=headers)
