"""Sending of an answer whose records are still in their files, on a connection with TLS.

`sendfile` is no use there: I/O threads read a part into memory, the event loop encrypts it, and the next one
follows when the socket has taken it. So at most one part of an answer is in memory for each connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fastlog.native import Chunk, FileResponse

_PART: Final = 256 * 1024

Copy = Callable[["FileResponse", int, int], "asyncio.Future[Chunk]"]
"""(response, position, most bytes) -> the bytes."""


class EncryptedSender:
    """Of one connection; at most one answer at a time. See `FileSender`, whose place it takes."""

    __slots__ = ("_copy", "_on_end", "_position", "_response", "_transport", "_waits")

    def __init__(self, transport: asyncio.Transport, copy: Copy, on_end: Callable[[object], None]) -> None:
        self._transport: asyncio.Transport | None = transport
        self._copy = copy
        self._on_end = on_end
        self._response: FileResponse | None = None
        self._position = 0
        self._waits = False

    @property
    def busy(self) -> bool:
        """Whether an answer is being sent."""
        return self._response is not None

    def start(self, response: FileResponse) -> None:
        """Begins to send; ends with a call of `on_end`, unless `close` is called before."""
        self._response = response
        self._position = 0
        self._turn()

    def resume(self) -> None:
        """The socket has taken what it was given."""
        if self._waits:
            self._waits = False
            self._turn()

    def close(self) -> None:
        """The connection is lost: nothing is called any more."""
        self._response = self._transport = None

    def _turn(self) -> None:
        response = self._response
        if response is None:
            return
        try:
            future = self._copy(response, self._position, _PART)
        except Exception as error:  # noqa: BLE001 - a stopping broker; the connection must not hang
            self._finish(error)
            return
        future.add_done_callback(self._on_copied)

    def _on_copied(self, done: asyncio.Future[Chunk]) -> None:
        try:
            self._look_at(done)
        except Exception as error:  # noqa: BLE001 - the connection must not hang
            self._finish(error)

    def _look_at(self, done: asyncio.Future[Chunk]) -> None:
        transport, response, error = self._transport, self._response, done.exception()
        if transport is None or response is None:
            return
        if error is not None:
            self._finish(error)
            return
        chunk = done.result()
        self._position += len(chunk)
        if not len(chunk):
            self._finish("the answer ends early")
            return
        transport.write(memoryview(chunk))
        if transport.is_closing():
            return
        if self._position >= len(response):
            self._finish(None)
        elif transport.get_write_buffer_size():
            self._waits = True
        else:
            self._turn()

    def _finish(self, error: object) -> None:
        self._response = None
        try:
            self._on_end(error)
        except Exception as failure:  # noqa: BLE001 - the connection must not hang
            self._on_end(failure)
