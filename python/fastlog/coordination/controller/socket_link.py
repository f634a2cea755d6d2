"""To a broker in another process: one connection that is kept open, also while there is nothing to send.

There is no heartbeat between controller and brokers. But an operating system that ends a process closes its
sockets: the idle connection breaks within milliseconds of a kill, and `on_lost` is told. A broker that closes
a connection because it was idle for long (`connections.max.idle.ms`) would not be missed afterwards: whatever
broke is made again, until it is closed here.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, cast

from fastlog.coordination.controller.channel_queue import ControlRequest
from fastlog.coordination.controller.channels import ControlResponse
from fastlog.coordination.controller.data import Endpoint
from fastlog.errors import FastlogError
from fastlog.net.backoff import Backoff
from fastlog.net.connection import Connection
from fastlog.net.dialer import Dialer
from fastlog.wire import ApiKey

VERSIONS: Final = {ApiKey.LEADER_AND_ISR: 7, ApiKey.UPDATE_METADATA: 8, ApiKey.STOP_REPLICA: 4}
"""Those of the inter-broker protocol 3.9."""
_ANSWER_SECONDS: Final = 30.0
"""`controller.socket.timeout.ms`."""
_CONNECT_SECONDS: Final = 10.0
_PROBE_SECONDS: Final = 1.0
_FIRST_PAUSE_SECONDS: Final = 0.1

_Address = tuple[int, int, int, str, object]
"""Family, kind, protocol, name, and what `connect` takes."""


class SocketLink:
    """See `ControlLink`. `address` gives a listener each time that a connection is to be made.

    `on_lost` is called when a connection has broken that was not closed here, or could not be made again. A
    broker that has never accepted one is not missed: Kafka's register before they listen.
    """

    def __init__(
        self,
        address: Callable[[], Endpoint],
        *,
        client_id: str,
        on_lost: Callable[[], None] | None = None,
        dialer: Dialer | None = None,
        timeout: float = _ANSWER_SECONDS,
    ) -> None:
        self._address = address
        self._client_id = client_id
        self._on_lost = on_lost
        self._dialer = dialer or Dialer()
        self._timeout = timeout
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()
        self._watching: set[asyncio.Task[None]] = set()
        self._was_connected = False
        self._closed = False

    async def ask(self, request: ControlRequest) -> ControlResponse:
        """See `ControlLink`. Raises ClientError."""
        connection = await self._connected()
        version = VERSIONS[request.API]
        return cast("ControlResponse", await connection.call(request, version, timeout=self._timeout))

    async def close(self) -> None:
        """See `ControlLink`."""
        self._closed = True
        if self._connection is not None:
            await self._connection.close()
        for watching in list(self._watching):
            watching.cancel()

    async def _connected(self) -> Connection:
        async with self._opening:
            former = self._connection
            if former is None or not former.is_open:
                return await self._open()
            if not former.is_due:
                return former
            # Nobody misses it: another one is there already.
            connection = await self._open()
            former.retire()
            return connection

    async def _open(self) -> Connection:
        to = self._address()
        try:
            connection = await self._dialer.connection(
                to.listener, to.host, to.port, client_id=self._client_id, timeout=_CONNECT_SECONDS
            )
        except Exception:
            self._tell()
            raise
        self._connection = connection
        self._was_connected = True
        watching = asyncio.get_running_loop().create_task(self._watch(connection))
        self._watching.add(watching)
        watching.add_done_callback(self._watching.discard)
        return connection

    async def _watch(self, connection: Connection) -> None:
        await connection.lost()
        if connection is self._connection:
            self._connection = None
            self._tell()
            await self._connect_again()

    async def _connect_again(self) -> None:
        """Until there is a connection whose end would be noticed: each failure is told."""
        pauses = Backoff(_FIRST_PAUSE_SECONDS)
        while not self._closed:
            await asyncio.sleep(pauses.next())
            try:
                await self._connected()
            except (OSError, FastlogError):
                continue
            return

    def _tell(self) -> None:
        if self._on_lost is not None and self._was_connected and not self._closed:
            self._on_lost()


class Port(Enum):
    """What became of a try to connect."""

    OPEN = "open"
    REFUSED = "refused"
    """The host is up and says that nobody listens there."""
    UNKNOWN = "unknown"


async def knock(host: str, port: int) -> Port:
    """Tries to connect, and hangs up. Only a refusal by every address of the host counts as one."""
    loop = asyncio.get_running_loop()
    outcomes: set[Port] = set()
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            for family, kind, protocol, _, address in await _addresses(loop, host, port):
                outcomes.add(await _knock_at(loop, socket.socket(family, kind, protocol), address))
    except (OSError, TimeoutError):
        return Port.UNKNOWN
    if Port.OPEN in outcomes:
        return Port.OPEN
    return Port.REFUSED if outcomes == {Port.REFUSED} else Port.UNKNOWN


async def _addresses(loop: asyncio.AbstractEventLoop, host: str, port: int) -> Sequence[_Address]:
    """A name is looked up in a thread, of which all may be busy: a number needs none."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)


async def _knock_at(loop: asyncio.AbstractEventLoop, door: socket.socket, address: object) -> Port:
    with door:
        door.setblocking(False)
        try:
            await loop.sock_connect(door, address)  # type: ignore[arg-type]
        except OSError as error:
            return Port.REFUSED if error.errno == errno.ECONNREFUSED else Port.UNKNOWN
    return Port.OPEN
