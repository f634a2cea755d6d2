"""The cluster of an admin client: opened by the first call, closed once."""

from __future__ import annotations

import asyncio
import os

from fastlog.client.admin.config import AdminConfig
from fastlog.client.cluster import Cluster

__all__ = ["AdminCluster"]


class AdminCluster:
    """A cluster that is opened when it is first asked for, on the event loop that asks.

    One that the caller has opened (`given`) is used instead, and left open.
    """

    def __init__(self, config: AdminConfig, given: Cluster | None) -> None:
        self._owned = given is None
        self._cluster = (
            Cluster.of(config, timeout_ms=config.default_api_timeout_ms) if given is None else given
        )
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening: asyncio.Task[None] | None = None
        self._closed = False

    async def opened(self) -> Cluster:
        """The cluster. Raises ClientError, and RuntimeError where it may not be used."""
        if self._closed:
            raise RuntimeError("the admin client is closed")
        if os.getpid() != self._pid:
            raise RuntimeError("the admin client was made before a fork: make another one in this process")
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise RuntimeError("the admin client belongs to another event loop")
        if self._owned:
            if self._opening is None or (self._opening.done() and _has_failed(self._opening)):
                self._opening = asyncio.ensure_future(self._cluster.open())
            await asyncio.shield(self._opening)
        return self._cluster

    async def close(self) -> None:
        """Closes all connections. May be called more than once."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._owned:
            await self._cluster.close()


def _has_failed(task: asyncio.Task[None]) -> bool:
    return task.cancelled() or task.exception() is not None
