"""The overrides of topics, as /config/topics has them: what is known here, and what has to be read."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

from fastlog.coordination.store import MetadataDamaged
from fastlog.coordination.znodes import node_json, paths

_LOG: Final = logging.getLogger(__name__)
Overrides = Mapping[str, str]
NONE: Final[Overrides] = MappingProxyType({})


class NodesRead(Protocol):
    """The part of a tree that is used here."""

    async def read_all(self, wanted: Sequence[str]) -> list[tuple[bytes | None, int] | None]:
        """Data and version of nodes; None for one that is missing. Raises StoreError."""
        ...


class TopicOverrides:
    """Whoever deletes a topic writes no notification, and whoever makes one neither: overrides are known for
    one topic id, and read again for another. Used on the event loop."""

    def __init__(self, tree: NodesRead) -> None:
        self._tree = tree
        self._known: dict[str, tuple[bytes, Overrides]] = {}

    def get(self, name: str) -> Overrides:
        """Those of a topic that was asked for with `need`."""
        known = self._known.get(name)
        return NONE if known is None else known[1]

    def know(self, topics: Mapping[str, tuple[bytes, Overrides]]) -> None:
        """Takes those of topics, with their ids, that were read elsewhere."""
        self._known.update(topics)

    async def need(self, topics: Mapping[str, bytes]) -> None:
        """Reads those of topics (name and id) that are not known. Raises StoreError."""
        missing = [
            name
            for name, topic_id in topics.items()
            if (known := self._known.get(name)) is None or known[0] != topic_id
        ]
        if missing:
            found = await self.read(missing)
            self._known.update({name: (topics[name], found[name]) for name in missing})

    async def read(self, names: Iterable[str]) -> dict[str, Overrides]:
        """What the nodes say now; one that cannot be read says nothing. Raises StoreError."""
        wanted = list(names)
        nodes = await self._tree.read_all([paths.topic_config(name) for name in wanted])
        return {
            name: NONE if node is None else _decoded(paths.topic_config(name), node[0])
            for name, node in zip(wanted, nodes, strict=True)
        }

    def put(self, name: str, overrides: Overrides) -> bool:
        """They are others now; whether the topic was known."""
        known = self._known.get(name)
        if known is not None:
            self._known[name] = known[0], MappingProxyType(dict(overrides))
        return known is not None

    def forget(self, name: str) -> None:
        """The topic is deleted."""
        self._known.pop(name, None)


def _decoded(path: str, data: bytes | None) -> Overrides:
    try:
        return MappingProxyType(node_json.decode_config(path, data))
    except MetadataDamaged as error:
        _LOG.error("the settings of a topic are not in force: %s", error)
        return NONE
