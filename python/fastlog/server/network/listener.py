"""One listening socket."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.server.network.connection import Connection
from fastlog.server.network.connection_host import ConnectionHost

_ACCEPTED_AT_ONCE: Final = 32

HostOf = Callable[[str], ConnectionHost]
"""What the connections of the listener of that name share."""


@dataclass(frozen=True, slots=True)
class BoundListener:
    """A listener: its name, the address it really has (port 0 was resolved), and its socket."""

    name: str
    host: str
    port: int
    server: asyncio.Server
    backlog: int

    async def accept(self) -> None:
        """Starts to accept connections."""
        await self.server.start_serving()
        for bound in self.server.sockets:
            # asyncio accepts as many at once as may wait, before it looks at the first of them: too many, as
            # each takes a descriptor and the last may have to be refused. So the numbers are set apart.
            with socket.socket(fileno=os.dup(bound.fileno())) as waiting:
                waiting.listen(self.backlog)

    def close(self) -> None:
        """Stops accepting. Open connections go on."""
        self.server.close()


async def bind(name: str, host: str, port: int, backlog: int, connections: HostOf) -> BoundListener:
    """Takes the address (an empty host: all interfaces) without accepting yet. Raises OSError.

    `connections` is asked when the first connection comes: by then the broker is complete.
    """
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _protocol(connections(name)),
        host or None,
        port,
        backlog=min(backlog, _ACCEPTED_AT_ONCE),
        start_serving=False,
    )
    address = server.sockets[0].getsockname()
    return BoundListener(name, str(address[0]), int(address[1]), server, backlog)


def _protocol(host: ConnectionHost) -> asyncio.BufferedProtocol:
    connection = Connection(host)
    if host.tls is None:
        return connection
    from fastlog.server.network.tls_layer import TlsLayer  # with TLS alone

    return TlsLayer(host.tls, connection)
