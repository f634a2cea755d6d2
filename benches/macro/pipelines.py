"""Many connections that pipeline raw requests from one thread: a client of small and equal cost."""

from __future__ import annotations

import selectors
import socket
import struct
import time
from collections.abc import Mapping, Sequence

_LENGTH = struct.Struct(">i")
_READ = 256 * 1024


class Pipelines:
    """Connections that stay open; what goes out on one comes back in its order."""

    def __init__(self, port: int, connections: int, *, timeout: float = 120) -> None:
        self._timeout = timeout
        self._sockets = [
            socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(connections)
        ]
        for one in self._sockets:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.setblocking(False)

    def __len__(self) -> int:
        return len(self._sockets)

    def close(self) -> None:
        """Closes all of them."""
        for one in self._sockets:
            one.close()

    def spread(self, frames: Sequence[bytes]) -> tuple[float, list[bytes]]:
        """Sends frames over all connections in turn; (seconds until the last answer, answers in that order).

        An answer is a frame without its length. Raises TimeoutError, and ConnectionError when one is cut.
        """
        count = len(self._sockets)
        batches = {index: frames[index::count] for index in range(min(count, len(frames)))}
        seconds, answers = self.exchange(batches)
        return seconds, [answers[index % count][index // count] for index in range(len(frames))]

    def send(self, batches: Mapping[int, Sequence[bytes]]) -> None:
        """Sends a few small frames, by connection, and takes no answers."""
        for index, frames in batches.items():
            for frame in frames:
                assert self._sockets[index].send(frame) == len(frame)

    def exchange(
        self, batches: Mapping[int, Sequence[bytes]], expected: Mapping[int, int] | None = None
    ) -> tuple[float, dict[int, list[bytes]]]:
        """The same as `spread` with frames by connection; `expected` answers, or one for each frame."""
        counts = expected or {index: len(frames) for index, frames in batches.items()}
        out = {index: memoryview(b"".join(frames)) for index, frames in batches.items()}
        received = {index: bytearray() for index in counts}
        answers: dict[int, list[bytes]] = {index: [] for index in counts}
        left = sum(counts.values())
        with selectors.DefaultSelector() as selector:
            for index in counts:
                selector.register(self._sockets[index], selectors.EVENT_READ, index)
            began = time.perf_counter()
            self._start(out, selector)
            while left:
                if time.perf_counter() - began > self._timeout:
                    raise TimeoutError(f"{left} requests have no answer")
                for key, events in selector.select(1):
                    index = key.data
                    if events & selectors.EVENT_WRITE:
                        out[index] = out[index][self._sockets[index].send(out[index][:_READ]) :]
                        if not len(out[index]):
                            selector.modify(key.fileobj, selectors.EVENT_READ, index)
                    if events & selectors.EVENT_READ:
                        data = self._sockets[index].recv(_READ)
                        if not data:
                            raise ConnectionError("the broker closed a connection")
                        received[index] += data
                        found = _take_frames(received[index])
                        answers[index] += found
                        left -= len(found)
        return time.perf_counter() - began, answers

    def _start(self, out: dict[int, memoryview], selector: selectors.BaseSelector) -> None:
        # What is small goes out at once: to wait for room first would cost more than sending it.
        for index, data in out.items():
            out[index] = data[self._sockets[index].send(data[:_READ]) :]
            if len(out[index]):
                selector.modify(self._sockets[index], selectors.EVENT_READ | selectors.EVENT_WRITE, index)


def _take_frames(buffer: bytearray) -> list[bytes]:
    frames, position = [], 0
    while position + 4 <= len(buffer):
        (length,) = _LENGTH.unpack_from(buffer, position)
        if position + 4 + length > len(buffer):
            break
        frames.append(bytes(buffer[position + 4 : position + 4 + length]))
        position += 4 + length
    del buffer[:position]
    return frames
