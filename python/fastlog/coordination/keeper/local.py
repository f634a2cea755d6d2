"""The keeper of the same process, reached without a socket.

Requests, answers and events pass from one side to the other as they are; the handshake is two packets.
"""

from __future__ import annotations

import asyncio
from collections import deque

from fastlog.coordination.keeper.access import SUPER
from fastlog.coordination.keeper.connection import Answer, KeeperConnection
from fastlog.coordination.keeper.keeper import Keeper
from fastlog.coordination.zookeeper.replies import Event
from fastlog.coordination.zookeeper.requests import Request
from fastlog.coordination.zookeeper.transport import Connector, DirectReceiver, Transport


class _Local:
    """Both ends of one connection. What is sent arrives in another turn of the loop, as over a socket."""

    def __init__(self, keeper: Keeper, receiver: DirectReceiver, *, is_local: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._receiver = receiver
        self._to_keeper: deque[bytes | tuple[int, Request]] = deque()
        self._to_client: deque[bytes | Answer | Event] = deque()
        self._held = False
        self._open = True
        identities = [("ip", "127.0.0.1"), *([SUPER] if is_local else [])]
        wire = _ServerEnd(self)
        direct = wire if is_local else None
        self.server = KeeperConnection(keeper, wire, identities, is_local=is_local, direct=direct)

    def from_client(self, packet: bytes | tuple[int, Request]) -> None:
        if self._open:
            self._to_keeper.append(packet)
            if len(self._to_keeper) == 1:
                self._loop.call_soon(self._feed_keeper)

    def from_keeper(self, packet: bytes | Answer | Event) -> None:
        if self._open:
            self._to_client.append(packet)
            if len(self._to_client) == 1:
                self._loop.call_soon(self._feed_client)

    def hold(self, held: bool) -> None:
        self._held = held
        if not held and self._to_keeper:
            self._loop.call_soon(self._feed_keeper)

    def end(self) -> None:
        if self._open:
            self._open = False
            self._loop.call_soon(self._ended)

    def _feed_keeper(self) -> None:
        while self._to_keeper and not self._held:
            sent = self._to_keeper.popleft()
            if isinstance(sent, bytes):
                self.server.receive(sent)
            else:
                self.server.ask(*sent)

    def _feed_client(self) -> None:
        while self._to_client:
            sent = self._to_client.popleft()
            if isinstance(sent, bytes):
                self._receiver.packet_received(sent)
            elif isinstance(sent, Answer):
                self._receiver.answered(*sent)
            else:
                self._receiver.notified(sent)

    def _ended(self) -> None:
        self._feed_client()
        self.server.lost()
        self._receiver.transport_lost("the keeper has closed the connection")


class _ServerEnd:
    """The connection as the keeper sees it (`DirectWire`)."""

    peer = "this process"
    unsent_bytes = 0

    def __init__(self, local: _Local) -> None:
        self._local = local

    def write(self, packet: bytes) -> None:
        """Sends one packet."""
        self._local.from_keeper(packet)

    def tell(self, what: Answer | Event) -> None:
        """Sends an answer or an event."""
        self._local.from_keeper(what)

    def close(self) -> None:
        """Ends the connection after what was written."""
        self._local.end()

    def abort(self) -> None:
        """The same: nothing is ever on its way for long."""
        self._local.end()

    def hold(self, held: bool) -> None:
        """Whether reading pauses."""
        self._local.hold(held)


class _ClientEnd:
    """The connection as the client sees it (`Transport`)."""

    def __init__(self, local: _Local) -> None:
        self._local = local

    def write(self, packet: bytes | bytearray) -> None:
        """Sends a packet."""
        self._local.from_client(bytes(packet))

    def close(self) -> None:
        """Ends the connection."""
        self._local.end()


class _DirectEnd(_ClientEnd):
    """The same for requests that are not encoded (`DirectTransport`)."""

    def ask(self, xid: int, request: Request) -> None:
        """Sends a request."""
        self._local.from_client((xid, request))


def local_connector(keeper: Keeper, *, outlives: bool = False) -> Connector:
    """Connects to a keeper in this process, which refuses like a closed port when it does not serve.

    Sessions end at the keeper's next start, for whoever had them is gone with the process; those that are to
    outlive it are there for tests, which stop and start a keeper beside its clients, and look at packets.
    """

    async def connect(receiver: DirectReceiver) -> Transport:
        if not keeper.is_serving:
            raise ConnectionRefusedError("the keeper of this process does not serve")
        local = _Local(keeper, receiver, is_local=not outlives)
        return _ClientEnd(local) if outlives else _DirectEnd(local)

    return connect
