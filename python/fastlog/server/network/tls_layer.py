"""TLS between a socket and its connection, by OpenSSL on buffers in memory.

To asyncio it is the protocol of the socket, to `Connection` the transport that it writes to. asyncio's own
TLS does not do: it knows a connection only when its handshake is over, so that half-open ones are neither
counted nor bounded; it computes handshakes on the event loop; and it wants slices of the buffer to read into.

* A handshake is computed on threads (`TlsListener.threads`), a step each time that bytes have come; nothing
  is read meanwhile. The time it may take, and how many may be under way, is the `ConnectionTable`'s.
* What comes is decrypted into one buffer that all connections share, and what leaves goes through OpenSSL in
  records of 16 KiB: what OpenSSL keeps of its buffers, an idle connection has for good.
* Who fails is answered with an alert, and cut after `connection.failed.authentication.delay.ms`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

from fastlog.config.listeners import SecurityProtocol
from fastlog.net.certificate import MalformedCertificate, parse_certificate
from fastlog.server.network.session import ANONYMOUS
from fastlog.server.security.principal_rules import NoRule

if TYPE_CHECKING:
    from fastlog.server.network.connection import Connection
    from fastlog.server.security.identity import Identity

_RECORD: Final = 16 * 1024
_RECEIVE: Final = 64 * 1024
_USER: Final = "User:"
FAILED: Final = "failed handshake"
"""What such connections are counted under."""


class TlsListener:
    """What the connections of a listener share: who it is now, threads for handshakes, and buffers.

    `failure_delay` gives the seconds that who fails waits. Used on the event loop.
    """

    def __init__(self, identity: Identity, threads: Executor, failure_delay: Callable[[], float]) -> None:
        self.identity = identity
        """That of handshakes which begin from now on."""
        self.threads: Final = threads
        self.failure_delay: Final = failure_delay
        self.received: Final = memoryview(bytearray(_RECEIVE))
        self.plain: Final = memoryview(bytearray(_RECEIVE))


class TlsLayer(asyncio.BufferedProtocol, asyncio.Transport):
    """The TLS of one accepted socket."""

    def __init__(self, listener: TlsListener, connection: Connection) -> None:
        asyncio.Transport.__init__(self)
        self._listener = listener
        self._connection = connection
        self._identity = listener.identity
        self._loop = asyncio.get_running_loop()
        self._raw: asyncio.Transport | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = self._identity.context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._is_established = False
        self._computes = False
        self._is_lost = False
        self._closing = False
        self._paused = False
        self._has_ended = False
        self._timer: asyncio.TimerHandle | None = None

    # -- the protocol of the socket --------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A socket was accepted."""
        self._raw = cast("asyncio.Transport", transport)
        self._connection.connection_made(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._listener.received

    def buffer_updated(self, nbytes: int) -> None:
        """`nbytes` bytes have come."""
        if self._closing:
            return
        for at in range(0, nbytes, _RECORD):
            self._incoming.write(self._listener.received[at : min(at + _RECORD, nbytes)])
            if self._is_established:
                self._decrypt()
        if not self._is_established:
            self._shake_hands()

    def eof_received(self) -> bool:
        """The peer sends no more."""
        if not self._is_established or self._closing:
            return False
        return self._end()

    def pause_writing(self) -> None:
        """The socket is full."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """The socket took everything."""
        if self._is_established:
            self._connection.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        self._is_lost = self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        self._connection.connection_lost(exc)

    # -- the transport of the connection --------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """That of the socket."""
        return default if self._raw is None else self._raw.get_extra_info(name, default)

    def is_closing(self) -> bool:
        """Whether it closes, or is closed."""
        return self._closing or self._raw is None or self._raw.is_closing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Those of the socket."""
        if self._raw is not None:
            self._raw.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """Encrypted bytes that the socket has not taken."""
        return 0 if self._raw is None else self._raw.get_write_buffer_size()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypts and sends."""
        if self.is_closing() or self._raw is None:
            return
        size = len(data)
        view = memoryview(data)
        records = []
        try:
            for at in range(0, size, _RECORD):
                self._tls.write(view[at : at + _RECORD])
                records.append(self._outgoing.read())
        except ssl.SSLError as error:
            self._connection.close("failed send", error.reason or error)
            return
        self._raw.write(records[0] if len(records) == 1 else b"".join(records))

    def pause_reading(self) -> None:
        """Nothing is decrypted until `resume_reading`."""
        self._paused = True
        if self._raw is not None:
            self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Goes on, with what has come already first."""
        self._paused = False
        self._loop.call_soon(self._go_on)

    def close(self) -> None:
        """Says good-bye, and closes when everything is sent."""
        if self._closing or self._raw is None:
            return
        if self._is_established:
            # The peer has not answered, and nobody waits until it does.
            with suppress(ssl.SSLError):
                self._tls.unwrap()
            self._flush()
        self._closing = True
        self._raw.close()

    def abort(self) -> None:
        """Closes at once."""
        self._closing = True
        if self._raw is not None:
            self._raw.abort()

    # -- inside --------------------

    def _flush(self) -> None:
        if self._outgoing.pending and self._raw is not None and not self._raw.is_closing():
            self._raw.write(self._outgoing.read())

    def _shake_hands(self) -> None:
        if self._computes or self._raw is None or self._timer is not None:
            return
        # Nothing may touch OpenSSL's buffers while a thread works on them.
        self._computes = True
        self._raw.pause_reading()
        try:
            step = self._loop.run_in_executor(self._listener.threads, self._tls.do_handshake)
        except RuntimeError:
            # The broker stops.
            self._connection.close("shutdown")
            return
        step.add_done_callback(self._on_step)

    def _on_step(self, step: asyncio.Future[None]) -> None:
        self._computes = False
        error = None if step.cancelled() else step.exception()
        if self._is_lost or step.cancelled():
            return
        try:
            self._flush()
            if error is None:
                self._establish()
            elif isinstance(error, ssl.SSLWantReadError):
                if not self.is_closing() and self._raw is not None:
                    self._raw.resume_reading()
            else:
                self._fail(in_words(error))
        except Exception as defect:  # noqa: BLE001 - the connection must not hang
            self._connection.close(FAILED, defect)

    def _establish(self) -> None:
        session = self._connection.session
        if session.listener.protocol is SecurityProtocol.SSL:
            der = self._tls.getpeercert(binary_form=True)
            if der is not None:
                try:
                    name = parse_certificate(der).subject
                    session.principal = _USER + self._identity.mapper.user(name)
                    if session.principal == ANONYMOUS:
                        raise NoRule(f"{name} is mapped to the name of those who have none")
                except (MalformedCertificate, NoRule) as error:
                    self._fail(str(error))
                    return
            self._connection.host.table.proved(self._connection)
        self._is_established = True
        self._go_on()

    def _fail(self, why: str) -> None:
        """Cuts the connection, a while later: guessing is to take its time. Nothing is read meanwhile."""
        self._timer = self._loop.call_later(
            self._listener.failure_delay(), self._connection.close, FAILED, why
        )

    def _go_on(self) -> None:
        if self._paused or not self._is_established:
            return
        if self._raw is not None and not self.is_closing():
            self._raw.resume_reading()
        self._decrypt()

    def _decrypt(self) -> None:
        """Hands out what has come, as long as the connection takes it."""
        goes_on = True
        while goes_on and not (self._paused or self._closing or self._has_ended):
            try:
                filled, goes_on, ended = self._read()
            except ssl.SSLError as error:
                self._flush()
                self._connection.close("bad frame", in_words(error))
                return
            if filled:
                self._hand_over(self._listener.plain, filled)
            if ended and not self._end():
                self.close()
        self._flush()

    def _read(self) -> tuple[int, bool, bool]:
        """(bytes that are in the common buffer now, whether there may be more, whether the peer ended)."""
        plain, filled = self._listener.plain, 0
        try:
            while filled < _RECEIVE:
                # With a buffer it gives the number of bytes, which is not what its annotation says.
                count = cast("int", self._tls.read(_RECEIVE - filled, plain[filled:]))
                if not count:
                    return filled, False, True
                filled += count
        except ssl.SSLWantReadError:
            return filled, False, False
        except ssl.SSLZeroReturnError:
            return filled, False, True
        return filled, True, False

    def _hand_over(self, plain: memoryview, filled: int) -> None:
        at = 0
        while at < filled and not self._closing:
            with memoryview(self._connection.get_buffer(-1)) as room:
                size = min(len(room), filled - at)
                room[:size] = plain[at : at + size]
            self._connection.buffer_updated(size)
            at += size

    def _end(self) -> bool:
        if self._has_ended:
            return True
        self._has_ended = True
        return self._connection.eof_received()


def in_words(error: BaseException) -> str:
    """What went wrong, without OpenSSL's file names and numbers."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the client's certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return str(error) or type(error).__name__
