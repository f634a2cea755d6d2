"""Limits of connections beside Apache Kafka's: who is answered, who waits, and who is closed for whom."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

import pytest

from fastlog.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from tests.harness.broker_process import BrokerProcess
from tests.harness.link import Link
from tests.harness.net import free_port, wait_for_port
from tests.peers.apache_kafka import ApacheKafka

pytestmark = [pytest.mark.java, pytest.mark.whole, pytest.mark.timeout(240)]

LIMIT: Final = 3
"""Of the listener CLIENTS."""
WAIT_SECONDS: Final = 2.0
"""Who is not answered by then waits."""
MANY: Final = 40
SETTINGS: Final = {
    "listener.name.clients.max.connections": str(LIMIT),
    "max.connections": "12",
    "num.network.threads": "1",
}


class Peer:
    """One broker; `brokers`, `clients` and `others` are the ports of its listeners."""

    def __init__(self, port: int, clients: int, others: int) -> None:
        self.brokers, self.clients, self.others = port, clients, others
        self._stack = ExitStack()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def open(self, port: int) -> socket.socket:
        """A connection that stays."""
        client = self._stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        client.settimeout(WAIT_SECONDS)
        return client


def fate(client: socket.socket, *, sends: bool = True) -> str:
    """What becomes of a question: `answered`, `waits` or `closed`. `sends`: it was not asked before."""
    try:
        if sends:
            body = struct.pack(">hhih", 18, 0, 1, -1)
            client.sendall(struct.pack(">i", len(body)) + body)
        data = b""
        while len(data) < 4 or len(data) < 4 + struct.unpack_from(">i", data)[0]:
            part = client.recv(65536)
            if not part:
                return "closed"
            data += part
    except TimeoutError:
        return "waits"
    except ConnectionError:
        return "closed"
    return "answered"


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[int, int, int]]]:
    """Of Kafka's broker and of fastlog's."""
    directory = tmp_path_factory.mktemp("connections")
    kafka = ApacheKafka(directory / "kafka", heap="384m", quick=True)
    controller = free_port()
    found = {"kafka": (kafka.port, free_port(), free_port())}
    listed = {"PLAINTEXT": 0, "CLIENTS": 1, "OTHERS": 2}
    clients = ",".join(f"{name}://127.0.0.1:{found['kafka'][at]}" for name, at in listed.items())
    protocols = ",".join(f"{name}:PLAINTEXT" for name in (*listed, "CONTROLLER"))
    kafka._settings = SETTINGS | {
        "listeners": f"{clients},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": clients,
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listener.security.protocol.map": protocols,
        "inter.broker.listener.name": "PLAINTEXT",
    }
    ours = (free_port(), free_port())
    settings = SETTINGS | {
        "listener.security.protocol.map": protocols.rpartition(",")[0],
        "inter.broker.listener.name": "PLAINTEXT",
    }
    fastlog = BrokerProcess(
        directory / "fastlog",
        settings=settings,
        listeners=[
            f"{name}://127.0.0.1:{port}" for name, port in zip(("CLIENTS", "OTHERS"), ours, strict=True)
        ],
    )
    found["fastlog"] = (fastlog.port, *ours)
    with kafka, fastlog:
        for name, process in (("kafka", kafka.process), ("fastlog", fastlog.process)):
            for port in found[name]:
                wait_for_port("127.0.0.1", port, process=process, timeout=60)
        # The connections that have asked who is there are forgotten.
        time.sleep(1)
        yield found
        kafka.kill()
    assert "Traceback" not in fastlog.log_text


def both(ports: dict[str, tuple[int, int, int]], play: object) -> tuple[list[str], list[str]]:
    """What happens at each."""
    told = []
    for name in ("kafka", "fastlog"):
        with Peer(*ports[name]) as peer:
            told.append(play(peer))  # type: ignore[operator]
        # Those that have gone are noticed.
        time.sleep(1)
    return told[0], told[1]


def test_the_next_one_of_a_listener_waits(ports: dict[str, tuple[int, int, int]]) -> None:
    def play(peer: Peer) -> list[str]:
        inside = [peer.open(peer.clients) for _ in range(LIMIT)]
        told = [fate(client) for client in inside]
        next_one = peer.open(peer.clients)
        told.append(fate(next_one))
        # Who is on another listener is not concerned.
        told.append(fate(peer.open(peer.others)))
        told.append(fate(inside[0]))
        inside[1].close()
        told.append(fate(next_one, sends=False))
        return told

    kafka, fastlog = both(ports, play)
    assert fastlog == kafka
    assert kafka == ["answered"] * LIMIT + ["waits", "answered", "answered", "answered"]


def test_a_broker_takes_the_place_of_who_has_been_silent_for_longest(
    ports: dict[str, tuple[int, int, int]],
) -> None:
    def play(peer: Peer) -> list[str]:
        # As many clients as there may be: brokers of Kafka's have connections of their own.
        inside: list[socket.socket] = []
        while len(inside) < MANY:
            client = peer.open(peer.others)
            if fate(client) == "waits":
                break
            inside.append(client)
            time.sleep(0.02)
        told = ["full" if 3 < len(inside) < MANY else str(len(inside))]
        # The first one has something to say once more; so the second one is the one.
        told.append(fate(inside[0]))
        told.append(fate(peer.open(peer.brokers)))
        time.sleep(1)
        told += [fate(inside[at]) for at in (0, 1, 2)]
        told.append(fate(client, sends=False))
        return told

    kafka, fastlog = both(ports, play)
    assert fastlog == kafka
    assert kafka == ["full", "answered", "answered", "answered", "closed", "answered", "waits"]


def test_one_address(ports: dict[str, tuple[int, int, int]]) -> None:
    """Who is there stays when the limit is lowered; who comes is closed at once."""

    def play(peer: Peer) -> list[str]:
        with Link(peer.brokers) as operator:
            inside = peer.open(peer.others)
            told = [fate(inside)]

            def limit(value: str) -> None:
                row = AlterableConfig(name="max.connections.per.ip", config_operation=0, value=value)
                resource = AlterConfigsResource(resource_type=4, resource_name="1", configs=[row])
                answer = operator.call(IncrementalAlterConfigsRequest(resources=[resource]), 1)
                assert answer.responses[0].error_code == 0  # type: ignore[attr-defined]
                # Kafka takes it up a while after the answer.
                time.sleep(1)

            limit("1")
            try:
                told.append(fate(peer.open(peer.others)))
                told.append(fate(inside))
            finally:
                limit("2147483647")
            told.append(fate(peer.open(peer.others)))
        return told

    kafka, fastlog = both(ports, play)
    assert fastlog == kafka == ["answered", "closed", "answered", "answered"]
