"""What every request goes through before anything else: hosts, origins, sessions; and headers of answers.

| request               | needs                                                                        |
|-----------------------|------------------------------------------------------------------------------|
| all                   | a Host that is ours (421), a target of at most 8 KiB                         |
| pages and their files | nothing more: they hold nothing of the cluster                               |
| /api/...              | not from another site (Sec-Fetch-Site), and a session: cookie or certificate |
| all but GET and HEAD  | an Origin that is this very host, and the header `X-Fastlog-Console: 1`      |
| POST /api/login       | the same, without a session                                                  |
"""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastlog.console.answers import problem
from fastlog.console.hosts import Hosts
from fastlog.console.sessions import Sessions

__all__ = ["CUSTOM_HEADER", "Gate", "cookie_of"]

CUSTOM_HEADER: Final = "x-fastlog-console"
_MAX_TARGET: Final = 8 * 1024
_FREE: Final = frozenset({"/api/login"})
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class Gate:
    """ASGI around the application. `by_certificate`: TLS has let in only who has a certificate."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Hosts,
        sessions: Sessions,
        cookie: str,
        by_certificate: bool = False,
        secure: bool = False,
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._sessions = sessions
        self._cookie = cookie
        self._by_certificate = by_certificate
        self._secure = secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; everything but HTTP and the lifespan is refused."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                if self._secure:
                    headers["strict-transport-security"] = "max-age=31536000"
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            status, code, text = refusal
            await problem(status, code, text)(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> tuple[int, str, str] | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        host = hosts[0] if len(hosts) == 1 else None
        if not self._hosts(host):
            return 421, "UNKNOWN_HOST", "this console does not go by that name: --allow-host takes names"
        if len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"") > _MAX_TARGET:
            return 414, "TOO_LONG", "the address is too long"
        path = scope["path"]
        if scope["method"] not in ("GET", "HEAD"):
            if not self._is_own(headers.get("origin"), host, scope):
                return (
                    403,
                    "FOREIGN_ORIGIN",
                    "a request that may change something needs this console's Origin",
                )
            if headers.get(CUSTOM_HEADER) != "1":
                return 403, "HEADER_MISSING", f"it needs the header {CUSTOM_HEADER}: 1"
        if not path.startswith("/api/"):
            return None
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return 403, "FOREIGN_SITE", "another site asks"
        session = self._sessions.find(cookie_of(headers, self._cookie))
        state = scope.setdefault("state", {})
        state["who"], state["desk"] = (session.who, session.desk) if session is not None else (None, None)
        if session is None and self._by_certificate:
            state["who"] = "certificate"
        if state["who"] is None and path not in _FREE:
            return 401, "NOT_LOGGED_IN", "log in first"
        return None

    def _is_own(self, origin: str | None, host: str | None, scope: Scope) -> bool:
        """The very host that was asked, by the same scheme: another port is another origin."""
        if origin is None or host is None:
            return False
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return parts.scheme == scope["scheme"] and parts.netloc.lower() == host.lower()


def cookie_of(headers: Headers, name: str) -> str | None:
    """The value of a cookie; None where there is none, or they cannot be read."""
    text = headers.get("cookie")
    if text is None or len(text) > _MAX_TARGET:
        return None
    try:
        found = SimpleCookie(text).get(name)
    except CookieError:
        return None
    return None if found is None else found.value
