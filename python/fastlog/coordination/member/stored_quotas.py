"""The quotas that are in the tree, as Kafka keeps them: of users, of clients, of both, and of addresses.

    /config/users/U   /config/users/U/clients/C   /config/clients/C   /config/ips/I   (<default>: all others)

Each node is `{"version":1,"config":{"producer_byte_rate":"1000"}}`; that of a user has its SCRAM credentials,
too. Who changes one leaves a notification, by which all brokers take it over while they run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import unquote

from fastlog.coordination.member.topic_writes import TopicWrites
from fastlog.coordination.member.tree import MemberTree
from fastlog.coordination.store import MetadataDamaged
from fastlog.coordination.znodes import node_json, paths

__all__ = ["CLIENT", "DOUBLES", "IP", "USER", "Entity", "StoredQuotas", "path_of", "read_quotas"]

_LOG: Final = logging.getLogger(__name__)
USER: Final = "user"
CLIENT: Final = "client-id"
IP: Final = "ip"
DOUBLES: Final = {
    "producer_byte_rate",
    "consumer_byte_rate",
    "request_percentage",
    "controller_mutation_rate",
    "connection_creation_rate",
}
"""What a quota can be of; a user's node has its SCRAM credentials, too."""

Entity = tuple[tuple[str, str | None], ...]
"""(kind, name) of each part; the name None is the default. Of user and client, the user comes first."""
Tell = Callable[[Entity, Mapping[str, float]], None]
_PARENTS: Final = {USER: paths.USER_CONFIGS, CLIENT: paths.CLIENT_CONFIGS, IP: paths.IP_CONFIGS}
_KINDS: Final = {"users": USER, "clients": CLIENT, "ips": IP}
"""What notifications call them."""


class StoredQuotas:
    """Used on the event loop. `load` once, then `take` for what notifications name."""

    def __init__(self, tree: MemberTree, writes: TopicWrites) -> None:
        self._tree = tree
        self._writes = writes
        self._tell: Tell | None = None

    async def load(self, tell: Tell) -> None:
        """Tells of all that there are, and from now on of those that change. Raises StoreError."""
        self._tell = tell
        for entity, values in (await self.read()).items():
            tell(entity, values)

    async def read(self) -> dict[Entity, dict[str, float]]:
        """What the tree says now. Raises StoreError."""
        return await read_quotas(self._tree)

    async def take(self, kind: str, node: str) -> None:
        """The node of that name (`U`, `U/clients/C`) has changed. Raises StoreError."""
        entity = _entity(kind, node)
        if self._tell is None or entity is None:
            return
        path = path_of(entity)
        found = await self._tree.read(path)
        self._tell(entity, {} if found is None else dict(_values(path, found[0])))

    async def change(self, entity: Entity, changes: Mapping[str, str | None]) -> None:
        """Sets values, or (None) removes them; what else the node has stays. Raises KafkaError."""

        def edit(configs: dict[str, str]) -> None:
            for key, text in changes.items():
                if text is None:
                    configs.pop(key, None)
                else:
                    configs[key] = text

        path = path_of(entity)
        notify = (paths.CONFIG_CHANGE, path.removeprefix("/config/"))
        await self._writes.edit_config(path, edit, notify)
        kind, _, node = path.removeprefix("/config/").partition("/")
        await self.take(kind, node)


def path_of(entity: Entity) -> str:
    """The node of an entity."""
    first, *others = entity
    path = f"{_PARENTS[first[0]]}/{_node(first[1])}"
    return path if not others else f"{path}/clients/{_node(others[0][1])}"


def _entity(kind: str, node: str) -> Entity | None:
    if kind not in _KINDS:
        return None
    name, separator, client = node.partition("/clients/")
    if not separator:
        return ((_KINDS[kind], _name(name)),)
    return ((USER, _name(name)), (CLIENT, _name(client))) if kind == "users" else None


async def read_quotas(tree: MemberTree) -> dict[Entity, dict[str, float]]:
    """All that there are. Raises StoreError."""
    nodes: dict[Entity, str] = {}
    for kind, parent in _PARENTS.items():
        for name in await tree.children(parent):
            nodes[((kind, _name(name)),)] = f"{parent}/{name}"
    users = [(entity, path) for entity, path in nodes.items() if entity[0][0] == USER]
    below = await tree.children_of_all([f"{path}/clients" for _, path in users])
    for (entity, path), clients in zip(users, below, strict=True):
        for name in clients or ():
            nodes[(*entity, (CLIENT, _name(name)))] = f"{path}/clients/{name}"
    found = await tree.read_all(list(nodes.values()))
    return {
        entity: values
        for (entity, path), node in zip(nodes.items(), found, strict=True)
        if node is not None and (values := dict(_values(path, node[0])))
    }


def _node(name: str | None) -> str:
    return paths.DEFAULT if name is None else paths.sanitise(name)


def _name(node: str) -> str | None:
    return None if node == paths.DEFAULT else unquote(node)


def _values(path: str, data: bytes | None) -> Iterator[tuple[str, float]]:
    try:
        configs: Mapping[str, str] = node_json.decode_config(path, data)
    except MetadataDamaged as error:
        _LOG.error("quotas cannot be read: %s", error)
        return
    for key, text in configs.items():
        if key in DOUBLES:
            try:
                yield key, float(text)
            except ValueError:
                _LOG.error("a quota cannot be read: %s: %s", path, key)
