"""What carries packets between client and server: a socket, or nothing when both are in one process."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeAlias, runtime_checkable

from fastlog.coordination.zookeeper.errors import ZkError
from fastlog.coordination.zookeeper.jute import framed
from fastlog.coordination.zookeeper.replies import Event, Result
from fastlog.coordination.zookeeper.requests import Request
from fastlog.errors import FastlogError

_LENGTH_BYTES: Final = 4
MAX_PACKET_BYTES: Final = 64 * 1024 * 1024
"""Largest packet that a client takes: the children of a very wide node."""


class Receiver(Protocol):
    """Who is told of packets."""

    def packet_received(self, packet: bytes) -> None:
        """A whole packet has come."""
        ...

    def transport_lost(self, reason: str) -> None:
        """The connection is gone. Comes once, and nothing after it."""
        ...


class Transport(Protocol):
    """A connection to a server."""

    def write(self, packet: bytes | bytearray) -> None:
        """Sends a packet, adding its length. Does nothing on a connection that is gone."""
        ...

    def close(self) -> None:
        """Ends the connection; the receiver is told."""
        ...


@runtime_checkable
class DirectTransport(Transport, Protocol):
    """A connection to a server in this process, which takes requests as they are, and answers so
    (`DirectReceiver`): nothing is encoded. Only the packets of the handshake are."""

    def ask(self, xid: int, request: Request) -> None:
        """Sends a request. Does nothing on a connection that is gone."""
        ...


class DirectReceiver(Receiver, Protocol):
    """Who is told of answers that are no packets."""

    def answered(self, xid: int, zxid: int, outcome: Result | ZkError) -> None:
        """A request has its result, or has failed."""
        ...

    def notified(self, event: Event) -> None:
        """A watch has fired."""
        ...


Connector: TypeAlias = Callable[[DirectReceiver], Awaitable[Transport]]
"""Makes a connection to one server. Raises OSError."""


class _Socket(asyncio.Protocol):
    """A socket as transport."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._reason = "the server has closed the connection"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The server has accepted."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("ZooKeeper's protocol needs a stream")
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        """The server is gone."""
        self._transport = None
        self._receiver.transport_lost(self._reason if error is None else str(error))

    def data_received(self, data: bytes) -> None:
        """Takes whole packets out of the stream."""
        received = self._received
        received += data
        at = 0
        while len(received) - at >= _LENGTH_BYTES:
            start = at + _LENGTH_BYTES
            length = int.from_bytes(received[at:start], signed=True)
            if not 0 <= length <= MAX_PACKET_BYTES:
                self._reason = f"the server has sent a packet of {length} bytes"
                self.close()
                return
            if len(received) < start + length:
                break
            at = start + length
            self._receiver.packet_received(bytes(received[start:at]))
        if at:
            del received[:at]

    def write(self, packet: bytes | bytearray) -> None:
        """Sends a packet."""
        if self._transport is not None:
            self._transport.write(framed(packet))

    def close(self) -> None:
        """Ends the connection at once."""
        if self._transport is not None:
            self._transport.abort()


def socket_connector(host: str, port: int, load_tls: Callable[[], ssl.SSLContext] | None = None) -> Connector:
    """Connects to a server at an address. `load_tls` is called in a thread, for each connection: what it
    reads from files may have been renewed. Of it FastlogError is told as OSError."""

    async def connect(receiver: Receiver) -> Transport:
        loop = asyncio.get_running_loop()
        tls = None
        if load_tls is not None:
            try:
                tls = await asyncio.to_thread(load_tls)
            except FastlogError as error:
                raise OSError(str(error)) from error
        _, protocol = await loop.create_connection(
            lambda: _Socket(receiver), host, port, ssl=tls, server_hostname=None if tls is None else host
        )
        return protocol

    return connect
