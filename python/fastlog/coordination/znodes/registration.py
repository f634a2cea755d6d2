"""What every broker does to be in a cluster: Kafka's paths, the cluster's id, its own id, its registration.

Follows `KafkaZkClient.registerBroker` and `CheckedEphemeral` of Kafka 3.9. The registration is made and then
set in one multi, so that its data has version 1; its czxid is the broker epoch. When the node is there:

| owner                              | what follows                                                   |
|------------------------------------|----------------------------------------------------------------|
| this session                       | the answer to an earlier attempt was lost: it is registered    |
| an earlier session of this process | it is removed and made anew (KAFKA-7165)                       |
| another session                    | a former life of this broker, or another broker with its id:   |
|                                    | the first is over when its session is, the second never        |
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

from fastlog.base.clock import Clock
from fastlog.base.uuids import format_uuid, random_uuid
from fastlog.coordination.store import MetadataDamaged, StoreError
from fastlog.coordination.znodes import node_json, paths
from fastlog.coordination.znodes.controller_json import decode_broker
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_watches import Watch
from fastlog.coordination.zookeeper.codes import CreateMode
from fastlog.coordination.zookeeper.errors import (
    ConnectionLoss,
    NodeExists,
    NoNode,
    SessionExpired,
    ZkError,
)
from fastlog.coordination.zookeeper.requests import Create, SetData

_LOG: Final = logging.getLogger(__name__)
_PAUSE_SECONDS: Final = 0.25
FORMER_LIFE_SECONDS: Final = 45.0
"""How long a session of this broker that was killed may live on: servers grant 40 s unless told otherwise."""
_SESSIONS: Final = 1.5
"""And how many sessions that has to be at the least."""
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,9}")
_LOST: Final = (ConnectionLoss, SessionExpired)


class NodeTree(Protocol):
    """What is read and made at the start; each waits for a connection and raises StoreError."""

    @property
    def client(self) -> ZkClient:
        """The client that it uses."""
        ...

    async def connected(self) -> None:
        """Waits for a session."""
        ...

    async def ensure(self, *paths: str) -> None:
        """Makes nodes and all above them, with null data, unless they are there."""
        ...

    async def read(self, path: str) -> tuple[bytes | None, int] | None:
        """Data and version of a node; None if there is none."""
        ...

    async def read_all(self, wanted: Sequence[str]) -> list[tuple[bytes | None, int] | None]:
        """The same of many nodes."""
        ...

    async def children(self, path: str) -> list[str]:
        """Names of the children, in order."""
        ...


async def make_paths(tree: NodeTree) -> None:
    """Makes the chroot, as Kafka does, and what every broker makes at its start. Raises StoreError."""
    if tree.client.chroot:
        await tree.connected()
        try:
            whole = ZkClient(tree.client.session, acls_of=tree.client.acls_of)
            await whole.ensure(tree.client.chroot)
        except ZkError as error:
            raise StoreError(f"{tree.client.chroot} cannot be made: {error}") from error
    await tree.ensure(*paths.PERSISTENT)


async def cluster_id(tree: NodeTree, wanted: str | None) -> str:
    """The cluster's id; a cluster that has none gets `wanted`, or a random one.

    `wanted` is what meta.properties says. Raises MetadataDamaged when that is another one, StoreError.
    """
    while True:
        node = await tree.read(paths.CLUSTER_ID)
        if node is not None:
            break
        await tree.ensure("/cluster")
        made = node_json.encode_cluster_id(wanted or format_uuid(random_uuid()))
        try:
            await tree.client.create(paths.CLUSTER_ID, made)
        except (NodeExists, *_LOST):
            # Whoever was first has decided.
            continue
        except ZkError as error:
            raise StoreError(f"{paths.CLUSTER_ID} cannot be made: {error}") from error
    found = node_json.decode_cluster_id(paths.CLUSTER_ID, node[0])
    if wanted is not None and wanted != found:
        raise MetadataDamaged(
            f"zookeeper.connect leads to cluster {found}, but meta.properties of the log directories "
            f"names {wanted}: these directories do not belong to that cluster"
        )
    return found


async def generated_id(tree: NodeTree, reserved: int) -> int:
    """An id that no broker has been given before, above `reserved` (`reserved.broker.max.id`)."""
    await tree.ensure(paths.BROKER_SEQUENCE)
    while True:
        await tree.connected()
        try:
            return reserved + (await tree.client.set(paths.BROKER_SEQUENCE, b"")).version
        except _LOST:
            # A number more or less is no loss.
            continue
        except ZkError as error:
            raise StoreError(f"no broker id can be had: {error}") from error


async def check_addresses(tree: NodeTree, node_id: int, own: Collection[tuple[str, int]]) -> None:
    """Raises StoreError when another broker advertises one of these (host, port)."""
    others = [name for name in await tree.children(paths.BROKER_IDS) if name != str(node_id)]
    others = [name for name in others if _NUMBER.fullmatch(name)]
    nodes = await tree.read_all([paths.broker_id(int(name)) for name in others])
    for name, node in zip(others, nodes, strict=True):
        if node is None or node[0] is None:
            continue
        try:
            endpoints = decode_broker(paths.broker_id(int(name)), node[0], 0).endpoints
        except MetadataDamaged as error:
            # It is no broker to anybody.
            _LOG.error("a broker's addresses are not looked at: %s", error)
            continue
        for endpoint in endpoints:
            if (endpoint.host, endpoint.port) in own:
                raise StoreError(
                    f"{endpoint.host}:{endpoint.port} is advertised by broker {name} already: see "
                    "advertised.listeners"
                )


class Registration:
    """/brokers/ids/N of this process. `data` gives what it says. Used on the event loop."""

    def __init__(
        self,
        tree: NodeTree,
        node_id: int,
        data: Callable[[], bytes],
        clock: Clock,
        *,
        former_life_seconds: float | None = None,
    ) -> None:
        self.node_id: Final = node_id
        self.broker_epoch = -1
        """The czxid of the node; rises with each registration. -1 before the first."""
        self._tree = tree
        self._data = data
        self._clock = clock
        self._former_life_seconds = former_life_seconds
        self._sessions: set[int] = set()
        self._lock = asyncio.Lock()

    async def register(self) -> None:
        """Makes the broker known in the current session; waits for a former life of it to run out.

        Does nothing when it is. Raises StoreError.
        """
        async with self._lock:
            await self._register_in_session()

    async def _register_in_session(self) -> None:
        seconds = self._former_life_seconds
        if seconds is None:
            # The former life had one like this, which may be longer than the usual ones.
            session_seconds = self._tree.client.session.timeout_ms / 1000
            seconds = max(FORMER_LIFE_SECONDS, _SESSIONS * session_seconds)
        deadline = self._clock.monotonic() + seconds
        told = False
        while True:
            await self._tree.connected()
            session_id = self._tree.client.session.session_id
            self._sessions.add(session_id)
            try:
                epoch = await self._register(session_id)
                if epoch != self.broker_epoch:
                    _LOG.info("registered as broker %d, epoch %d", self.node_id, epoch)
                self.broker_epoch = epoch
            except NodeExists as error:
                if self._clock.monotonic() > deadline:
                    raise StoreError(
                        f"{paths.broker_id(self.node_id)} is there and does not go: another broker with this "
                        "broker.id runs"
                    ) from error
                if not told:
                    _LOG.warning(
                        "%s is there: waiting for the session of a former life of this broker to end",
                        paths.broker_id(self.node_id),
                    )
                    told = True
                await asyncio.sleep(_PAUSE_SECONDS)
            except _LOST:
                continue
            except ZkError as error:
                raise StoreError(f"this broker cannot be registered: {error}") from error
            else:
                return

    async def is_current(self, watch: Watch | None = None) -> bool:
        """Whether the node is there and of this session; the watch fires on a change. Raises ZkError."""
        stat = await self._tree.client.exists(paths.broker_id(self.node_id), watch)
        return stat is not None and stat.ephemeral_owner == self._tree.client.session.session_id

    async def _register(self, session_id: int) -> int:
        """The broker epoch. Raises NodeExists when the node is of a session that is none of this process."""
        path, client = paths.broker_id(self.node_id), self._tree.client
        while True:
            try:
                results = await client.multi(
                    [Create(path, None, flags=CreateMode.EPHEMERAL), SetData(path, self._data(), 0)]
                )
            except NodeExists:
                stat = await client.exists(path)
                if stat is None:
                    continue
                if stat.ephemeral_owner == session_id:
                    return stat.czxid
                if stat.ephemeral_owner not in self._sessions:
                    raise
                try:
                    await client.delete(path, stat.version)
                except NoNode:
                    continue
            else:
                made = results[1].stat
                return -1 if made is None else made.czxid
