"""One listening socket."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Final

from fastlog.server.network.acceptor import ACCEPTED_AT_ONCE, Acceptor
from fastlog.server.network.connection import Connection
from fastlog.server.network.connection_host import ConnectionHost
from fastlog.server.quotas.connection_quotas import ConnectionQuotas


class BoundListener:
    """A listener: its name, the address it really has (port 0 was resolved), and its sockets."""

    def __init__(self, name: str, server: asyncio.Server, backlog: int) -> None:
        address = server.sockets[0].getsockname()
        self.name: Final = name
        self.host: Final = str(address[0])
        self.port: Final = int(address[1])
        self._server = server
        self._backlog = backlog
        self._acceptors: list[Acceptor] = []

    def accept(
        self, host: ConnectionHost, quotas: ConnectionQuotas, on_failure: Callable[[BaseException], None]
    ) -> None:
        """Starts to accept connections, as fast as `quotas` let them in. `on_failure` is told of defects."""
        for bound in self._server.sockets:
            waiting = socket.socket(fileno=os.dup(bound.fileno()))
            # Of those that wait a few are accepted at once: each takes a descriptor.
            waiting.listen(self._backlog)
            acceptor = Acceptor(waiting, host, quotas, partial(_protocol, host), on_failure)
            self._acceptors.append(acceptor)
            acceptor.start()

    def go_on(self) -> None:
        """There may be room for connections that wait."""
        for acceptor in self._acceptors:
            acceptor.go_on()

    def close(self) -> None:
        """Stops accepting. Open connections go on."""
        for acceptor in self._acceptors:
            acceptor.close()
        self._server.close()


async def bind(name: str, host: str, port: int, backlog: int) -> BoundListener:
    """Takes the address (an empty host: all interfaces) without accepting yet. Raises OSError."""
    server = await asyncio.get_running_loop().create_server(
        asyncio.Protocol, host or None, port, backlog=min(backlog, ACCEPTED_AT_ONCE), start_serving=False
    )
    return BoundListener(name, server, backlog)


def _protocol(host: ConnectionHost) -> asyncio.BufferedProtocol:
    connection = Connection(host)
    if host.tls is None:
        return connection
    from fastlog.server.network.tls_layer import TlsLayer  # with TLS alone

    return TlsLayer(host.tls, connection)
