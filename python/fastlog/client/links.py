"""Links to brokers: a connection that knows what its broker speaks; and the pool that keeps them.

`open_link` is the one place where a socket becomes usable: TLS would go into `Connection.open`, and the SASL
exchange between the version negotiation and the return of `open_link`. Nothing above it would change.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import PackageNotFoundError, version
from typing import Final, TypeVar, cast

from fastlog.client.connection import MAX_FRAME_BYTES, Connection
from fastlog.client.versions import BrokerVersions, negotiate
from fastlog.wire import Request, Response, response_type

R = TypeVar("R", bound=Response)

CONNECT_TIMEOUT: Final = 10.0
"""Seconds that a connection, and after that each question of the negotiation, may take."""


class Link:
    """A connection with its broker's version ranges."""

    def __init__(self, connection: Connection, versions: BrokerVersions) -> None:
        self.connection: Final = connection
        self.versions: Final = versions

    async def call(
        self,
        body: Request,
        answer: type[R],
        *,
        timeout: float,  # noqa: ASYNC109 - ends the connection, which a cancellation does not
        lowest: int = 0,
        highest: int | None = None,
    ) -> R:
        """Sends `body` in the highest version both speak and returns its answer.

        Raises VersionMismatch and what `Connection.call` raises.
        """
        if response_type(body.API) is not answer:
            raise TypeError(f"{answer.__name__} does not answer {type(body).__name__}")
        chosen = self.versions.pick(body.API, lowest, highest)
        return cast("R", await self.connection.call(body, chosen, timeout=timeout))


async def open_link(
    host: str,
    port: int,
    *,
    client_id: str | None,
    timeout: float,  # noqa: ASYNC109
    max_frame_bytes: int = MAX_FRAME_BYTES,
) -> Link:
    """Connects and negotiates versions. Raises ClientError; no socket is left open then."""
    timeout = min(timeout, CONNECT_TIMEOUT)
    connection = await Connection.open(
        host, port, client_id=client_id, timeout=timeout, max_frame_bytes=max_frame_bytes
    )
    try:
        return Link(connection, await negotiate(connection, _software_version(), timeout))
    except BaseException:
        await connection.close()
        raise


class LinkPool:
    """At most one open link per address and lane; opened on demand, replaced when it has died.

    A lane keeps requests apart that must not wait for each other: a broker answers a connection's requests in
    order, and a fetch may wait long.
    """

    def __init__(self, client_id: str | None) -> None:
        self._client_id = client_id
        self._links: dict[tuple[str, int, str], Link] = {}
        self._locks: dict[tuple[str, int, str], asyncio.Lock] = {}
        self._closed = False
        self.reached: Final[set[tuple[str, int]]] = set()
        """Addresses that have answered at least once."""

    def open_addresses(self) -> list[tuple[str, int]]:
        """Addresses with a link in the first lane that can be used right now."""
        return [key[:2] for key, link in self._links.items() if link.connection.is_open and not key[2]]

    async def get(self, host: str, port: int, *, lane: str = "", timeout: float) -> Link:  # noqa: ASYNC109
        """The link to an address; several callers share the same attempt. Raises ClientError."""
        key = (host, port, lane)
        link = self._links.get(key)
        if link is not None and link.connection.is_open:
            return link
        async with self._locks.setdefault(key, asyncio.Lock()):
            link = self._links.get(key)
            if link is not None and link.connection.is_open:
                return link
            self._check_open()
            link = await open_link(host, port, client_id=self._client_id, timeout=timeout)
            try:
                self._check_open()
            except RuntimeError:  # closed meanwhile
                await link.connection.close()
                raise
            self._links[key] = link
            self.reached.add((host, port))
            return link

    async def close(self) -> None:
        """Closes every link. Later calls of `get` raise RuntimeError."""
        self._closed = True
        links, self._links = self._links, {}
        await asyncio.gather(*(link.connection.close() for link in links.values()))

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the cluster client is closed")


def _software_version() -> str:
    try:
        return version("fastlog")
    except PackageNotFoundError:  # a source tree that was not installed
        return "0"
