"""The links that a client keeps: one per broker and lane."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from fastlog.client.security import PLAINTEXT, Security
from fastlog.net.link import Link, open_link


class LinkPool:
    """At most one open link per address and lane; opened on demand, replaced when it has died.

    A lane keeps requests apart that must not wait for each other: a broker answers a connection's requests in
    order, and a fetch may wait long.
    """

    def __init__(self, client_id: str | None, security: Security = PLAINTEXT) -> None:
        self._client_id = client_id
        self._security = security
        self._retiring: set[asyncio.Task[None]] = set()
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
        if link is not None and _is_fresh(link):
            return link
        async with self._locks.setdefault(key, asyncio.Lock()):
            link = self._links.get(key)
            if link is not None and _is_fresh(link):
                return link
            self._check_open()
            before = link
            link = await open_link(
                host,
                port,
                client_id=self._client_id,
                timeout=timeout,
                tls=self._security.tls,
                credentials=self._security.credentials,
            )
            # Answers to fetches are some MiB each: fresh memory for every one costs more than to receive it.
            link.connection.reuse_buffers()
            try:
                self._check_open()
            except RuntimeError:  # closed meanwhile
                await link.connection.close()
                raise
            self._links[key] = link
            if before is not None and before.connection.is_open:
                task = asyncio.ensure_future(_close_when_idle(before))
                self._retiring.add(task)
                task.add_done_callback(self._retiring.discard)
            self.reached.add((host, port))
            return link

    def abort(self) -> None:
        """Closes every link at once: the event loop ends."""
        for link in self._links.values():
            link.connection.abort()

    async def close(self) -> None:
        """Closes every link. Later calls of `get` raise RuntimeError."""
        self._closed = True
        for task in list(self._retiring):
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        links, self._links = self._links, {}
        await asyncio.gather(*(link.connection.close() for link in links.values()))

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the cluster client is closed")


def _is_fresh(link: Link) -> bool:
    """Whether a link can be used, and its session does not end soon."""
    return link.connection.is_open and time.monotonic() < link.renew_at


async def _close_when_idle(link: Link) -> None:
    """Lets what is under way be answered first."""
    try:
        while link.connection.is_open and link.connection.in_flight:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
    finally:
        await link.connection.close()
