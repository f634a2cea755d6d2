"""Sending of one answer whose records are still in their files: by I/O threads, in turns with the socket.

The I/O thread sends until the socket is full; then the event loop waits until there is room and asks again.
Nobody else may write to the socket meanwhile: the connection sees to that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from fastlog.native import Socket

if TYPE_CHECKING:
    from fastlog.native import FileResponse
    from fastlog.server.network.connection_host import ConnectionHost

PEER_GONE: Final = "the peer is gone"
"""Why an answer was not sent, when that is nobody's fault here."""

Send = Callable[[Socket, "FileResponse", int], "asyncio.Future[int]"]


class Sender(Protocol):
    """Sends answers from files, one at a time."""

    @property
    def busy(self) -> bool:
        """Whether an answer is being sent."""
        ...

    def start(self, response: FileResponse) -> None:
        """Begins to send."""
        ...

    def resume(self) -> None:
        """The transport has given everything to the socket."""
        ...

    def close(self) -> None:
        """The connection is lost."""
        ...


class FileSender:
    """Of one connection; at most one answer at a time.

    `on_progress(blocked)` is told after each turn whether the socket is full, `on_end(error)` when the answer
    is sent (None) or the connection is of no more use (why).
    """

    __slots__ = ("_loop", "_on_end", "_on_progress", "_position", "_response", "_send", "_socket", "_waiting")

    def __init__(
        self,
        transport: asyncio.BaseTransport,
        send: Send,
        on_progress: Callable[[bool], None],
        on_end: Callable[[object], None],
    ) -> None:
        # A descriptor of our own: asyncio lets nobody else wait for the one of its transport, and the number
        # of a closed descriptor may be another file's by the time an I/O thread uses it.
        self._socket: Socket | None = Socket(transport.get_extra_info("socket").fileno())
        self._loop = asyncio.get_running_loop()
        self._send = send
        self._on_progress = on_progress
        self._on_end = on_end
        self._response: FileResponse | None = None
        self._position = 0
        self._waiting = False

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
        """It waits for the socket by itself."""

    def close(self) -> None:
        """The connection is lost: nothing is called any more. A turn that is under way ends by itself."""
        self._wait_no_more()
        self._response = self._socket = None

    def _turn(self) -> None:
        socket, response = self._socket, self._response
        if socket is None or response is None:
            return
        try:
            future = self._send(socket, response, self._position)
        except Exception as error:  # noqa: BLE001 - a stopping broker; the connection must not hang
            self._finish(error)
            return
        future.add_done_callback(self._on_turn)

    def _on_turn(self, done: asyncio.Future[int]) -> None:
        try:
            self._look_at(done)
        except Exception as error:  # noqa: BLE001 - the connection must not hang
            self._finish(error)

    def _look_at(self, done: asyncio.Future[int]) -> None:
        socket, response = self._socket, self._response
        error = done.exception()
        if socket is None or response is None:
            return
        if error is not None:
            self._finish(error)
            return
        position = done.result()
        if position < 0:
            self._finish(PEER_GONE)
            return
        self._position = position
        if position == len(response):
            self._finish(None)
            return
        self._waiting = True
        self._loop.add_writer(socket.fileno(), self._on_writable)
        self._on_progress(True)

    def _on_writable(self) -> None:
        try:
            if self._socket is not None:
                self._wait_no_more()
                self._on_progress(False)
                self._turn()
        except Exception as error:  # noqa: BLE001 - the connection must not hang
            self._finish(error)

    def _wait_no_more(self) -> None:
        if self._waiting and self._socket is not None:
            self._waiting = False
            self._loop.remove_writer(self._socket.fileno())

    def _finish(self, error: object) -> None:
        self._wait_no_more()
        self._response = None
        try:
            self._on_end(error)
        except Exception as failure:  # noqa: BLE001 - the connection must not hang
            # What was to come after this answer did not.
            self._on_end(failure)


def sender_for(
    transport: asyncio.Transport,
    host: ConnectionHost,
    on_progress: Callable[[bool], None],
    on_end: Callable[[object], None],
) -> Sender:
    """The one that a connection of this host needs. Raises OSError."""
    if not host.listener.is_encrypted:
        return FileSender(transport, host.send, on_progress, on_end)
    from fastlog.server.network.encrypted_sender import EncryptedSender  # with TLS alone

    return EncryptedSender(transport, host.copy, on_end)
