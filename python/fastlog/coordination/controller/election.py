"""Who is controller: /controller, and the fence that its writes stand behind (`KafkaZkClient`, section B).

/controller is made and /controller_epoch raised in one multi, at the version that was read: of two that try
at the same moment one wins. The version of /controller_epoch then fences each write (`FencedTree`): a former
controller, however late it writes, changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from fastlog.base.clock import Clock
from fastlog.coordination.store import MetadataDamaged, StoreError
from fastlog.coordination.znodes import node_json, paths
from fastlog.coordination.znodes.epoch_node import controller_epoch
from fastlog.coordination.znodes.fenced_tree import ControllerMoved
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import SessionState
from fastlog.coordination.zookeeper.client_watches import Watch
from fastlog.coordination.zookeeper.codes import CreateMode
from fastlog.coordination.zookeeper.errors import (
    BadVersion,
    ConnectionLoss,
    NodeExists,
    NoNode,
    SessionExpired,
    ZkError,
)
from fastlog.coordination.zookeeper.requests import Check, Create, Delete, SetData

_LOG: Final = logging.getLogger(__name__)
NOBODY: Final = -1


class Election:
    """This broker's part in it; a `Seat`. Used on the event loop, by one task (but for `on_session`)."""

    def __init__(self, client: ZkClient, node_id: int, clock: Clock) -> None:
        self.client: Final = client
        self.node_id: Final = node_id
        self.controller_id = NOBODY
        """The controller, as it was last seen in the tree."""
        self.controller_session = 0
        """The session that its seat goes with: that of one life of that broker."""
        self.epoch = 0
        """That of this broker as controller."""
        self._clock = clock
        self._fence: int | None = None
        self._session_changed = asyncio.Event()

    @property
    def is_won(self) -> bool:
        """Whether this broker is the controller, for all that it knows."""
        return self._fence is not None

    def on_session(self, state: SessionState) -> None:
        """To be called at each change of the session's state."""
        if state in (SessionState.EXPIRED, SessionState.AUTH_FAILED, SessionState.CLOSED):
            self.lost()
        self._session_changed.set()

    async def look(self, watch: Watch) -> int:
        """The controller's id, or -1; `watch` is told of the next change. Raises StoreError."""
        while True:
            try:
                await self.client.exists(paths.CONTROLLER, watch)
                holder, owner = await self._holder()
            except (ConnectionLoss, SessionExpired):
                await self._connected()
            except ZkError as error:
                raise StoreError(f"{paths.CONTROLLER} cannot be read: {error}") from error
            else:
                self.controller_id, self.controller_session = holder, owner
                if holder != self.node_id:
                    self._fence = None
                return holder

    async def stand(self) -> bool:
        """Tries to become the controller; whether this broker is it then. Raises StoreError."""
        sent_for = 0
        while True:
            try:
                holder, owner = await self._holder()
                if owner:
                    return await self._is_ours(holder, owner, sent_for)
                sent_for = 0
                former, version = await controller_epoch(self.client)
                sent_for = former + 1
                await self._sit_down(sent_for, version)
            except (NodeExists, BadVersion):
                # Somebody else was quicker, or the answer to the same request was lost.
                continue
            except (ConnectionLoss, SessionExpired):
                await self._connected()
            except ZkError as error:
                raise StoreError(f"no controller can be elected: {error}") from error
            else:
                return True

    async def resign(self) -> None:
        """Gives up the seat, so that there is an election. Does nothing if another one has it."""
        fence, self._fence = self._fence, None
        if fence is None:
            return
        with contextlib.suppress(ZkError):
            await self.client.multi([Check(paths.CONTROLLER_EPOCH, fence), Delete(paths.CONTROLLER)])

    async def taken(self) -> int:
        """See `Seat.taken`: waits for a connection as long as the session may live on."""
        while True:
            if self._fence is None:
                raise ControllerMoved("this broker is not the controller")
            if self.client.session.state is SessionState.CONNECTED:
                return self._fence
            self._session_changed.clear()
            await self._session_changed.wait()

    def lost(self) -> None:
        """See `Seat.lost`."""
        self._fence = None

    async def _connected(self) -> None:
        try:
            await self.client.session.connected()
        except ZkError as error:
            raise StoreError(f"no ZooKeeper session: {error}") from error

    async def _sit_down(self, epoch: int, version: int) -> None:
        data = node_json.encode_controller(self.node_id, self._clock.now_ms())
        results = await self.client.multi(
            [
                Create(paths.CONTROLLER, data, flags=CreateMode.EPHEMERAL),
                SetData(paths.CONTROLLER_EPOCH, b"%d" % epoch, version),
            ]
        )
        stat = results[1].stat
        self._won(epoch, version + 1 if stat is None else stat.version)

    async def _is_ours(self, holder: int, owner: int, sent_for: int) -> bool:
        """Whether /controller is there by a request of this broker whose answer was lost."""
        self.controller_id, self.controller_session = holder, owner
        if self._fence is not None and owner == self.client.session.session_id:
            return True
        if owner == self.client.session.session_id:
            epoch, version = await controller_epoch(self.client)
            if epoch == sent_for:
                self._won(epoch, version)
                return True
            # A seat that was given up, and could not be removed: it goes, and there is an election.
            with contextlib.suppress(NoNode):
                await self.client.delete(paths.CONTROLLER)
        self._fence = None
        return False

    def _won(self, epoch: int, version: int) -> None:
        self.epoch, self._fence = epoch, version
        self.controller_id, self.controller_session = self.node_id, self.client.session.session_id
        _LOG.info("broker %d is the controller now, epoch %d", self.node_id, epoch)

    async def _holder(self) -> tuple[int, int]:
        """(id, session) of who is in /controller; (-1, 0) if there is nobody."""
        try:
            data, stat = await self.client.get(paths.CONTROLLER)
        except NoNode:
            return NOBODY, 0
        try:
            # A node that goes with no session is a seat all the same.
            return node_json.decode_controller(paths.CONTROLLER, data), stat.ephemeral_owner or -1
        except MetadataDamaged as error:
            _LOG.error("%s is taken for that of another broker: %s", paths.CONTROLLER, error)
            return NOBODY, stat.ephemeral_owner or -1
