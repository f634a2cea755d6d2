"""10,000 malformed frames: each costs at most its own connection, memory stays flat, others go on."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastlog.wire import ApiKey, encode_request
from fastlog.wire.api_keys import APIS
from fastlog.wire.messages import request_type
from fastlog.wire.messages.api_versions import ApiVersionsRequest
from tests.harness.broker_process import BrokerProcess
from tests.harness.drawn_requests import sample_request
from tests.harness.link import Link

FRAMES = 10_000
DEEP = (b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff\x0f", b"\x80\x00\x00\x00", b"\xff\xff\xff\xff", b"\x7f\xff")


class GoodClient(threading.Thread):
    """Asks for ApiVersions all the time on one connection, and notes the slowest answer in seconds."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._enough = threading.Event()
        self.answers = 0
        self.slowest = 0.0
        self.error: BaseException | None = None

    def run(self) -> None:
        """Request after request until told to stop."""
        try:
            with Link(self._port) as link:
                while not self._enough.is_set():
                    began = time.monotonic()
                    link.call(ApiVersionsRequest(), 0)
                    self.answers += 1
                    self.slowest = max(self.slowest, time.monotonic() - began)
                    time.sleep(0.005)
        except BaseException as error:  # noqa: BLE001 - handed to the test, which raises it
            self.error = error

    def stop(self) -> None:
        """Ends the loop and raises what went wrong in it."""
        self._enough.set()
        self.join(timeout=30)
        if self.error is not None:
            raise self.error


def malformed_frames(seed: int) -> Iterator[bytes]:
    """Frames that are broken on purpose, made from valid requests of every API and version."""
    chance = random.Random(seed)
    keys = [key for key in ApiKey if key in APIS]
    for _ in range(FRAMES):
        key = chance.choice(keys)
        version = chance.randint(0, APIS[key].max_version)
        valid = encode_request(sample_request(request_type(key), version, chance), version, 7, "hostile")
        yield _broken(valid, chance)


def _broken(valid: bytes, chance: random.Random) -> bytes:
    body = bytearray(valid[4:])
    match chance.randrange(9):
        case 0:  # truncated, length true
            body = body[: chance.randrange(len(body))]
        case 1:  # cut in the middle of a frame: the announced rest never comes
            return valid[: chance.randrange(4, len(valid))]
        case 2:  # negative or enormous length
            return struct.pack(">i", chance.choice([-1, -(2**31), 0, 2**31 - 1, 200_000_000])) + bytes(body)
        case 3:  # a count, length or varint somewhere becomes enormous or negative
            at = chance.randrange(8, max(9, len(body)))
            deep = chance.choice(DEEP)
            body[at : at + len(deep)] = deep
        case 4:  # bytes after the end
            body += chance.randbytes(chance.randrange(1, 64))
        case 5:  # flipped bits
            for _ in range(chance.randrange(1, 8)):
                at = chance.randrange(len(body))
                body[at] ^= 1 << chance.randrange(8)
        case 6:  # unknown API or version
            struct.pack_into(">hh", body, 0, chance.randrange(-5, 2000), chance.randrange(-5, 200))
        case 7:  # noise
            body = bytearray(chance.randbytes(chance.randrange(1, 300)))
        case _:  # a piece repeated many times: counts that are deep and nearly true
            at = chance.randrange(8, max(9, len(body)))
            body[at:at] = body[at : at + 16] * chance.randrange(1, 500)
    return struct.pack(">i", len(body)) + bytes(body)


@pytest.mark.timeout(240)
def test_ten_thousand_malformed_frames(tmp_path: Path) -> None:
    """Each is answered or its connection is closed, within seconds; nothing else happens."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    with BrokerProcess(tmp_path, settings={"auto.create.topics.enable": "false"}) as broker:
        good = GoodClient(broker.port)
        good.start()
        outcomes: Counter[str] = Counter()
        frames = malformed_frames(seed)
        for _ in range(500):  # memory that any work needs is taken before the measurement
            outcomes[_send(broker.port, next(frames))] += 1
        before = broker.resident_mb()
        silent = []
        for frame in frames:
            outcome = _send(broker.port, frame)
            outcomes[outcome] += 1
            if outcome == "silent":
                silent.append(frame.hex())
                # Ten seconds each: a few of them tell enough.
                assert len(silent) < 3, f"neither answered nor refused: {silent}\n{broker.log_text[-4000:]}"
        assert not silent, f"neither answered nor refused: {silent}"
        grown = broker.peak_resident_mb() - before
        good.stop()
        print(
            f"{outcomes}, resident memory grew by {grown:.1f} MiB, slowest good answer {good.slowest:.3f} s"
        )
        assert outcomes.total() == FRAMES
        assert outcomes["closed"] > FRAMES // 10
        assert outcomes["answered"] > FRAMES // 100
        assert grown < 64
        assert good.answers > 100
        assert good.slowest < 5
        assert "Traceback" not in broker.log_text, broker.log_text[-4000:]
        assert broker.stop() == 0


def _send(port: int, frame: bytes) -> str:
    """What the broker did with one frame on a connection of its own."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        with contextlib.suppress(ConnectionError):
            link.sendall(frame)
            link.shutdown(socket.SHUT_WR)
        try:
            return "answered" if link.recv(65536) else "closed"
        except TimeoutError:
            return "silent"
        except ConnectionError:
            return "closed"
