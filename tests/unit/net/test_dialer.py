"""How a broker reaches others: with what a listener says now; and connections whose time is over."""

from __future__ import annotations

import asyncio
import ssl
import time
from pathlib import Path

import pytest

from fastlog.errors import ErrorCode
from fastlog.net.dialer import Dialer
from fastlog.net.errors import BrokerError, ClientError, ConnectionFailed
from fastlog.net.sasl import Credentials
from fastlog.net.security import Security
from fastlog.wire import ApiKey, Request
from fastlog.wire.headers import RequestHeader
from fastlog.wire.messages.groups import HeartbeatRequest, HeartbeatResponse
from fastlog.wire.messages.sasl import (
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
    SaslHandshakeRequest,
    SaslHandshakeResponse,
)
from tests.harness.certificates import make_certificate
from tests.unit.net.fake_broker import Answer, FakeBroker

WHERE = "127.0.0.1"
BEAT = HeartbeatRequest(group_id="g", generation_id=1, member_id="m")


def gate(password: str, lifetime_ms: int = 0) -> object:
    """The script of a broker that takes PLAIN."""

    def script(header: RequestHeader, request: Request) -> Answer:
        if isinstance(request, SaslHandshakeRequest):
            return SaslHandshakeResponse(mechanisms=["PLAIN"])
        if isinstance(request, SaslAuthenticateRequest):
            if bytes(request.auth_bytes) == b"\0me\0" + password.encode():
                return SaslAuthenticateResponse(session_lifetime_ms=lifetime_ms)
            return SaslAuthenticateResponse(ErrorCode.SASL_AUTHENTICATION_FAILED, "no")
        return HeartbeatResponse()

    return script


def as_me(password: str) -> Dialer:
    dialer = Dialer()
    dialer.secure(lambda _: Security("SASL_PLAINTEXT", None, Credentials("PLAIN", "me", password)))
    return dialer


async def test_without_security_nothing_is_asked_first() -> None:
    async with FakeBroker() as broker:
        connection = await Dialer().connection("L", WHERE, broker.port, client_id="c", timeout=5)
        assert not broker.requests
        await connection.close()


async def test_it_authenticates_before_it_is_used() -> None:
    async with FakeBroker(gate("secret")) as broker:  # type: ignore[arg-type]
        connection = await as_me("secret").connection("L", WHERE, broker.port, client_id="c", timeout=5)
        await connection.call(BEAT, 4, timeout=5)
        asked = [header.api_key for header, _ in broker.requests]
        assert asked == [
            ApiKey.API_VERSIONS,
            ApiKey.SASL_HANDSHAKE,
            ApiKey.SASL_AUTHENTICATE,
            ApiKey.HEARTBEAT,
        ]
        assert not connection.is_due
        await connection.close()
        with pytest.raises(BrokerError, match="SASL_AUTHENTICATION_FAILED"):
            await as_me("wrong").link("L", WHERE, broker.port, client_id="c", timeout=5)


async def test_the_listener_is_asked_each_time() -> None:
    asked: list[str] = []

    def security_of(listener: str) -> Security:
        asked.append(listener)
        raise ClientError(ErrorCode.BROKER_NOT_AVAILABLE, "not now")

    dialer = Dialer()
    dialer.secure(security_of)
    for name in ("A", "B"):
        with pytest.raises(ClientError, match="not now"):
            await dialer.connection(name, WHERE, 1, client_id="c", timeout=5)
    assert asked == ["A", "B"]


async def test_tls(tmp_path: Path) -> None:
    certificate, key = await asyncio.to_thread(make_certificate, tmp_path)
    accepts = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    accepts.load_cert_chain(certificate, key)
    trusts = ssl.create_default_context(cafile=certificate)
    dialer = Dialer()
    dialer.secure(lambda _: Security("SSL", trusts))
    async with FakeBroker(tls=accepts) as broker:
        connection = await dialer.connection("L", "localhost", broker.port, client_id="c", timeout=5)
        await connection.close()
        # The certificate is that of localhost.
        with pytest.raises(ConnectionFailed, match="certificate is not accepted: IP address mismatch"):
            await dialer.connection("L", WHERE, broker.port, client_id="c", timeout=5)


async def test_a_session_that_ends_is_due_before_that() -> None:
    async with FakeBroker(gate("secret", 10_000)) as broker:  # type: ignore[arg-type]
        connection = await as_me("secret").connection("L", WHERE, broker.port, client_id="c", timeout=5)
        assert 8 < connection.renew_at - time.monotonic() < 9
        assert not connection.is_due
        connection.renew_at = time.monotonic() - 1
        assert connection.is_due
        assert connection.is_open
        await connection.close()


async def test_who_retires_answers_what_is_under_way_first() -> None:
    may_answer = asyncio.Event()

    async def script(header: RequestHeader, request: Request) -> Answer:
        await may_answer.wait()
        return HeartbeatResponse()

    async with FakeBroker(script) as broker:
        connection = await Dialer().connection("L", WHERE, broker.port, client_id="c", timeout=5)
        asking = asyncio.create_task(connection.call(BEAT, 4, timeout=5))
        await asyncio.sleep(0)
        connection.retire()
        assert connection.is_open
        may_answer.set()
        await asking
        await asyncio.wait_for(connection.lost(), 5)
        idle = await Dialer().connection("L", WHERE, broker.port, client_id="c", timeout=5)
        idle.retire()
        await asyncio.wait_for(idle.lost(), 5)
