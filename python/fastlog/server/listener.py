"""One listening socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from fastlog.server.connection import Connection, ConnectionHost

HostOf = Callable[[str], ConnectionHost]
"""What the connections of the listener of that name share."""


@dataclass(frozen=True, slots=True)
class BoundListener:
    """A listener: its name, the address it really has (port 0 was resolved), and its socket."""

    name: str
    host: str
    port: int
    server: asyncio.Server

    async def accept(self) -> None:
        """Starts to accept connections."""
        await self.server.start_serving()

    def close(self) -> None:
        """Stops accepting. Open connections go on."""
        self.server.close()


async def bind(name: str, host: str, port: int, backlog: int, connections: HostOf) -> BoundListener:
    """Takes the address (an empty host: all interfaces) without accepting yet. Raises OSError.

    `connections` is asked when the first connection comes: by then the broker is complete.
    """
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(connections(name)), host or None, port, backlog=backlog, start_serving=False
    )
    address = server.sockets[0].getsockname()
    return BoundListener(name, str(address[0]), int(address[1]), server)
