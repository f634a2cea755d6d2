"""What brokers try with fastlog's own client: sizes, work without an end, somebody else's name."""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
import time
import tracemalloc
from pathlib import Path

import pytest

from fastlog import AsyncProducer, errors
from fastlog.wire import Request
from fastlog.wire.headers import RequestHeader
from fastlog.wire.messages.sasl import (
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
    SaslHandshakeRequest,
    SaslHandshakeResponse,
)
from tests.harness.certificates import Authority
from tests.unit.net.fake_broker import Answer, FakeBroker

USER, PASSWORD = "alice", "hidden-7d1"


async def connect(address: str, **options: object) -> None:
    async with AsyncProducer(address, request_timeout_ms=5000, **options):  # type: ignore[arg-type]
        pass


@pytest.mark.parametrize("size", [2**31 - 1, 2**30, -1, -(2**31)])
async def test_frames_that_are_lies(size: int) -> None:
    """kafka-python CVE-2026-10142: nothing is allocated for what a broker only says."""

    def script(_header: RequestHeader, request: Request) -> Answer:
        if isinstance(request, SaslHandshakeRequest):
            return size.to_bytes(4, "big", signed=True) + b"\0\0\0\1"
        return None

    tracemalloc.start()
    try:
        async with FakeBroker(script) as broker:
            with pytest.raises(errors.ClientError):
                await connect(
                    broker.address,
                    security_protocol="SASL_PLAINTEXT",
                    sasl_mechanism="PLAIN",
                    sasl_username=USER,
                    sasl_password=PASSWORD,
                )
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("rounds", ["1000000000", "2147483647", "99999999999999999999", "1", "0", "-4096"])
async def test_rounds_without_an_end(rounds: str) -> None:
    """kafka-python CVE-2026-10143: nor is anything computed a thousand million times; nor once alone."""

    def script(_header: RequestHeader, request: Request) -> Answer:
        if isinstance(request, SaslHandshakeRequest):
            return SaslHandshakeResponse(mechanisms=["SCRAM-SHA-512"])
        assert isinstance(request, SaslAuthenticateRequest)
        found = re.search(rb"r=([^,]+)", bytes(request.auth_bytes))
        assert found is not None
        salt = base64.b64encode(b"0123456789abcdef")
        answer = b"r=%sx,s=%s,i=%s" % (found[1], salt, rounds.encode())
        return SaslAuthenticateResponse(auth_bytes=answer)

    began = time.process_time()
    async with FakeBroker(script) as broker:
        with pytest.raises(errors.ClientError):
            await connect(
                broker.address,
                security_protocol="SASL_PLAINTEXT",
                sasl_mechanism="SCRAM-SHA-512",
                sasl_username=USER,
                sasl_password=PASSWORD,
            )
        # No proof was sent either.
        assert not any(b"p=" in bytes(getattr(message, "auth_bytes", b"")) for _, message in broker.requests)
    assert time.process_time() - began < 20


async def test_a_broker_with_the_name_of_another(tmp_path: Path) -> None:
    """Pulsar CVE-2022-33681, -33682, -33683: it is told no password, nor who asks."""
    authority = await asyncio.to_thread(Authority, tmp_path)
    certificate, key = await asyncio.to_thread(
        authority.issue, "other", "/CN=other.example", "DNS:other.example"
    )
    accepts = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    accepts.load_cert_chain(certificate, key)
    seen: list[bytes] = []

    def script(_header: RequestHeader, request: Request) -> Answer:
        if isinstance(request, SaslHandshakeRequest):
            return SaslHandshakeResponse(mechanisms=["PLAIN"])
        seen.append(bytes(getattr(request, "auth_bytes", b"")))
        return SaslAuthenticateResponse()

    async with FakeBroker(script, tls=accepts) as broker:
        for address in (broker.address, f"localhost:{broker.port}"):
            with pytest.raises(errors.ClientError, match="certificate"):
                await connect(
                    address,
                    security_protocol="SASL_SSL",
                    ssl_cafile=str(authority.certificate),
                    sasl_mechanism="PLAIN",
                    sasl_username=USER,
                    sasl_password=PASSWORD,
                )
        assert broker.requests == []
    assert seen == []
