"""Sees at once that the controller's process is dead, and has another one elected before its session ends.

ZooKeeper removes /controller when the dead process's session has run out. A member keeps a connection to the
controller's port, on which nothing is said. When it breaks, and the port refuses two new ones, no process
listens there (`controller/suspicion` tells what counts as a refusal), and /controller is removed, as
operators do it; all brokers elect. Whoever wins is told to look at that port too, since the dead broker is
registered still and leads partitions.

It is safe if the controller lives: all that it writes is fenced by /controller_epoch, which the next one has
raised. /controller is removed only if it is that broker's, and no election came in between: the epoch is read
first, and its version is checked in the same multi.

`fastlog.controller.fast.failover=false` turns it off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from fastlog.base.tasks import Loop, Supervisor
from fastlog.coordination.cluster_view import ClusterView
from fastlog.coordination.controller.settings import ControllerSettings
from fastlog.coordination.controller.socket_link import Port, knock
from fastlog.coordination.member.controller_asked import place_of_controller
from fastlog.coordination.member.view_waits import ViewWaits
from fastlog.coordination.store import MetadataDamaged
from fastlog.coordination.znodes import node_json, paths
from fastlog.coordination.znodes.epoch_node import controller_epoch
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.errors import ZkError
from fastlog.coordination.zookeeper.requests import Check, Delete

_LOG: Final = logging.getLogger(__name__)
_TRIES: Final = 2
_APART_SECONDS: Final = 0.075
_PAUSE_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 60.0
_CONNECT_SECONDS: Final = 5.0
_ELECTION_SECONDS: Final = 10.0

Address = tuple[str, int]
Target = tuple[int, str, int]
"""The controller's node id, host and port."""


class Elected(Protocol):
    """The controller of this process (`Controller`)."""

    @property
    def is_active(self) -> bool:
        """Whether it is the cluster's."""
        ...

    def suspect(self, broker_id: int) -> None:
        """Looks at a broker's port."""
        ...


class ControllerWatch:
    """Used on the event loop. `start` when the member is registered, `stop` before its session ends."""

    def __init__(
        self,
        client: ZkClient,
        node_id: int,
        view: ClusterView,
        waits: ViewWaits,
        controller: Elected,
        settings: Callable[[], ControllerSettings],
        tasks: Supervisor,
        *,
        knock: Callable[[str, int], Awaitable[Port]] = knock,
    ) -> None:
        self._client = client
        self._node_id = node_id
        self._view = view
        self._waits = waits
        self._controller = controller
        self._settings = settings
        self._tasks = tasks
        self._knock = knock
        self._loop: Loop | None = None

    def start(self) -> None:
        """Watches whoever is the controller from now on."""
        self._loop = self._tasks.run("controller-watch", self._run)

    async def stop(self) -> None:
        """Watches nobody any more."""
        if self._loop is not None:
            await self._loop.stop()

    def _target(self) -> Target | None:
        """The controller, if it is another broker and this is wanted."""
        settings, controller_id = self._settings(), self._view.controller_id
        if not settings.fast_failover or controller_id in (-1, self._node_id):
            return None
        place = place_of_controller(self._view, *settings.listeners)
        return None if place is None else (controller_id, place.host, place.port)

    async def _run(self) -> None:
        while True:
            await self._waits.until(lambda: self._target() is not None, _LOOK_SECONDS)
            target = self._target()
            if target is None:
                # Also when waits end at once, because the broker stops.
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            if not await self._is_lost(target) or self._target() != target:
                continue
            if await self._is_refused(target):
                await self._replace(target[0])
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _is_lost(self, target: Target) -> bool:
        """Whether the connection to it broke, or could not be made, before there was another controller."""
        _, host, port = target
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                reader, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError):
            # One that does not listen yet, or never was reached, is not suspected.
            await asyncio.sleep(_PAUSE_SECONDS)
            return False
        try:
            breaks = asyncio.ensure_future(reader.read(1))
            changes = asyncio.ensure_future(self._another(target))
            try:
                await asyncio.wait({breaks, changes}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                changes.cancel()
                breaks.cancel()
                await asyncio.wait({breaks, changes})
            # EOF, or an error that says the same.
            return not breaks.cancelled() and (breaks.exception() is not None or not breaks.result())
        finally:
            writer.transport.abort()

    async def _another(self, target: Target) -> None:
        while not await self._waits.until(  # noqa: ASYNC110 - it waits for an event
            lambda: self._target() != target, _LOOK_SECONDS
        ):
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _is_refused(self, target: Target) -> bool:
        for attempt in range(_TRIES):
            if attempt:
                await asyncio.sleep(_APART_SECONDS)
            if await self._knock(*target[1:]) is not Port.REFUSED:
                return False
        return True

    async def _replace(self, controller_id: int) -> None:
        """Has another broker elected, and, if it is this one, has it look at the dead one's port."""
        _LOG.warning(
            "the controller, broker %d, does not listen any more: another one is elected", controller_id
        )
        try:
            await self._remove(controller_id)
        except (ZkError, MetadataDamaged) as error:
            # Another broker may have been quicker; this one may be elected all the same.
            _LOG.info("%s was not removed by this broker: %s", paths.CONTROLLER, error)
        # The next controller tells the view, that of its own process too, when it knows the brokers.
        await self._waits.until(lambda: self._view.controller_id != controller_id, _ELECTION_SECONDS)
        if self._controller.is_active:
            self._controller.suspect(controller_id)

    async def _remove(self, controller_id: int) -> None:
        # In this order: who has the seat after the epoch was read had it then, or has raised the epoch.
        _, version = await controller_epoch(self._client)
        data, _ = await self._client.get(paths.CONTROLLER)
        if node_json.decode_controller(paths.CONTROLLER, data) == controller_id:
            await self._client.multi([Check(paths.CONTROLLER_EPOCH, version), Delete(paths.CONTROLLER)])
