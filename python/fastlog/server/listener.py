"""One listening socket."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from fastlog.server.connection import Connection, ConnectionHost

BACKLOG: Final = 1024


@dataclass(frozen=True, slots=True)
class BoundListener:
    """A listener that accepts: its name, and the address it really has (port 0 was resolved)."""

    name: str
    host: str
    port: int
    server: asyncio.Server

    def close(self) -> None:
        """Stops accepting. Open connections go on."""
        self.server.close()


async def bind(host: str | None, port: int, connections: ConnectionHost) -> BoundListener:
    """Starts to accept on `host` (None or empty: all interfaces). Raises OSError."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(connections), host or None, port, backlog=BACKLOG, start_serving=True
    )
    address = server.sockets[0].getsockname()
    return BoundListener(connections.listener, str(address[0]), int(address[1]), server)
