"""The keeper on a port: sockets to packets, limits of connections, four-letter words."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import Counter
from typing import Final

from fastlog.coordination.keeper.access import Identity
from fastlog.coordination.keeper.connection import KeeperConnection
from fastlog.coordination.keeper.four_letter_words import WORDS, Statistics, answer
from fastlog.coordination.keeper.keeper import Keeper
from fastlog.coordination.zookeeper.jute import framed

_LOG: Final = logging.getLogger(__name__)
_WORD_BYTES: Final = 4
# The first packet is some 45 bytes.
_MAX_CONNECT_BYTES: Final = 1024
_HANDSHAKE_SECONDS: Final = 10.0
_CLOSING_SECONDS: Final = 5.0
_BACKLOG: Final = 1024


class KeeperListener:
    """One address that clients connect to."""

    def __init__(self, keeper: Keeper) -> None:
        self.keeper: Final = keeper
        self.statistics: Final = Statistics(keeper)
        self._server: asyncio.Server | None = None
        self._tls: ssl.SSLContext | None = None
        self._by_address: Counter[str] = Counter()

    @property
    def address(self) -> tuple[str, int]:
        """(host, port) that it is bound to. Raises RuntimeError before `open`."""
        if self._server is None:
            raise RuntimeError("the listener is not open")
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    async def open(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Accepts connections from now on. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._tls = tls
        if tls is not None:
            tls.sni_callback = self._begins
        self._server = await loop.create_server(
            lambda: _Socket(self, loop),
            host or None,
            port,
            ssl=tls,
            backlog=_BACKLOG,
            ssl_handshake_timeout=None if tls is None else _HANDSHAKE_SECONDS,
        )

    def renew(self, tls: ssl.SSLContext) -> None:
        """Handshakes from now on are with that one: what it shows, and whom it believes. It demands
        certificates as the first one does. Who is connected stays."""
        self._tls = tls

    def _begins(self, handshake: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> None:
        """OpenSSL asks, also where a client names no server: asyncio knows the first context alone."""
        if self._tls is not None and handshake.context is not self._tls:
            handshake.context = self._tls

    async def close(self) -> None:
        """Accepts nobody any more, and ends all connections."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.statistics.connections):
            connection.abort()

    def admit(self, address: str) -> bool:
        """Whether one more connection of that address may be served; counts it then."""
        settings = self.keeper.settings
        if (
            len(self.statistics.connections) >= settings.max_connections
            or self._by_address[address] >= settings.max_connections_per_ip
        ):
            return False
        self._by_address[address] += 1
        return True

    def leave(self, address: str) -> None:
        """A connection that was admitted is gone."""
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]


class _Socket(asyncio.Protocol):
    """One socket: a `Wire` of its connection."""

    def __init__(self, listener: KeeperListener, loop: asyncio.AbstractEventLoop) -> None:
        self._listener = listener
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._address = ""
        self._admitted = False
        self._handshake: asyncio.TimerHandle | None = None
        self._closing: asyncio.TimerHandle | None = None
        self.connection: KeeperConnection | None = None
        self.peer = ""
        self.held = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a keeper serves streams")
        self._transport = transport
        self._address, port = (transport.get_extra_info("peername") or ("", 0))[:2]
        self.peer = f"{self._address}:{port}"
        self._admitted = self._listener.admit(self._address)
        if not self._admitted:
            _LOG.warning("refusing a connection from %s: there are too many", self.peer)
            transport.abort()
            return
        self.connection = KeeperConnection(self._listener.keeper, self, _identities(self._address, transport))
        self._listener.statistics.connections[self] = None
        self._handshake = self._loop.call_later(_HANDSHAKE_SECONDS, self._check_handshake)

    def connection_lost(self, _: Exception | None) -> None:
        """The client is gone."""
        for timer in (self._handshake, self._closing):
            if timer is not None:
                timer.cancel()
        if self.connection is not None:
            self.connection.lost()
        if self._admitted:
            self._listener.leave(self._address)
            self._listener.statistics.connections.pop(self, None)

    def data_received(self, data: bytes) -> None:
        """Takes whole packets out of the stream."""
        received = self._received
        received += data
        connection = self.connection
        at = 0
        while connection is not None and not self.held and len(received) - at >= _WORD_BYTES:
            length = int.from_bytes(received[at : at + _WORD_BYTES], signed=True)
            if not connection.has_session and bytes(received[:_WORD_BYTES]) in WORDS:
                self._say(bytes(received[:_WORD_BYTES]))
                return
            limit = (
                self._listener.keeper.settings.max_packet_bytes
                if connection.has_session
                else _MAX_CONNECT_BYTES
            )
            if not 0 <= length <= limit:
                _LOG.warning("cutting the connection of %s: a packet of %d bytes", self.peer, length)
                self.abort()
                return
            end = at + _WORD_BYTES + length
            if len(received) < end:
                break
            packet = bytes(received[at + _WORD_BYTES : end])
            at = end
            connection.receive(packet)
        if at:
            del received[:at]

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the client has not taken yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def write(self, packet: bytes) -> None:
        """Sends one packet."""
        if self._transport is not None:
            self._transport.write(framed(packet))

    def close(self) -> None:
        """Ends the connection after what was written, unless the client does not take it."""
        if self._transport is not None:
            self._transport.close()
            self._closing = self._loop.call_later(_CLOSING_SECONDS, self._transport.abort)

    def abort(self) -> None:
        """Ends the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def hold(self, held: bool) -> None:
        """Stops reading, or goes on with what has come."""
        self.held = held
        if self._transport is None or self._transport.is_closing():
            return
        if held:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
            self._loop.call_soon(self.data_received, b"")

    def _say(self, word: bytes) -> None:
        if self._transport is not None:
            self._transport.write(answer(word, self._listener.statistics).encode())
            self._transport.close()

    def _check_handshake(self) -> None:
        if self.connection is not None and not self.connection.has_session:
            _LOG.info("cutting the connection of %s: no session after %.0f s", self.peer, _HANDSHAKE_SECONDS)
            self.abort()


def _identities(address: str, transport: asyncio.BaseTransport) -> list[Identity]:
    """What the socket itself proves: the address, and the subject of a client's certificate."""
    identities = [("ip", address)]
    tls = transport.get_extra_info("ssl_object")
    certificate = None if tls is None else tls.getpeercert(binary_form=True)
    if certificate:
        from fastlog.net.certificate import MalformedCertificate, parse_certificate  # with TLS alone

        try:
            # As ZooKeeper: `X509AuthenticationProvider` takes the name as Java prints it.
            identities.append(("x509", parse_certificate(certificate).subject))
        except MalformedCertificate as error:
            _LOG.warning("the certificate of %s cannot be read: %s", address, error)
    return identities
