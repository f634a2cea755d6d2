"""The quotas that are in the tree, as Kafka keeps them: of users, of clients, of both, and of addresses.

    /config/users/U   /config/users/U/clients/C   /config/clients/C   /config/ips/I   (<default>: all others)

They are read, and nothing else: this broker holds nobody to them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import unquote

from fastlog.coordination.member.tree import MemberTree
from fastlog.coordination.store import MetadataDamaged
from fastlog.coordination.znodes import node_json, paths

__all__ = ["DOUBLES", "Entity", "read_quotas"]

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
"""(kind, name) of each part; the name None is the default."""


async def read_quotas(tree: MemberTree) -> dict[Entity, dict[str, float]]:
    """All that there are. Raises StoreError."""
    nodes: dict[Entity, str] = {}
    for kind, parent in ((USER, paths.USER_CONFIGS), (CLIENT, "/config/clients"), (IP, "/config/ips")):
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
