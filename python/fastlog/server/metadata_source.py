"""Where this broker's metadata is: in Kafka's znodes, in a tree that a keeper has.

| `zookeeper.connect` | the tree is that of     | this broker is alone in it                   |
|---------------------|-------------------------|----------------------------------------------|
| set                 | ZooKeeper servers       | if no other broker is                        |
| not set             | a keeper in its process | unless others join (`fastlog.keeper.listen`) |

It is a member of a cluster in both cases, with the same code. What differs is how the keeper is reached, and
what the start has to do: nobody else could look into the tree while its keeper was away with the broker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastlog.base.clock import Clock
from fastlog.base.tasks import Supervisor
from fastlog.config import BrokerConfig
from fastlog.coordination.embedded import EmbeddedKeeper
from fastlog.coordination.member import joining
from fastlog.coordination.member.own_tree import OwnTree
from fastlog.coordination.member.tree import MemberTree
from fastlog.coordination.znodes.node_acls import OWN_ROOT, secure_acls
from fastlog.coordination.znodes.takeover import FormerFile, FormerTree
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import ZkSession
from fastlog.coordination.zookeeper.connect_string import parse
from fastlog.coordination.zookeeper.requests import Auth
from fastlog.coordination.zookeeper.transport import Connector, socket_connector
from fastlog.net.dialer import Dialer
from fastlog.server.membership import Membership
from fastlog.storage.log_manager import LogManager
from fastlog.storage.starting import Preparation

if TYPE_CHECKING:
    import ssl

_OWN_KEEPER_SECONDS: Final = 2.0
"""How long requests wait for a keeper of this process: it is there, or will not be again."""


async def metadata_source(
    config: BrokerConfig,
    logs: LogManager,
    preparation: Preparation,
    clock: Clock,
    tasks: Supervisor,
    dialer: Dialer | None = None,
) -> Membership:
    """Begins a session and finds out whose tree it is.

    What this broker alone knows is brought into it first: metadata that it has kept elsewhere, and topics
    that are in its log directories only. Raises InvalidConnectString, KeeperDamaged, StoreError,
    IdentityError, StorageError, OSError.
    """
    if config.zookeeper_connect:
        return await _join(config, logs, preparation, clock, tasks, dialer or Dialer())
    return await _join_own(config, logs, preparation, clock, tasks, dialer or Dialer())


async def _join(
    config: BrokerConfig,
    logs: LogManager,
    preparation: Preparation,
    clock: Clock,
    tasks: Supervisor,
    dialer: Dialer,
) -> Membership:
    address = parse(config.zookeeper_connect or "")
    wait_ms = config.zookeeper_connection_timeout_ms or config.zookeeper_session_timeout_ms
    load_tls = await _tls_loader(config)
    connectors = [socket_connector(host, port, load_tls) for host, port in address.servers]
    session = _session(config, connectors, clock, tasks)
    tree = MemberTree(_client(config, session, address.chroot), wait_seconds=wait_ms / 1000)
    session.start()
    try:
        chosen = config.node_id if config.node_id_is_set else None
        reserved = config.reserved_broker_max_id if config.broker_id_generation_enable else None
        cluster_id, node_id = await joining.find_identity(tree, preparation, chosen, reserved)
        former = FormerTree(_online(logs))
        is_first = bool(preparation.partitions) and await joining.is_empty(tree, node_id)
        if is_first or await asyncio.to_thread(former.is_there):
            await _adopt(tree, cluster_id, node_id, former, preparation, clock)
    except BaseException:
        await session.close()
        raise
    return Membership(config.with_node_id(node_id), tree, cluster_id, preparation, clock, tasks, dialer)


async def _join_own(
    config: BrokerConfig,
    logs: LogManager,
    preparation: Preparation,
    clock: Clock,
    tasks: Supervisor,
    dialer: Dialer,
) -> Membership:
    keeper = await _started_keeper(config, logs, preparation, clock, tasks)
    session = _session(config, [keeper.connector], clock, tasks)
    tree = MemberTree(_client(config, session), wait_seconds=_OWN_KEEPER_SECONDS)
    session.start()
    try:
        cluster_id, node_id = await joining.find_identity(tree, preparation, config.node_id, None)
        if config.zookeeper.set_acl:
            # Whoever may remove nodes at the top could have another controller elected.
            await tree.again(lambda: tree.client.set_acls("/", OWN_ROOT))
        own = OwnTree(keeper.nodes, tree, node_id)
        former = FormerFile(_online(logs))
        if await own.look(preparation) or await asyncio.to_thread(former.is_there):
            await _adopt(tree, cluster_id, node_id, former, preparation, clock)
            await own.look(preparation)
    except BaseException:
        await session.close()
        await keeper.close()
        raise
    return Membership(config, tree, cluster_id, preparation, clock, tasks, dialer, keeper, own)


async def _tls_loader(config: BrokerConfig) -> Callable[[], ssl.SSLContext] | None:
    """What makes TLS for each connection to a server, tried once: a start is refused by what is wrong now."""
    settings = config.zookeeper.tls
    if settings is None:
        return None
    from fastlog.server.security.zookeeper_tls import zookeeper_context  # with TLS alone

    await asyncio.to_thread(zookeeper_context, settings)
    return partial(zookeeper_context, settings)


def _session(
    config: BrokerConfig, connectors: Sequence[Connector], clock: Clock, tasks: Supervisor
) -> ZkSession:
    access = config.zookeeper
    login = None
    if access.login is not None:
        from fastlog.coordination.zookeeper.digest_md5 import steps  # with SASL alone

        login = partial(steps, *access.login)
    return ZkSession(
        connectors,
        clock,
        timeout_ms=config.zookeeper_session_timeout_ms,
        auth=() if access.digest is None else (Auth("digest", access.digest.encode()),),
        login=login,
        tasks=tasks,
    )


def _client(config: BrokerConfig, session: ZkSession, chroot: str = "") -> ZkClient:
    return ZkClient(session, chroot, acls_of=secure_acls if config.zookeeper.set_acl else None)


async def _adopt(
    tree: MemberTree,
    cluster_id: str,
    node_id: int,
    former: FormerFile | FormerTree,
    preparation: Preparation,
    clock: Clock,
) -> None:
    # Most starts have nothing to do with it.
    from fastlog.coordination.member.adoption import adopt

    await adopt(tree, cluster_id, node_id, former, preparation.partitions, clock)


async def _started_keeper(
    config: BrokerConfig, logs: LogManager, preparation: Preparation, clock: Clock, tasks: Supervisor
) -> EmbeddedKeeper:
    listen, tls = config.keeper_listen, None
    if config.keeper_tls is not None:
        from fastlog.server.security.identity import load_identity  # with TLS alone

        tls = (await asyncio.to_thread(load_identity, config.keeper_tls)).context
    keeper = EmbeddedKeeper(
        _online(logs),
        clock,
        tasks,
        used_before=preparation.used_before,
        complete=logs.complete,
        allow_data_loss=config.allow_data_loss,
        on_disk_failure=logs.dir_failed,
        give_room=logs.give_room,
        listen=None if listen is None else parse(listen).servers[0],
        tls=tls,
        users=config.keeper_users,
    )
    try:
        await keeper.start()
    except BaseException:
        await keeper.close()
        raise
    return keeper


def _online(logs: LogManager) -> list[Path]:
    return [directory.path for directory in logs.directories if directory.online]
