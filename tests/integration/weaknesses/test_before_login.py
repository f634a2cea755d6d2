"""What those try who have not shown who they are: sizes that are lies, bombs, requests of brokers."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from contextlib import suppress

import pytest

from fastlog.errors import ErrorCode
from fastlog.wire import Request
from fastlog.wire.messages.allocate_producer_ids import AllocateProducerIdsRequest
from fastlog.wire.messages.alter_partition import AlterPartitionRequest
from fastlog.wire.messages.controlled_shutdown import ControlledShutdownRequest
from fastlog.wire.messages.leader_and_isr import LeaderAndIsrRequest
from fastlog.wire.messages.stop_replica import StopReplicaRequest
from fastlog.wire.messages.update_metadata import UpdateMetadataRequest
from tests.harness.broker_process import BrokerProcess
from tests.harness.link import Connection, Link
from tests.harness.net import free_port, wait_for_port

MODULE = "org.apache.kafka.common.security.plain.PlainLoginModule"
MANY = 2**31 - 1
VARINT_MANY = b"\xff\xff\xff\xff\x07"
FLAT_MB = 15


class Exposed(BrokerProcess):
    """A broker of which `sasl` is the port with SASL, `others` one that is not that of brokers."""

    sasl: int
    others: int


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exposed]:
    """A process of its own: its memory is looked at."""
    sasl, others = free_port(), free_port()
    broker = Exposed(
        tmp_path_factory.mktemp("exposed"),
        settings={
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,OTHERS:PLAINTEXT,SASL:SASL_PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl.plain.sasl.jaas.config": f'{MODULE} required user_a="secret";',
            "connection.failed.authentication.delay.ms": "10",
        },
        listeners=[f"SASL://127.0.0.1:{sasl}", f"OTHERS://127.0.0.1:{others}"],
    )
    broker.sasl, broker.others = sasl, others
    with broker:
        for port in (sasl, others):
            wait_for_port("127.0.0.1", port, process=broker.process)
        yield broker
        assert broker.process.poll() is None
        assert "Traceback" not in broker.log_text, broker.log_text[-4000:]


def framed(key: int, version: int, body: bytes, *, flexible: bool = False) -> bytes:
    """A request without a client id."""
    header = struct.pack(">hhih", key, version, 1, -1) + (b"\0" if flexible else b"")
    return struct.pack(">i", len(header) + len(body)) + header + body


HANDSHAKE = framed(17, 1, struct.pack(">h", 5) + b"PLAIN")


def ends(port: int, *sent: bytes) -> bool:
    """Whether the broker closes the connection; what it answers before that is errors and handshakes."""
    with Connection(port) as client:
        # It may close while the rest is still on its way.
        with suppress(ConnectionError):
            for frame in sent:
                client.socket.sendall(frame)
        try:
            while True:
                client.receive_frame()
        except ConnectionError:
            return True
        except TimeoutError:
            return False


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param([framed(18, 3, VARINT_MANY + b"x", flexible=True)], id="a name in ApiVersions"),
        pytest.param([framed(18, 3, b"\2a\2b" + VARINT_MANY, flexible=True)], id="tagged fields"),
        pytest.param([framed(18, 3, b"\2a\2b\1\0" + VARINT_MANY, flexible=True)], id="a tagged field"),
        pytest.param(
            [struct.pack(">ihhih", 15, 18, 3, 1, -1) + VARINT_MANY], id="tagged fields of the header"
        ),
        pytest.param([framed(17, 1, struct.pack(">h", 32767) + b"PLAIN")], id="a mechanism"),
        pytest.param([HANDSHAKE, framed(36, 0, struct.pack(">i", MANY) + b"\0a\0b")], id="a token"),
        pytest.param(
            [HANDSHAKE, framed(36, 2, VARINT_MANY + b"\0a\0b", flexible=True)], id="a compact token"
        ),
        # An array of two thousand millions, in an API that has one.
        pytest.param([framed(3, 1, struct.pack(">i", MANY))], id="an array of Metadata"),
        pytest.param([framed(3, 9, VARINT_MANY, flexible=True)], id="a compact array of Metadata"),
        pytest.param([struct.pack(">i", MANY)], id="a frame"),
    ],
)
def test_sizes_that_are_lies(exposed: Exposed, sent: list[bytes]) -> None:
    """CVE-2022-34917, CVE-2026-111108: closed, and memory stays flat."""
    before = exposed.peak_resident_mb()
    assert ends(exposed.sasl, *sent)
    assert exposed.peak_resident_mb() - before < FLAT_MB


@pytest.mark.parametrize("where", ["header", "body"])
def test_millions_of_tagged_fields(exposed: Exposed, where: str) -> None:
    """CVE-2026-111115: whoever may send large frames is not worked for either."""
    count = 3_000_000
    # Tags go up; each is empty.
    fields = b"".join(
        bytes([tag & 0x7F | 0x80, tag >> 7 & 0x7F | 0x80, tag >> 14, 0])
        for tag in range(1 << 14, (1 << 14) + 30_000)
    )
    number = bytes([count & 0x7F | 0x80, count >> 7 & 0x7F | 0x80, count >> 14 & 0x7F | 0x80, count >> 21])
    many = number + fields * (count // 30_000)
    if where == "header":
        header = struct.pack(">hhih", 18, 3, 1, -1) + many
        frame = struct.pack(">i", len(header)) + header
    else:
        frame = framed(18, 3, b"\2a\2b" + many, flexible=True)
    before = exposed.peak_resident_mb()
    assert ends(exposed.port, frame)
    # The frame itself is there while it comes.
    assert exposed.peak_resident_mb() - before < FLAT_MB + 4 * len(frame) / 2**20


def test_a_bomb(exposed: Exposed) -> None:
    """NATS 2026-27571 and 2026-29785: 256 MB in a compressed batch of nobody, unpacked by nobody."""
    packed = gzip.compress(bytes(64 * 2**20)) * 4
    batch = struct.pack(">qiib", 0, len(packed) + 49, 0, 2) + bytes(44) + packed
    body = struct.pack(">hhii", -1, 1, 1000, 1) + struct.pack(">h", 1) + b"t"
    body += struct.pack(">iii", 1, 0, len(batch)) + batch
    before = exposed.peak_resident_mb()
    assert ends(exposed.sasl, framed(0, 3, body))
    # The same as a token: PLAIN has no such thing as compression.
    assert ends(exposed.sasl, HANDSHAKE, framed(36, 0, struct.pack(">i", len(packed)) + packed))
    assert exposed.peak_resident_mb() - before < FLAT_MB


@pytest.mark.parametrize(
    ("request_", "version"),
    [
        (LeaderAndIsrRequest(controller_id=1, controller_epoch=1_000), 6),
        (StopReplicaRequest(controller_id=1, controller_epoch=1_000), 3),
        (UpdateMetadataRequest(controller_id=1, controller_epoch=1_000), 7),
        (ControlledShutdownRequest(broker_id=1), 3),
        (AlterPartitionRequest(broker_id=1), 3),
        (AllocateProducerIdsRequest(broker_id=1), 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Request) else "",
)
def test_requests_of_brokers_from_nobody(exposed: Exposed, request_: Request, version: int) -> None:
    """NATS 2026-16: over a listener of clients they are refused, without any authorizer."""
    with Link(exposed.others) as link:
        answer = link.call(request_, version)
        assert getattr(answer, "error_code", None) == ErrorCode.CLUSTER_AUTHORIZATION_FAILED, answer
