"""Loads of `benches.macro.security`: records through librdkafka, handshakes and logins through plain sockets.

The clients do as little as they can: they take any certificate, and the work of a password's rounds is done
once. So what a broker can do is seen before what they can.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Final

from confluent_kafka import Consumer, Producer, TopicPartition

from fastlog.wire import Request, encode_request
from fastlog.wire.messages.api_versions import ApiVersionsRequest
from fastlog.wire.messages.sasl import SaslAuthenticateRequest, SaslHandshakeRequest

RECORD_BYTES: Final = 10 * 1024
PARTITIONS: Final = 4
_THREADS: Final = 6

Settings = Mapping[str, object]


def produce(settings: Settings, topic: str, count: int) -> float:
    """Seconds until so many records of 10 KiB are acknowledged."""
    producer = Producer(
        {
            **settings,
            "linger.ms": 5,
            "batch.size": 1_000_000,
            "queue.buffering.max.kbytes": 256 * 1024,
            "queue.buffering.max.messages": 1_000_000,
            "message.max.bytes": 1_048_588,
        }
    )
    # Bytes that no codec of a disk could make less of.
    value = hashlib.shake_256(b"record").digest(RECORD_BYTES)
    failures: list[object] = []

    def told(error: object, _: object) -> None:
        if error is not None:
            failures.append(error)

    began = time.monotonic()
    for number in range(count):
        while True:
            try:
                producer.produce(topic, value, partition=number // 100 % PARTITIONS, on_delivery=told)
                break
            except BufferError:
                producer.poll(0.05)
        if number % 200 == 0:
            producer.poll(0)
    assert producer.flush(300) == 0
    assert not failures, failures[0]
    return time.monotonic() - began


def consume(settings: Settings, topic: str, count: int) -> float:
    """Seconds until so many records are read."""
    consumer = Consumer(
        {
            **settings,
            "group.id": "bench",
            "enable.auto.commit": False,
            "fetch.message.max.bytes": 4 * 1024 * 1024,
            "fetch.max.bytes": 32 * 1024 * 1024,
            "queued.max.messages.kbytes": 128 * 1024,
            "check.crcs": False,
        }
    )
    left, began = count, time.monotonic()
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    while left > 0:
        # It waits until it has so many.
        found = consumer.consume(min(left, 500), 60)
        assert found, f"{left} records are missing"
        left -= len(found)
    took = time.monotonic() - began
    consumer.close()
    return took


class Visitor:
    """Comes in over SSL, or by SCRAM-SHA-512 as well where `password` is given."""

    def __init__(self, port: int, user: str = "", password: str = "") -> None:
        self._port = port
        self._user, self._password = user, password
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        self._keys: tuple[bytes, bytes] | None = None

    def come(self) -> ssl.SSLSocket:
        """One connection, after the answer that says that it is in."""
        raw = socket.create_connection(("127.0.0.1", self._port), timeout=60)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = self._context.wrap_socket(raw, server_hostname="localhost")
        if self._password:
            self._log_in(client)
        else:
            self._ask(client, ApiVersionsRequest(), 0)
        return client

    def _log_in(self, client: ssl.SSLSocket) -> None:
        self._ask(client, SaslHandshakeRequest("SCRAM-SHA-512"), 1)
        bare = f"n={self._user},r=benchmark"
        first = self._token(client, f"n,,{bare}".encode())
        nonce, salt, rounds = (part[2:] for part in first.decode().split(",", 2))
        if self._keys is None:
            salted = hashlib.pbkdf2_hmac(
                "sha512", self._password.encode(), base64.b64decode(salt), int(rounds)
            )
            key = hmac.digest(salted, b"Client Key", "sha512")
            self._keys = key, hashlib.sha512(key).digest()
        key, stored = self._keys
        unproved = f"c=biws,r={nonce}"
        signature = hmac.digest(stored, f"{bare},{first.decode()},{unproved}".encode(), "sha512")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature, strict=True))).decode()
        assert self._token(client, f"{unproved},p={proof}".encode()).startswith(b"v=")

    def _token(self, client: ssl.SSLSocket, token: bytes) -> bytes:
        answer = self._ask(client, SaslAuthenticateRequest(token), 1)
        code, words = struct.unpack_from(">hh", answer, 4)
        assert code == 0, answer
        at = 8 + max(words, 0)
        (size,) = struct.unpack_from(">i", answer, at)
        return answer[at + 4 : at + 4 + size]

    def _ask(self, client: ssl.SSLSocket, request: Request, version: int) -> bytes:
        client.sendall(encode_request(request, version, 1, "bench"))
        (size,) = struct.unpack(">i", _exactly(client, 4))
        return _exactly(client, size)


def _exactly(client: ssl.SSLSocket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = client.recv(size - len(data))
        assert part, "the broker closed the connection"
        data += part
    return data


def visits(visitor: Visitor, count: int) -> float:
    """Seconds for so many connections that come in and go, several at a time."""
    visitor.come().close()
    numbers = iter(range(count))
    lock = threading.Lock()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            while True:
                with lock:
                    if next(numbers, None) is None:
                        return
                visitor.come().close()
        except BaseException as error:  # noqa: BLE001 - raised by who waits
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(_THREADS)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return time.monotonic() - began


@contextmanager
def staying(visitor: Visitor, count: int, look: Callable[[], float]) -> Iterator[float]:
    """What `look` says more while so many connections are there that do nothing, for each of them."""
    with ExitStack() as stack:
        for _ in range(50):
            visitor.come().close()
        time.sleep(1)
        before = look()
        for _ in range(count):
            stack.callback(visitor.come().close)
        time.sleep(1)
        yield (look() - before) / count
