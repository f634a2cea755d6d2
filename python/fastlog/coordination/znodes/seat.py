"""This broker's place in the cluster: its session, its registration, and the controller's seat.

Follows `KafkaZkClient`: /controller is taken and /controller_epoch raised in one multi; /brokers/ids/N is
made and then set, so that its data has version 1. Both nodes go with the session. When that runs out they are
made anew in the next one; until then nothing can be written. They are made anew, too, when somebody removes
them: operators remove /controller to have an election.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from fastlog.base.clock import Clock
from fastlog.base.tasks import Loop, Supervisor
from fastlog.coordination.store import MetadataDamaged, StoreError, StoreUnreachable
from fastlog.coordination.znodes import node_json, paths
from fastlog.coordination.znodes.epoch_node import controller_epoch
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import SessionState
from fastlog.coordination.zookeeper.client_watches import Watch
from fastlog.coordination.zookeeper.codes import CreateMode
from fastlog.coordination.zookeeper.errors import (
    AuthFailed,
    BadVersion,
    ConnectionLoss,
    NodeExists,
    NoNode,
    SessionExpired,
    ZkError,
)
from fastlog.coordination.zookeeper.replies import Event
from fastlog.coordination.zookeeper.requests import Create, SetData
from fastlog.coordination.zookeeper.structures import Stat

_LOG: Final = logging.getLogger(__name__)
_PAUSE_SECONDS: Final = 0.25
_FORMER_LIFE_SECONDS: Final = 45.0
"""How long a session of this broker that was killed may live on: servers grant 40 s unless told otherwise."""


class OtherController(StoreError):
    """Another broker is the controller."""


class ClusterSeat:
    """Used on the event loop. `take` once, `register` when clients are about to be served, `close`.

    `wait_seconds`: how long writes wait for a connection and the seat, from when these were lost: what is
    asked for later than that fails at once, and a queue of writes takes no longer than one of them.
    `own_keeper`: it has been away with this broker, so that no session of others has run out meanwhile.
    """

    def __init__(
        self,
        client: ZkClient,
        node_id: int,
        clock: Clock,
        tasks: Supervisor,
        *,
        wait_seconds: float,
        own_keeper: bool = False,
    ) -> None:
        self.client: Final = client
        self.node_id: Final = node_id
        self.controller_epoch = 0
        self.broker_epoch = -1
        """The czxid of the registration; rises with each."""
        self._clock = clock
        self._tasks = tasks
        self._wait_seconds = wait_seconds
        self._own_keeper = own_keeper
        self._registration: Callable[[], bytes] | None = None
        self._fence: int | None = None
        self._why = "this broker is not the controller yet"
        self._away_since: float | None = None
        self._watched: set[str] = set()
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._loop: Loop | None = None
        self._closed = False

    def on_state(self, state: SessionState) -> None:
        """To be called at each change of the session's state."""
        if state is SessionState.EXPIRED:
            self._fence, self.broker_epoch = None, -1
            self._why = "the ZooKeeper session of this broker has expired"
        elif state is SessionState.CONNECTED:
            # The seat is taken in a moment: whoever asks now waits for that.
            self._away_since = None
        self._note_absence()
        self._changed.set()

    async def take(self) -> None:
        """Becomes the controller; waits for a former life of this broker to run out. Raises StoreError."""
        self.client.session.start()
        await self._connect()
        await self._make_root()
        deadline = self._clock.monotonic() + _FORMER_LIFE_SECONDS
        told = False
        while others := await self._other_brokers():
            said = f"broker {', '.join(others)} is in this cluster"
            if not self._own_keeper or self._clock.monotonic() > deadline:
                raise OtherController(
                    f"{said}: {_ALONE}. Use a chroot of its own "
                    "(zookeeper.connect=HOST:PORT/PATH) or stop the others"
                )
            if not told:
                _LOG.warning("%s; waiting for its session to end", said)
                told = True
            await asyncio.sleep(_PAUSE_SECONDS)
            await self._connect()
        while True:
            try:
                await self._elect()
            except (OtherController, ConnectionLoss, SessionExpired) as error:
                if self._clock.monotonic() > deadline:
                    raise StoreError(
                        f"this broker does not become the controller: {error} and stays: another broker "
                        f"with this broker.id runs in this cluster"
                    ) from error
                if not told:
                    _LOG.info("%s; waiting for its session to end", error)
                    told = True
                await asyncio.sleep(_PAUSE_SECONDS)
                await self._connect()
            except ZkError as error:
                raise StoreError(f"this broker does not become the controller: {error}") from error
            else:
                self._loop = self._tasks.run("cluster-seat", self._keep)
                return

    async def register(self, data: Callable[[], bytes]) -> None:
        """Makes the broker known; `data` gives what /brokers/ids/N says. Raises StoreError."""
        deadline = self._clock.monotonic() + _FORMER_LIFE_SECONDS
        while self.broker_epoch < 0:
            try:
                await self._register(data())
            except (NodeExists, ConnectionLoss, SessionExpired) as error:
                if self._clock.monotonic() > deadline:
                    raise StoreError(
                        f"{paths.broker_id(self.node_id)} is there and does not go: another broker with this "
                        f"broker.id runs, or {error}"
                    ) from error
                await asyncio.sleep(_PAUSE_SECONDS)
                await self._connect()
            except ZkError as error:
                raise StoreError(f"this broker cannot be registered: {error}") from error
        self._registration = data
        self._changed.set()

    async def taken(self) -> int:
        """See `Seat.taken`."""
        while True:
            if self._fence is not None and self.client.session.state is SessionState.CONNECTED:
                return self._fence
            left = self._note_absence() + self._wait_seconds - self._clock.monotonic()
            if left <= 0 or self._closed:
                raise StoreError(f"no metadata can be written now: {self._reason()}")
            try:
                await asyncio.wait_for(self._writable.wait(), min(left, _PAUSE_SECONDS))
            except TimeoutError:
                continue

    def lost(self) -> None:
        """See `Seat.lost`."""
        self._fence = None
        self._why = "another broker is the controller"
        self._note_absence()
        self._changed.set()

    async def close(self) -> None:
        """Ends the session: registration and seat go with it."""
        self._closed = True
        if self._loop is not None:
            await self._loop.stop()
        await self.client.session.close()

    def _note_absence(self) -> float:
        """Since when nothing can be written, on the monotonic clock; now, if it can."""
        now = self._clock.monotonic()
        if self._fence is not None and self.client.session.state is SessionState.CONNECTED:
            self._away_since = None
            self._writable.set()
            return now
        self._writable.clear()
        if self._away_since is None:
            self._away_since = now
        return self._away_since

    async def _other_brokers(self) -> list[str]:
        """Ids of the other brokers that are registered. A node that goes with no session is of no broker."""
        found: list[str] = []
        try:
            names, _ = await self.client.children(paths.BROKER_IDS)
            for name in sorted(set(names) - {str(self.node_id)}):
                stat = await self.client.exists(f"{paths.BROKER_IDS}/{name}")
                if stat is not None and stat.ephemeral_owner:
                    found.append(name)
                elif stat is not None:
                    _LOG.warning(
                        "%s/%s is of no broker, and is left alone", paths.BROKER_IDS, ascii(name)[:100]
                    )
        except NoNode:
            return []
        except ZkError as error:
            raise StoreError(f"the registered brokers cannot be read: {error}") from error
        return found

    async def _make_root(self) -> None:
        """Makes the chroot, as Kafka does."""
        if not self.client.chroot:
            return
        try:
            await ZkClient(self.client.session).ensure(self.client.chroot)
        except ZkError as error:
            raise StoreError(f"{self.client.chroot} cannot be made: {error}") from error

    def _reason(self) -> str:
        if self.client.session.state is not SessionState.CONNECTED:
            return "no ZooKeeper server can be reached"
        return self._why

    async def _connect(self) -> None:
        try:
            await asyncio.wait_for(self.client.session.connected(), self._wait_seconds)
        except TimeoutError:
            raise StoreUnreachable(f"no ZooKeeper server was reached in {self._wait_seconds:.0f} s") from None
        except ConnectionLoss as error:
            raise StoreUnreachable(f"no ZooKeeper session: {error}") from error
        except AuthFailed as error:
            raise StoreError(f"no ZooKeeper session: {error}") from error

    async def _keep(self) -> None:
        """Takes the seat and registers again whenever a session has run out, or a node has been removed."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self.client.session.state is not SessionState.CONNECTED:
                continue
            try:
                await self._see_to_nodes()
            except (ConnectionLoss, SessionExpired) as error:
                # Of the next connection, or session, the state tells.
                _LOG.debug("no look at this broker's nodes: %s", error)
            except (ZkError, StoreError) as error:
                if self._why != str(error):
                    _LOG.warning("not in the cluster, it will be tried again: %s", error)
                self._why = str(error)
                await asyncio.sleep(1.0)
                self._changed.set()

    async def _see_to_nodes(self) -> None:
        _, holder = await self._controller()
        if self._fence is not None and holder != self.client.session.session_id:
            _LOG.warning("%s has been removed", paths.CONTROLLER)
            self.lost()
        if self._fence is None:
            await self._elect()
            _LOG.info("controller again, epoch %d", self.controller_epoch)
        if self._registration is None:
            return
        own = paths.broker_id(self.node_id)
        if self.broker_epoch >= 0 and await self._exists(own) is None:
            _LOG.warning("%s has been removed", own)
            self.broker_epoch = -1
        if self.broker_epoch < 0:
            await self._register(self._registration())
        for path in {paths.CONTROLLER, own} - self._watched:
            self._watched.add(path)
            await self._exists(path, self._told)
            # Who has removed it before there was a watch is met by one more look.
            self._changed.set()

    def _told(self, event: Event) -> None:
        self._watched -= {event.path} if event.path else self._watched
        self._changed.set()

    async def _exists(self, path: str, watch: Watch | None = None) -> Stat | None:
        try:
            return await self.client.exists(path, watch)
        except ZkError:
            self._watched.discard(path)
            raise

    async def _elect(self) -> None:
        session = self.client.session
        # What is written meanwhile waits for the new epoch.
        self._fence = None
        former, version = await controller_epoch(self.client)
        epoch = former + 1
        try:
            results = await self.client.multi(
                [
                    Create(
                        paths.CONTROLLER,
                        node_json.encode_controller(self.node_id, self._clock.now_ms()),
                        flags=CreateMode.EPHEMERAL,
                    ),
                    SetData(paths.CONTROLLER_EPOCH, b"%d" % epoch, version),
                ]
            )
        except (NodeExists, BadVersion):
            # A reply may have been lost: it is taken if the node is of this session.
            said, holder = await self._controller()
            if holder != session.session_id:
                raise OtherController(f"{said} holds {paths.CONTROLLER}") from None
            self.controller_epoch, self._fence = await controller_epoch(self.client)
        else:
            stat_of_epoch = results[1].stat
            self.controller_epoch = epoch
            self._fence = version + 1 if stat_of_epoch is None else stat_of_epoch.version
        self._note_absence()
        self._changed.set()

    async def _controller(self) -> tuple[str, int]:
        """(the controller in words, session that it belongs to)."""
        try:
            data, stat = await self.client.get(paths.CONTROLLER)
        except NoNode:
            return "nobody", 0
        try:
            said = f"broker {node_json.decode_controller(paths.CONTROLLER, data)}"
        except MetadataDamaged:
            said = f"somebody who says {(data or b'')[:100]!r}"
        return said, stat.ephemeral_owner

    async def _register(self, data: bytes) -> None:
        path = paths.broker_id(self.node_id)
        try:
            results = await self.client.multi(
                [Create(path, None, flags=CreateMode.EPHEMERAL), SetData(path, data, 0)]
            )
        except NodeExists:
            stat = await self.client.exists(path)
            if stat is None or stat.ephemeral_owner != self.client.session.session_id:
                raise
            self.broker_epoch = stat.czxid
        else:
            found = results[1].stat
            self.broker_epoch = 0 if found is None else found.czxid
        _LOG.info("registered as broker %d, epoch %d", self.node_id, self.broker_epoch)


_ALONE: Final = "what this broker has decided about alone cannot be brought into it"
