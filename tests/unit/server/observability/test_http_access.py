"""Who may read metrics over the network: a token, a certificate, or neither of them."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fastlog.base.clock import ManualClock
from fastlog.base.tasks import Supervisor
from fastlog.errors import ConfigError
from fastlog.server.observability.http_service import Observability
from tests.harness.certificates import Authority
from tests.harness.tls import client_context
from tests.unit.config.helpers import config_of

TOKEN = "0123456789abcdef"  # noqa: S105 - of a test
PATHS = ("/metrics", "/", "/livez", "/readyz", "/startupz")


@asynccontextmanager
async def serving(**settings: str) -> AsyncIterator[int]:
    """A port of metrics with these settings (`token`, `ssl_keystore_location`, ...)."""
    values = {f"fastlog.http.{name.replace('_', '.')}": value for name, value in settings.items()}
    observe = Observability(asyncio.get_running_loop(), ManualClock().monotonic, Supervisor())
    await observe.start(config_of({"fastlog.http.port": "0", **values}))
    assert observe.address is not None
    try:
        yield observe.address[1]
    finally:
        await observe.close()


async def ask(
    port: int, path: str, *headers: str, tls: ssl.SSLContext | None = None
) -> tuple[int, bytes, bytes]:
    """(status, head, body)."""
    name = None if tls is None else "localhost"
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name)
    lines = "".join(f"{line}\r\n" for line in ("Host: localhost", "Connection: close", *headers))
    writer.write(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
    async with asyncio.timeout(20):
        said = await reader.read()
    writer.close()
    head, _, body = said.partition(b"\r\n\r\n")
    return int(head.split()[1]), head, body


async def test_without_a_token_everything_is_there() -> None:
    async with serving() as port:
        assert [(await ask(port, path))[0] for path in PATHS] == [200, 200, 200, 503, 503]


async def test_a_token_opens_and_nothing_else_does() -> None:
    async with serving(token=TOKEN) as port:
        status, head, body = await ask(port, "/metrics")
        assert status == 401
        assert b"WWW-Authenticate: Bearer" in head
        assert TOKEN.encode() not in body
        for wrong in (
            f"Bearer {TOKEN}x",
            f"Bearer {TOKEN[:-1]}",
            "Bearer",
            "Bearer \u00e9" + TOKEN,
            f"Basic {TOKEN}",
            TOKEN,
            "",
        ):
            assert (await ask(port, "/metrics", f"Authorization: {wrong}"))[0] == 401, wrong
            assert (await ask(port, "/", f"Authorization: {wrong}"))[0] == 401
        # Twice is neither of the two.
        right = f"Authorization: Bearer {TOKEN}"
        assert (await ask(port, "/metrics", right, right))[0] == 401
        assert (await ask(port, "/metrics", right))[0] == 200
        assert (await ask(port, "/metrics", f"authorization: bearer {TOKEN}"))[0] == 200


async def test_probes_tell_strangers_their_status_alone() -> None:
    async with serving(token=TOKEN) as port:
        for path, status in (("/livez", 200), ("/readyz", 503), ("/startupz", 503)):
            said, _, body = await ask(port, path)
            assert said == status
            assert json.loads(body) == {"status": "good" if status == 200 else "not good"}
            _, _, whole = await ask(port, path, f"Authorization: Bearer {TOKEN}")
            assert json.loads(whole)["status"] != json.loads(body)["status"]


async def test_certificates(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path / "own"), Authority(tmp_path / "other", "other")
    store = {"ssl_keystore_location": str(authority.store("broker"))}
    mine = client_context(authority.certificate, authority.issue("reader"))
    nobody = client_context(authority.certificate)
    async with serving(**store, ssl_truststore_location=str(authority.certificate)) as port:
        assert (await ask(port, "/metrics", tls=mine))[0] == 200
        assert (await ask(port, "/metrics", tls=nobody))[0] == 401
        assert (await ask(port, "/livez", tls=nobody))[0] == 200
        other = client_context(authority.certificate, stranger.issue("reader"))
        with pytest.raises((ssl.SSLError, ConnectionError, IndexError)):
            await ask(port, "/livez", tls=other)
        # There is no token that opens where none is set.
        assert (await ask(port, "/metrics", "Authorization: Bearer ", tls=nobody))[0] == 401
        with pytest.raises((ConnectionError, IndexError)):
            await ask(port, "/livez")
    async with serving(**store, ssl_truststore_location=str(authority.certificate), token=TOKEN) as port:
        assert (await ask(port, "/metrics", f"Authorization: Bearer {TOKEN}", tls=nobody))[0] == 200
        assert (await ask(port, "/metrics", tls=mine))[0] == 200
    async with serving(**store) as port:
        assert (await ask(port, "/metrics", tls=nobody))[0] == 200


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"fastlog.http.host": ""}, "every interface can be reached by others"),
        ({"fastlog.http.host": "0.0.0.0"}, "can be reached by others"),  # noqa: S104 - refused
        ({"fastlog.http.host": "::"}, "can be reached by others"),
        ({"fastlog.http.host": "10.0.0.1"}, "can be reached by others"),
        ({"fastlog.http.host": "broker1.example.org"}, "can be reached by others"),
        ({"fastlog.http.token": "short"}, "16 ASCII characters"),
        ({"fastlog.http.token": "0123456789 abcdef"}, "without spaces"),
        ({"fastlog.http.ssl.truststore.location": "/x"}, "needs fastlog.http.ssl.keystore.location"),
    ],
)
def test_what_is_refused(values: dict[str, str], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        config_of(values)


@pytest.mark.parametrize(
    "values",
    [
        {"fastlog.http.host": "127.0.0.9"},
        {"fastlog.http.host": "::1"},
        {"fastlog.http.host": "localhost"},
        {"fastlog.http.host": "", "fastlog.http.port": "-1"},
        {"fastlog.http.host": "", "fastlog.http.token": TOKEN},
        {"fastlog.http.host": "", "fastlog.http.anonymous": "true"},
    ],
)
def test_what_is_taken(values: dict[str, str]) -> None:
    assert config_of(values).http_host == values["fastlog.http.host"]


async def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"keystore\.location.*none\.pem"):
        async with serving(ssl_keystore_location=str(tmp_path / "none.pem")):
            pass
