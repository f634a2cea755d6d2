"""A plain socket to a server of ZooKeeper's protocol: packets exactly as a test wants them."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Self

from fastlog.coordination.zookeeper.codes import OpCode, Xid
from fastlog.coordination.zookeeper.jute import Reader, framed
from fastlog.coordination.zookeeper.replies import (
    ConnectReply,
    ConnectRequest,
    Event,
    read_event,
    read_header,
)
from fastlog.coordination.zookeeper.requests import Request, SetWatches, write_request

_SPECIAL = {OpCode.PING: Xid.PING, OpCode.AUTH: Xid.AUTH}


class KeeperLink:
    """One connection, whose first packet has been answered with `reply`; it may have no session."""

    def __init__(
        self,
        port: int,
        *,
        timeout_ms: int = 10_000,
        resume: ConnectReply | None = None,
        last_zxid: int = 0,
    ) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        session_id, password = (0, bytes(16)) if resume is None else (resume.session_id, resume.password)
        self.send(bytes(ConnectRequest(last_zxid, timeout_ms, session_id, password).write()))
        self.reply = ConnectReply.read(Reader(self.packet()))
        self._xid = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def request(self, *requests: Request) -> int:
        """Sends requests in one piece; gives the xid of the last one."""
        xid, packets = 0, bytearray()
        for request in requests:
            self._xid += 1
            xid = _SPECIAL.get(OpCode(request.op), self._xid)
            if isinstance(request, SetWatches):
                xid = Xid.SET_WATCHES
            packets += framed(bytes(write_request(xid, request)))
        self.socket.sendall(packets)
        return xid

    def answer(self) -> Event | tuple[int, int, int, Reader]:
        """The next packet: an event, or (xid, zxid, code, rest) of an answer."""
        reader = Reader(self.packet())
        xid, zxid, code = read_header(reader)
        return read_event(reader) if xid == Xid.EVENT else (xid, zxid, code, reader)

    def ask(self, request: Request) -> tuple[int, Reader]:
        """(code, body) of the answer to one request. Events that come before it are an error."""
        xid = self.request(request)
        said = self.answer()
        assert not isinstance(said, Event), said
        got, _, code, reader = said
        assert got == xid
        return code, reader

    def send(self, packet: bytes) -> None:
        """Sends any packet."""
        self.socket.sendall(framed(packet))

    def packet(self) -> bytes:
        """The next one, without its length."""
        return self._take(int.from_bytes(self._take(4)))

    def _take(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            assert piece, "the server has closed the connection"
            data += piece
        return bytes(data)


def word(port: int, asked: bytes) -> str:
    """What a four-letter word is answered with."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        link.sendall(asked)
        data = b""
        while piece := link.recv(65536):
            data += piece
    return data.decode()
