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
from pathlib import Path
from typing import Final

from fastlog.base.clock import Clock
from fastlog.base.tasks import Supervisor
from fastlog.config import BrokerConfig
from fastlog.coordination.embedded import EmbeddedKeeper
from fastlog.coordination.member import joining
from fastlog.coordination.member.own_tree import OwnTree
from fastlog.coordination.member.tree import MemberTree
from fastlog.coordination.znodes.takeover import FormerFile, FormerTree
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import ZkSession
from fastlog.coordination.zookeeper.connect_string import parse
from fastlog.coordination.zookeeper.transport import socket_connector
from fastlog.server.membership import Membership
from fastlog.storage.log_manager import LogManager
from fastlog.storage.starting import Preparation

_OWN_KEEPER_SECONDS: Final = 2.0
"""How long requests wait for a keeper of this process: it is there, or will not be again."""


async def metadata_source(
    config: BrokerConfig, logs: LogManager, preparation: Preparation, clock: Clock, tasks: Supervisor
) -> Membership:
    """Begins a session and finds out whose tree it is.

    What this broker alone knows is brought into it first: metadata that it has kept elsewhere, and topics
    that are in its log directories only. Raises InvalidConnectString, KeeperDamaged, StoreError,
    IdentityError, StorageError, OSError.
    """
    if config.zookeeper_connect:
        return await _join(config, logs, preparation, clock, tasks)
    return await _join_own(config, logs, preparation, clock, tasks)


async def _join(
    config: BrokerConfig, logs: LogManager, preparation: Preparation, clock: Clock, tasks: Supervisor
) -> Membership:
    address = parse(config.zookeeper_connect or "")
    wait_ms = config.zookeeper_connection_timeout_ms or config.zookeeper_session_timeout_ms
    connectors = [socket_connector(host, port) for host, port in address.servers]
    session = ZkSession(connectors, clock, timeout_ms=config.zookeeper_session_timeout_ms, tasks=tasks)
    tree = MemberTree(ZkClient(session, address.chroot), wait_seconds=wait_ms / 1000)
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
    return Membership(config.with_node_id(node_id), tree, cluster_id, preparation, clock, tasks)


async def _join_own(
    config: BrokerConfig, logs: LogManager, preparation: Preparation, clock: Clock, tasks: Supervisor
) -> Membership:
    keeper = await _started_keeper(config, logs, preparation, clock, tasks)
    session = ZkSession(
        [keeper.connector], clock, timeout_ms=config.zookeeper_session_timeout_ms, tasks=tasks
    )
    tree = MemberTree(ZkClient(session), wait_seconds=_OWN_KEEPER_SECONDS)
    session.start()
    try:
        cluster_id, node_id = await joining.find_identity(tree, preparation, config.node_id, None)
        own = OwnTree(keeper.nodes, tree, node_id)
        former = FormerFile(_online(logs))
        if await own.look(preparation) or await asyncio.to_thread(former.is_there):
            await _adopt(tree, cluster_id, node_id, former, preparation, clock)
            await own.look(preparation)
    except BaseException:
        await session.close()
        await keeper.close()
        raise
    return Membership(config, tree, cluster_id, preparation, clock, tasks, keeper, own)


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
    listen = config.keeper_listen
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
    )
    try:
        await keeper.start()
    except BaseException:
        await keeper.close()
        raise
    return keeper


def _online(logs: LogManager) -> list[Path]:
    return [directory.path for directory in logs.directories if directory.online]
