"""What every request goes through: hosts, origins, sessions; driven as ASGI, without a socket."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import pytest

from fastlog.console.answers import answer
from fastlog.console.gate import Gate
from fastlog.console.hosts import Hosts, is_loopback
from fastlog.console.sessions import Sessions

OWN = "127.0.0.1:8085"
GOOD = {
    "host": OWN,
    "origin": f"http://{OWN}",
    "x-fastlog-console": "1",
    "content-type": "application/json",
}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["error"]["code"])


class Site:
    """A gate around an application that says who is there."""

    def __init__(self, *, by_certificate: bool = False, secure: bool = False) -> None:
        self.sessions = Sessions()
        self.reached = 0
        self.gate = Gate(
            self._app,
            hosts=Hosts(["console.example"]),
            sessions=self.sessions,
            cookie="c",
            by_certificate=by_certificate,
            secure=secure,
        )

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        self.reached += 1
        await answer({"who": scope.get("state", {}).get("who")})(scope, receive, send)

    def ask(
        self,
        path: str = "/api/session",
        headers: dict[str, str] | None = None,
        *,
        method: str = "GET",
        scheme: str = "http",
        query: bytes = b"",
    ) -> Answer:
        given = {"host": OWN} if headers is None else headers
        scope = {
            "type": "http",
            "method": method,
            "scheme": scheme,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query,
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        }
        sent: list[dict[str, Any]] = []

        async def run() -> None:
            async def receive() -> dict[str, Any]:
                return {"type": "http.request", "body": b"", "more_body": False}

            async def send(message: Any) -> None:
                sent.append(message)

            await self.gate(scope, receive, send)

        asyncio.run(run())
        found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], found, b"".join(part.get("body", b"") for part in sent[1:]))

    def cookie(self, who: str = "ada") -> dict[str, str]:
        return {"cookie": f"c={self.sessions.open(who)}"}


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", OWN, "[::1]:8085", "10.1.2.3", "localhost:8085", "LOCALHOST.", "console.example:1"],
)
def test_hosts_that_are_ours(host: str) -> None:
    assert Site().ask("/", {"host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil.example:8085",
        "127.0.0.1@evil.example",
        "evil.example/127.0.0.1",
        "[::1]evil",
        "2130706433",
        "0x7f.1",
        "",
        " ",
        "console.example.",
    ],
)
def test_names_of_others_reach_nothing_pages_included(host: str) -> None:
    """DNS rebinding: the browser comes to us, but says by which name."""
    site = Site()
    for path in ("/", "/static/app.js", "/api/session", "/api/login"):
        found = site.ask(path, {"host": host} | site.cookie())
        if host == "console.example.":
            assert found.status == (401 if path == "x" else 200)  # a final dot is the same name
            continue
        assert (found.status, found.code) == (421, "UNKNOWN_HOST")
    assert site.reached == (4 if host == "console.example." else 0)


def test_no_host_and_two_hosts_are_refused() -> None:
    site = Site()
    assert site.ask("/", {}).status == 421


def test_nothing_of_the_cluster_without_a_session() -> None:
    site = Site()
    assert site.ask("/").status == 200
    found = site.ask("/api/list_topics")
    assert (found.status, found.code) == (401, "NOT_LOGGED_IN")
    for cookie in ("c=", "c=x", "d=x", "c=x; c=y", "\xff", "c=" + "x" * 20_000):
        assert site.ask("/api/list_topics", {"host": OWN, "cookie": cookie}).status == 401
    found = site.ask("/api/list_topics", {"host": OWN} | site.cookie("ada"))
    assert json.loads(found.body) == {"who": "ada"}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"origin": None}, "FOREIGN_ORIGIN"),
        ({"origin": "http://evil.example"}, "FOREIGN_ORIGIN"),
        ({"origin": "null"}, "FOREIGN_ORIGIN"),
        ({"origin": f"https://{OWN}"}, "FOREIGN_ORIGIN"),
        ({"origin": "http://127.0.0.1:9999"}, "FOREIGN_ORIGIN"),
        ({"origin": f"http://{OWN}.evil.example"}, "FOREIGN_ORIGIN"),
        ({"origin": f"http://ada@{OWN}"}, "FOREIGN_ORIGIN"),
        ({"origin": "http://["}, "FOREIGN_ORIGIN"),
        ({"x-fastlog-console": None}, "HEADER_MISSING"),
        ({"x-fastlog-console": "0"}, "HEADER_MISSING"),
        ({"sec-fetch-site": "cross-site"}, "FOREIGN_SITE"),
        ({"sec-fetch-site": "same-site"}, "FOREIGN_SITE"),
    ],
)
def test_writes_of_other_sites_are_refused(changed: dict[str, str | None], code: str) -> None:
    site = Site()
    headers = {name: value for name, value in (GOOD | changed).items() if value is not None}
    for path in ("/api/create_topic", "/api/login"):
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            found = site.ask(path, headers | site.cookie(), method=method)
            assert (found.status, found.code) == (403, code)
    assert site.reached == 0
    assert site.ask("/api/create_topic", GOOD | site.cookie(), method="POST").status == 200
    assert site.ask("/api/login", GOOD, method="POST").status == 200


def test_other_sites_may_not_even_ask() -> None:
    site = Site()
    headers = {"host": OWN, "sec-fetch-site": "cross-site"} | site.cookie()
    assert site.ask("/api/list_topics", headers).code == "FOREIGN_SITE"


def test_every_answer_has_the_headers() -> None:
    site = Site(secure=True)
    for found in (site.ask("/"), site.ask("/", {"host": "evil.example"}), site.ask("/api/x")):
        policy = found.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["cache-control"] == "no-store"
        assert found.headers["strict-transport-security"]
        assert "access-control-allow-origin" not in found.headers


def test_certificates_let_in_without_a_cookie() -> None:
    found = Site(by_certificate=True).ask()
    assert json.loads(found.body) == {"who": "certificate"}


def test_long_addresses_are_refused() -> None:
    assert Site().ask("/" + "x" * 9000).status == 414
    assert Site().ask("/", query=b"x" * 9000).status == 414


def test_sockets_of_browsers_are_refused() -> None:
    sent: list[Any] = []

    async def run() -> None:
        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        await Site().gate({"type": "websocket", "headers": []}, receive, send)

    asyncio.run(run())
    assert sent == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize(("host", "is_so"), [("127.0.0.1", True), ("::1", True), ("localhost", True)])
def test_loopback(host: str, is_so: bool) -> None:
    assert is_loopback(host) is is_so
    for other in ("0.0.0.0", "::", "10.0.0.1", "example.org", ""):  # noqa: S104 - not bound here
        assert not is_loopback(other)
