"""The tree as any broker uses it: requests wait for a connection, and have no fence of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from fastlog.coordination.store import StoreError, StoreUnreachable
from fastlog.coordination.znodes import epoch_node, paths
from fastlog.coordination.znodes.fenced_tree import FencedTree, check_size
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import SessionState
from fastlog.coordination.zookeeper.errors import AuthFailed, ConnectionLoss, SessionExpired, ZkError
from fastlog.coordination.zookeeper.replies import Result
from fastlog.coordination.zookeeper.requests import Check, Create, Delete, SetData

_TRIES: Final = 5
LOST: Final = (ConnectionLoss, SessionExpired)
"""The answer did not come: what was asked for may have been carried out, or not."""

T = TypeVar("T")


class MemberTree:
    """Used on the event loop. `wait_seconds`: how long requests wait for a connection, from when it was lost:
    what is asked for later than that fails at once."""

    def __init__(self, client: ZkClient, *, wait_seconds: float) -> None:
        self.client: Final = client
        self._wait_seconds = wait_seconds
        self._away_since: float | None = None
        # Its reads need a connection and nothing else: this is their `Seat`.
        self._reads = FencedTree(client, self)

    async def connected(self) -> None:
        """Waits for a session. Raises StoreUnreachable, StoreError."""
        if self.client.session.state is SessionState.CONNECTED:
            return
        left = self._note_absence() + self._wait_seconds - asyncio.get_running_loop().time()
        try:
            await asyncio.wait_for(self.client.session.connected(), max(left, 0))
        except TimeoutError:
            trouble = self.client.session.trouble
            why = "" if trouble is None else f": {trouble}"
            raise StoreUnreachable(
                f"no ZooKeeper server was reached in {self._wait_seconds:.0f} s{why}"
            ) from None
        except ConnectionLoss as error:
            raise StoreUnreachable(f"no ZooKeeper session: {error}") from error
        except AuthFailed as error:
            raise StoreError(f"no ZooKeeper session: {error}") from error

    def on_state(self, state: SessionState) -> None:
        """To be called at each change of the session's state."""
        if state is SessionState.CONNECTED:
            self._away_since = None
        else:
            self._note_absence()

    def _note_absence(self) -> float:
        if self._away_since is None:
            self._away_since = asyncio.get_running_loop().time()
        return self._away_since

    async def taken(self) -> int:
        """See `Seat.taken`: any broker may read."""
        await self.connected()
        return -1

    def lost(self) -> None:
        """See `Seat.lost`."""

    async def ensure(self, *paths: str) -> None:
        """Makes nodes and all above them, with null data, unless they are there. Raises StoreError."""
        await self.again(lambda: self.client.ensure(*paths))

    async def read(self, path: str) -> tuple[bytes | None, int] | None:
        """Data and version of a node; None if there is none. Raises StoreError."""
        return (await self.read_all([path]))[0]

    async def read_all(self, wanted: Sequence[str]) -> list[tuple[bytes | None, int] | None]:
        """The same of many nodes."""
        await self.connected()
        return await self._reads.read_all(wanted)

    async def made_at(self, wanted: Sequence[str]) -> list[int | None]:
        """The zxids at which nodes were made; None for one that is missing. Raises StoreError."""
        await self.connected()
        return [
            None if node is None or node.stat is None else node.stat.czxid
            for node in await self._reads.nodes(wanted)
        ]

    async def children(self, path: str) -> list[str]:
        """Names of the children, in order; none of a node that is missing. Raises StoreError."""
        await self.connected()
        return await self._reads.children(path)

    async def children_of_all(self, wanted: Sequence[str]) -> list[list[str] | None]:
        """The same of many nodes; None for one that is missing."""
        await self.connected()
        return await self._reads.children_of_all(wanted)

    async def controller_epoch(self) -> int:
        """In which epoch the last controller was elected, also when the server that is asked lags behind.

        Raises StoreError.
        """

        async def ask() -> int:
            await self.client.sync(paths.CONTROLLER_EPOCH)
            epoch, _ = await epoch_node.controller_epoch(self.client)
            return epoch

        return await self.again(ask)

    async def write(self, parts: Sequence[Check | Create | Delete | SetData]) -> list[Result]:
        """All parts or none. Raises the ZkError of the part that failed (ConnectionLoss, SessionExpired: it
        may have been carried out), StoreError when no server can be reached or it is too much for one."""
        check_size(parts)
        await self.connected()
        return await self.client.multi(parts)

    async def again(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What may be asked twice is asked until the connection holds. Raises StoreError."""
        for _ in range(_TRIES):
            await self.connected()
            try:
                return await ask()
            except LOST:
                continue
            except ZkError as error:
                raise StoreError(f"ZooKeeper refuses it: {error}") from error
        raise StoreError("the connection to ZooKeeper breaks again and again")
