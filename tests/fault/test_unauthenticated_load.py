"""Crowds that never show who they are: who has is served all the while, and memory stays where it is.

`FASTLOG_CROWD=20000` makes the crowds of the size that a real attack would have.
"""

from __future__ import annotations

import os
import random
import socket
import statistics
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from tests.harness.broker_process import BrokerProcess
from tests.harness.certificates import Authority
from tests.harness.net import free_port, wait_for_port
from tests.harness.tls import TlsClient, client_context

CROWD = int(os.environ.get("FASTLOG_CROWD", "3000"))
SLOWEST_SECONDS = 1.0
"""For the median of answers meanwhile: what they take on a machine that has other work is a tenth of it."""
PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[BrokerProcess, Authority, int, int]]:
    """A broker with SSL and SASL_PLAINTEXT listeners, and their ports."""
    directory = tmp_path_factory.mktemp("crowd")
    authority = Authority(directory / "tls")
    ports = free_port(), free_port()
    settings = {
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(authority.store("broker")),
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": f'{PLAIN} required user_a="secret";',
        "fastlog.authentication.timeout.ms": "2000",
        "fastlog.authentication.max.connections": "200",
        "connection.failed.authentication.delay.ms": "10",
    }
    broker = BrokerProcess(directory / "broker", settings=settings)
    broker.launch(
        "--listen", f"SSL://127.0.0.1:{ports[0]}", "--listen", f"SASL_PLAINTEXT://127.0.0.1:{ports[1]}"
    )
    for port in (broker.port, *ports):
        wait_for_port("127.0.0.1", port, process=broker.process, timeout=60)
    try:
        yield broker, authority, *ports
        assert broker.process.poll() is None
        assert "Traceback" not in broker.log_text, broker.log_text[-4000:]
    finally:
        broker.stop()


class Asking:
    """Somebody who is known asks on and on; `times` says how long answers took."""

    def __init__(self, client: TlsClient) -> None:
        self.times: list[float] = []
        self.failure: BaseException | None = None
        self._client = client
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        assert self.failure is None, self.failure
        assert self.times
        assert statistics.median(self.times) < SLOWEST_SECONDS, sorted(self.times)[-10:]

    def _ask(self) -> None:
        try:
            while not self._over.wait(0.02):
                began = time.monotonic()
                assert self._client.ask() == 0
                self.times.append(time.monotonic() - began)
        except BaseException as error:  # noqa: BLE001 - raised by the test
            self.failure = error


def connect(port: int) -> socket.socket:
    """A connection that does nothing yet."""
    return socket.create_connection(("127.0.0.1", port), timeout=10)


@pytest.mark.timeout(300)
def test_half_open_handshakes_and_a_storm(secured: tuple[BrokerProcess, Authority, int, int]) -> None:
    broker, authority, port, _ = secured
    context = client_context(authority.certificate)
    steady = TlsClient(port, context, timeout=60)
    assert steady.ask() == 0
    before = broker.resident_mb()
    with Asking(steady), ExitStack() as stack:
        for index in range(CROWD):
            client = stack.enter_context(connect(port))
            # Some begin a handshake, and others not even that.
            if index % 2:
                with suppress(ConnectionError):
                    client.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        # Who means it comes in beside them.
        for _ in range(5):
            newcomer = TlsClient(port, context, timeout=60)
            assert newcomer.ask() == 0
            newcomer.close()
        assert broker.resident_mb() - before < 40
    steady.close()


@pytest.mark.timeout(300)
def test_frames_that_are_none_of_those_that_may_come_first(
    secured: tuple[BrokerProcess, Authority, int, int],
) -> None:
    broker, authority, port, sasl = secured
    draw = random.Random(7)
    steady = TlsClient(port, client_context(authority.certificate), timeout=60)
    assert steady.ask() == 0
    before = broker.resident_mb()
    sizes = (0, 7, 8, 9, 100, 524_287, 524_289, 2**31 - 1, -1)
    with Asking(steady):
        for _ in range(CROWD):
            size = draw.choice(sizes)
            key, version = draw.choice((0, 3, 17, 18, 36, 77, -1)), draw.choice((0, 1, 2, 3, 4, 99))
            body = struct.pack(">hhih", key, version, 1, draw.choice((-1, 0, 2**15 - 1)))
            body += struct.pack(">i", draw.choice((-1, 0, 2**31 - 1))) + draw.randbytes(draw.randrange(200))
            with connect(sasl) as client, suppress(ConnectionError, TimeoutError):
                client.sendall(struct.pack(">i", size) + body)
        assert broker.resident_mb() - before < 40
    steady.close()
