"""A storm of connections from one address: who has authenticated keeps working, and others still come in.

What keeps the storm away are `max.connections.per.ip.overrides` and a quota of the address. Without either
this test fails: the storm takes all the places of `max.connections`, and nobody else comes in.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fastlog.wire.messages.alter_client_quotas import (
    AlterClientQuotasRequest,
    EntityData,
    EntryData,
    OpData,
)
from tests.fault.test_unauthenticated_load import Asking
from tests.harness.broker_process import BrokerProcess
from tests.harness.certificates import Authority
from tests.harness.link import Link
from tests.harness.net import free_port, wait_for_port
from tests.harness.tls import TlsClient, client_context

STORM = int(os.environ.get("FASTLOG_STORM", "5000"))
FROM = "127.0.0.2"
OPEN_AT_ONCE = 400
"""Connections that the storm keeps open, more than there are places."""
PLACES = 200
GUARDS = {"max.connections.per.ip.overrides": f"{FROM}:100"}


class Secured:
    """A broker with a listener that authenticates by certificates, and one that does not."""

    def __init__(self, directory: Path, settings: dict[str, str]) -> None:
        self.authority = Authority(directory / "tls")
        self.port = free_port()
        certificate = str(self.authority.certificate)
        self.broker = BrokerProcess(
            directory / "broker",
            settings={
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SSL:SSL",
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": str(self.authority.store("broker")),
                "ssl.truststore.type": "PEM",
                "ssl.truststore.location": certificate,
                "max.connections": str(PLACES),
                "fastlog.authentication.timeout.ms": "60000",
                **settings,
            },
        )
        self.broker.launch("--listen", f"SSL://127.0.0.1:{self.port}")
        for port in (self.broker.port, self.port):
            wait_for_port("127.0.0.1", port, process=self.broker.process, timeout=60)

    def client(self, timeout: float = 60) -> TlsClient:
        """One who means it."""
        return TlsClient(self.port, client_context(self.authority.certificate), timeout=timeout)


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Secured]:
    made = Secured(tmp_path, GUARDS)
    yield made
    assert made.broker.process.poll() is None
    assert "Traceback" not in made.broker.log_text, made.broker.log_text[-4000:]
    made.broker.stop()


def limit_address(port: int, rate: float) -> None:
    """As `fastlog quota set --ip ADDRESS connections=RATE`."""
    ops = [OpData("connection_creation_rate", rate)]
    with Link(port) as link:
        answer = link.call(AlterClientQuotasRequest([EntryData([EntityData("ip", FROM)], ops)]), 1)
    assert answer.entries[0].error_code == 0  # type: ignore[attr-defined]


def storm(port: int, count: int) -> tuple[int, list[socket.socket]]:
    """(how many were made, those that are still open at this end)."""
    clients: list[socket.socket] = []
    made = 0
    for _ in range(count):
        with suppress(OSError):
            client = socket.create_connection(("127.0.0.1", port), 5, source_address=(FROM, 0))
            made += 1
            clients.append(client)
        if len(clients) > OPEN_AT_ONCE:
            clients.pop(0).close()
    return made, clients


@pytest.mark.timeout(300)
def test_who_is_in_keeps_working_and_others_come_in(secured: Secured) -> None:
    steady = secured.client()
    assert steady.ask() == 0
    limit_address(secured.broker.port, 200.0)
    before = secured.broker.resident_mb()
    with Asking(steady):
        made, clients = storm(secured.port, STORM)
        assert made > STORM * 0.9
        # The storm is still there.
        began = time.monotonic()
        newcomer = secured.client(timeout=30)
        assert newcomer.ask() == 0
        assert time.monotonic() - began < 10
        newcomer.close()
        for client in clients:
            client.close()
    assert secured.broker.resident_mb() - before < 40
    steady.close()


@pytest.mark.timeout(120)
def test_without_the_guards_nobody_else_comes_in(tmp_path: Path) -> None:
    """That they are what helps: the same storm, smaller, with neither."""
    made = Secured(tmp_path, {})
    clients: list[socket.socket] = []
    try:
        steady = made.client()
        assert steady.ask() == 0
        _, clients = storm(made.port, PLACES + 50)
        with pytest.raises((TimeoutError, OSError)):
            made.client(timeout=3).ask()
        # Who was there before is served all the same.
        assert steady.ask() == 0
        for client in clients:
            client.close()
        newcomer = made.client(timeout=30)
        assert newcomer.ask() == 0
        newcomer.close()
        steady.close()
    finally:
        for client in clients:
            client.close()
        made.broker.stop()
