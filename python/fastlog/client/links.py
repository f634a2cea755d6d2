"""The links that a client keeps: one per broker and lane."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from fastlog.net.link import Link, open_link

if TYPE_CHECKING:
    from fastlog.net.client_security import ClientSecurity


class LinkPool:
    """At most one open link per address and lane; opened on demand, replaced when it has died.

    A lane keeps requests apart that must not wait for each other: a broker answers a connection's requests in
    order, and a fetch may wait long.
    """

    def __init__(self, client_id: str | None, security: ClientSecurity | None = None) -> None:
        self._client_id = client_id
        self._security = security
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
            link = await open_link(
                host, port, client_id=self._client_id, timeout=timeout, security=self._security
            )
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
