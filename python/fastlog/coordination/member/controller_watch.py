"""Sees at once that the controller's process is dead, and has another one elected before its session ends.

ZooKeeper removes /controller when the dead process's session has run out. A member keeps a connection to the
port of the broker that is in /controller, whether it has been told of it yet or not, and nothing is said on
it. When it breaks, and the port refuses two new ones, no process listens there (`controller/suspicion` tells
what counts as a refusal), and /controller is removed, as operators do it; all brokers elect. Whoever wins
looks at that port too, since the dead broker is registered still and leads partitions.

What has accepted a connection once is missed from then on, as long as it has the seat: a port that still
answers in the moment of the death (sockets are closed one after the other), a look that takes too long on a
busy machine, or a removal that fails, is followed by the next one. So is one missed that served before it was
elected, as the former controller has told this broker. Another one that has not been reached yet is not
missed: Kafka's are elected before they listen.

It is safe if the controller lives: all that it writes is fenced by /controller_epoch, which the next one has
raised. /controller is removed only if it is that broker's, in the same session, and no election came in
between: the epoch is read first, and its version is checked in the same multi.

`fastlog.controller.fast.failover=false` turns it off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

from fastlog.base.tasks import Loop, Supervisor
from fastlog.coordination.controller.settings import ControllerSettings
from fastlog.coordination.controller.socket_link import knock
from fastlog.coordination.controller.suspicion import Knock, is_refused
from fastlog.coordination.member.view_waits import ViewWaits
from fastlog.coordination.store import MetadataDamaged
from fastlog.coordination.znodes import controller_json, node_json, paths
from fastlog.coordination.znodes.epoch_node import controller_epoch
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.errors import ZkError
from fastlog.coordination.zookeeper.requests import Check, Delete
from fastlog.net.backoff import Backoff
from fastlog.net.dialer import Dialer
from fastlog.net.errors import ClientError

_LOG: Final = logging.getLogger(__name__)
_PAUSE_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 60.0
_CONNECT_SECONDS: Final = 5.0
_ELECTION_SECONDS: Final = 2.0

Seat = tuple[int, int]
"""The controller's node id, and the session that it has the seat in."""


class Watched(Protocol):
    """The part of a `Connection` that is used here."""

    async def lost(self) -> None:
        """Returns when it has broken."""
        ...

    async def close(self) -> None:
        """Ends it."""
        ...


class Target(NamedTuple):
    """Whose death is watched for."""

    seat: Seat
    listener: str
    host: str
    port: int


Connect = Callable[[Target], Awaitable[Watched]]
"""Opens a connection. Raises OSError, ClientError."""


class Elected(Protocol):
    """The controller of this process (`Controller`)."""

    @property
    def seat(self) -> Seat:
        """Who is in /controller: (-1, 0) for nobody."""
        ...

    def suspect(self, broker_id: int) -> None:
        """Looks at a broker's port, if it is the cluster's or is elected next."""
        ...


class ControllerWatch:
    """Used on the event loop. `start` when the member is registered, `stop` before its session ends.

    `waits` is told whenever the seat may be another one's. `has_served` says whether another controller has
    told this broker of one with that id.
    """

    def __init__(
        self,
        client: ZkClient,
        node_id: int,
        waits: ViewWaits,
        controller: Elected,
        settings: Callable[[], ControllerSettings],
        tasks: Supervisor,
        *,
        has_served: Callable[[int], bool] = lambda _: False,
        knock: Knock = knock,
        connect: Connect | None = None,
        dialer: Dialer | None = None,
    ) -> None:
        self._client = client
        self._node_id = node_id
        self._waits = waits
        self._controller = controller
        self._settings = settings
        self._tasks = tasks
        self._has_served = has_served
        self._knock = knock
        self._connect = connect or _over(dialer or Dialer(), f"broker-{node_id}-watches-controller")
        self._unreached: set[Seat] = set()
        self._loop: Loop | None = None

    def start(self) -> None:
        """Watches whoever is the controller from now on."""
        self._loop = self._tasks.run("controller-watch", self._run)

    async def stop(self) -> None:
        """Watches nobody any more."""
        if self._loop is not None:
            await self._loop.stop()

    def _seat(self) -> Seat | None:
        """The controller's, if it is another broker and this is wanted."""
        seat = self._controller.seat
        return None if seat[0] in (-1, self._node_id) or not self._settings().fast_failover else seat

    async def _run(self) -> None:
        while True:
            await self._waits.until(lambda: self._seat() is not None, _LOOK_SECONDS)
            seat = self._seat()
            target = None if seat is None else await self._find(seat)
            if target is None:
                # Also when waits end at once, because the broker stops.
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                await self._watch(target)

    async def _find(self, seat: Seat) -> Target | None:
        """Where the controller listens, as it has registered itself."""
        path = paths.broker_id(seat[0])
        try:
            data, stat = await self._client.get(path)
            broker = controller_json.decode_broker(path, data, stat.czxid)
        except (ZkError, MetadataDamaged) as error:
            _LOG.debug("where the controller is cannot be read: %s", error)
            return None
        endpoint = broker.endpoint(*self._settings().listeners)
        return None if endpoint is None else Target(seat, *endpoint[:3])

    async def _watch(self, target: Target) -> None:
        """Returns when another one has the seat, or it is to be found anew where this one listens."""
        # Once for each life: this broker may be the one that nobody lets through.
        is_met = self._has_served(target.seat[0]) and target.seat not in self._unreached
        is_told = is_reached = False
        pauses = Backoff()
        while self._seat() == target.seat:
            if await self._meet(target):
                is_met = is_reached = True
                pauses.reset()
            if is_met and await is_refused(self._knock, target.host, target.port):
                # It may have changed its listeners.
                found = await self._find(target.seat)
                if found is not None and found != target:
                    return
                # Also if others were quicker, and this broker is elected already.
                self._controller.suspect(target.seat[0])
                if self._seat() == target.seat:
                    if not is_reached:
                        self._unreached.add(target.seat)
                    if await self._replace(target, is_told=is_told):
                        # If it is elected again it is met anew.
                        return
                    is_told = True
            with suppress(TimeoutError):
                async with asyncio.timeout(pauses.next()):
                    await self._another(target.seat)

    async def _meet(self, target: Target) -> bool:
        """Keeps a connection until it breaks, or another one has the seat; False if none could be made."""
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                connection = await self._connect(target)
        except (OSError, TimeoutError):
            return False
        except ClientError as error:
            # A process that lives refuses in many ways; the port is looked at all the same.
            _LOG.debug("no connection to the controller: %s", error)
            return False
        try:
            breaks = asyncio.ensure_future(connection.lost())
            changes = asyncio.ensure_future(self._another(target.seat))
            try:
                await asyncio.wait({breaks, changes}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                changes.cancel()
                breaks.cancel()
                await asyncio.gather(breaks, changes, return_exceptions=True)
        finally:
            await connection.close()
        return True

    async def _another(self, seat: Seat) -> None:
        while not await self._waits.until(  # noqa: ASYNC110 - it waits for an event
            lambda: self._seat() != seat, _LOOK_SECONDS
        ):
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _replace(self, target: Target, *, is_told: bool) -> bool:
        """Has another broker elected; False if that failed."""
        _LOG.log(
            logging.DEBUG if is_told else logging.WARNING,
            "the controller, broker %d, does not listen any more: another one is elected",
            target.seat[0],
        )
        try:
            await self._remove(target.seat)
        except (ZkError, MetadataDamaged) as error:
            # Another broker may have been quicker; this one may be elected all the same.
            level = logging.DEBUG if is_told else logging.INFO
            _LOG.log(level, "%s was not removed by this broker: %s", paths.CONTROLLER, error)
            return False
        # This broker hears of it from the tree, but if the same one was elected.
        await self._waits.until(lambda: self._seat() != target.seat, _ELECTION_SECONDS)
        return True

    async def _remove(self, seat: Seat) -> None:
        # In this order: who has the seat after the epoch was read had it then, or has raised the epoch.
        _, version = await controller_epoch(self._client)
        data, stat = await self._client.get(paths.CONTROLLER)
        if (node_json.decode_controller(paths.CONTROLLER, data), stat.ephemeral_owner or -1) == seat:
            await self._client.multi([Check(paths.CONTROLLER_EPOCH, version), Delete(paths.CONTROLLER)])


def _over(dialer: Dialer, client_id: str) -> Connect:
    async def connect(target: Target) -> Watched:
        return await dialer.connection(
            target.listener, target.host, target.port, client_id=client_id, timeout=_CONNECT_SECONDS
        )

    return connect
