"""How record bytes get from a segment file to a socket: `preadv` into memory and `send`, or `sendfile`.

The file is in the page cache, the peer is a thread that throws away what it receives. `sendfile` saves a copy
but reads cold pages on the thread that calls it, which in the broker would be the event loop.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Benchmark = Callable[..., Any]
SIZES = (16 * 1024, 1024 * 1024)


@pytest.fixture
def link() -> Iterator[socket.socket]:
    """A TCP connection over loopback whose other end is read as fast as it can be."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sender = socket.create_connection(server.getsockname())
        receiver, _ = server.accept()

    def drain() -> None:
        buffer = bytearray(1024 * 1024)
        while receiver.recv_into(buffer):
            pass

    thread = threading.Thread(target=drain)
    thread.start()
    yield sender
    sender.close()
    thread.join()
    receiver.close()


@pytest.fixture
def segment(tmp_path: Path) -> Iterator[int]:
    """A descriptor of a file of 16 MiB in the page cache."""
    path = tmp_path / "segment"
    path.write_bytes(os.urandom(16 * 1024 * 1024))
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("size", SIZES)
def test_preadv_and_send(benchmark: Benchmark, link: socket.socket, segment: int, size: int) -> None:
    """What the broker does, on its I/O threads and its event loop."""
    buffer = bytearray(size)

    def send() -> None:
        os.preadv(segment, [buffer], 4096)
        link.sendall(buffer)

    benchmark(send)


@pytest.mark.parametrize("size", SIZES)
def test_sendfile(benchmark: Benchmark, link: socket.socket, segment: int, size: int) -> None:
    """What it could do instead."""

    def send() -> None:
        sent = 0
        while sent < size:
            sent += os.sendfile(link.fileno(), segment, 4096 + sent, size - sent)

    benchmark(send)
