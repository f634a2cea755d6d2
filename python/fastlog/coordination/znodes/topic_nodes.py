"""The nodes of topics: made, changed and removed by the controller, each at the version that it last saw."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from fastlog.coordination.store import (
    MetadataDamaged,
    PartitionRecord,
    StaleVersion,
    StoreError,
    TopicExists,
    TopicRecord,
)
from fastlog.coordination.znodes import node_json, paths
from fastlog.coordination.znodes.fenced_tree import FencedTree, Part, in_lots
from fastlog.coordination.znodes.node_changes import commit
from fastlog.coordination.znodes.tree_loading import Loaded, Versions, load_topics
from fastlog.coordination.zookeeper.errors import NodeExists, NoNode
from fastlog.coordination.zookeeper.requests import Create, Delete, SetData

_LOG: Final = logging.getLogger(__name__)
_GONE: Final = (NoNode,)
_THERE: Final = (NodeExists,)


class TopicNodes:
    """`records` are the topics as they are stored. Used on the event loop, one change at a time."""

    def __init__(self, tree: FencedTree) -> None:
        self.records: dict[str, TopicRecord] = {}
        self.versions: dict[str, Versions] = {}
        self._tree = tree
        # Topics of which a write has failed that may have been carried out all the same, and what assignment
        # it would have left.
        self._doubtful: dict[str, set[bytes | None]] = {}

    def take(self, loaded: Loaded) -> None:
        """Begins with what was read."""
        self.records, self.versions = loaded.topics, loaded.versions

    async def settle(self) -> None:
        """Finds out what became of writes whose outcome is not known. Before each other change.

        What this broker was told to have failed is undone; what others have written is left as it is, and
        keeps further changes of the topic, but of no other, from being written.
        """
        if self._doubtful:
            await self._tree.sync()
        for name in sorted(self._doubtful):
            try:
                await self._settle_topic(name)
            except MetadataDamaged as error:
                _LOG.error("no change of topic %s is stored until this is mended: %s", name, error)
            else:
                del self._doubtful[name]

    async def _settle_topic(self, name: str) -> None:
        """Raises MetadataDamaged when its nodes cannot be read."""
        found = Loaded()
        await load_topics(self._tree, [name], set(), found)
        data, mark = await self._tree.read_all([paths.topic(name), paths.deletion(name)])
        if name in self.records and name in found.versions and data is not None:
            await self._take_back(name, data[0], found.versions[name])
            if mark is not None and not self.records[name].deleting:
                await commit(self._tree, [Delete(paths.deletion(name))], unless=_GONE)
        elif name in found.versions:
            if data is not None and data[0] in self._doubtful[name]:
                # A creation that was told to have failed.
                await self._remove_nodes(name, found.versions[name], marked=mark is not None)
        else:
            if name in self.records:
                _LOG.warning("topic %s is in the tree no more: somebody has removed it", name)
            config: list[Part] = [Delete(paths.topic_config(name)), Delete(paths.deletion(name))]
            await commit(self._tree, config, unless=_GONE)
            self.records.pop(name, None)
            self.versions.pop(name, None)

    async def _take_back(self, name: str, data: bytes | None, found: Versions) -> None:
        """Puts back the assignment that a failed write may have changed."""
        topic = self.records[name]
        wanted = node_json.encode_topic(topic.topic_id, topic.partitions)
        if data == wanted or found.topic == self.versions[name].topic:
            self.versions[name] = found
        elif data in self._doubtful[name]:
            (found.topic,) = await commit(self._tree, [SetData(paths.topic(name), wanted, found.topic)])
            found.states = found.states[: len(topic.partitions)]
            self.versions[name] = found
        else:
            _LOG.error(
                "%s has been changed by somebody else: no change of this topic is stored until the broker is "
                "started again",
                paths.topic(name),
            )

    async def create(self, topics: Sequence[TopicRecord]) -> None:
        """All or none. Raises TopicExists."""
        made: list[TopicRecord] = []
        try:
            for lot in _lots_of(topics):
                await self._create_lot(lot)
                made.extend(lot)
        except StoreError:
            self._doubt(
                (topic.name for topic in topics), (part for topic in topics for part in _creation(topic))
            )
            for topic in made:
                del self.records[topic.name], self.versions[topic.name]
            raise

    async def replace_assignments(self, topics: Sequence[TopicRecord]) -> None:
        """Stores ids and replicas of topics, which may have more partitions than before."""
        groups: list[list[Part]] = []
        for topic in topics:
            data = node_json.encode_topic(topic.topic_id, topic.partitions)
            groups.append([SetData(paths.topic(topic.name), data, self.versions[topic.name].topic)])
        left = list(topics)
        for lot in in_lots(groups):
            for version in await self._commit([topic.name for topic in topics], lot):
                topic = left.pop(0)
                versions = self.versions[topic.name]
                versions.topic = version
                versions.states.extend(None for _ in range(len(versions.states), len(topic.partitions)))
                self.records[topic.name] = topic

    async def write_states(
        self, changes: Mapping[str, Mapping[int, PartitionRecord]], controller_epoch: int
    ) -> dict[str, TopicRecord]:
        """Writes states in the order of partitions: after a crash it is the first ones that are there."""
        groups: list[list[Part]] = []
        for name, states in changes.items():
            for number, state in sorted(states.items()):
                data = node_json.encode_state(state, controller_epoch)
                groups.append(self._state_parts(name, number, data))
        for lot in in_lots(groups):
            written = await self._commit(changes, lot)
            for part, version in zip(lot, written, strict=True):
                self._note(part, version)
        changed: dict[str, TopicRecord] = {}
        for name, states in changes.items():
            topic = self.records[name]
            partitions = list(topic.partitions)
            for number, state in states.items():
                partitions[number] = state
            changed[name] = self.records[name] = replace(
                topic,
                partitions=tuple(partitions),
                materialised=self.versions[name].materialised,
                version=topic.version + 1,
            )
        return changed

    async def mark(self, names: Sequence[str]) -> None:
        """Says that topics are to be deleted; those that are marked already are fine."""
        for lot in in_lots([Create(paths.deletion(name), None)] for name in names):
            await self._commit(names, lot, unless=_THERE)
        for name in names:
            topic = self.records[name]
            self.records[name] = replace(topic, deleting=True, version=topic.version + 1)

    async def remove(self, name: str) -> None:
        """Removes all nodes of a topic, the mark of its deletion last."""
        await self._remove_nodes(name, self.versions[name], marked=self.records[name].deleting)
        del self.records[name], self.versions[name]

    def _state_parts(self, name: str, number: int, data: bytes) -> list[Part]:
        versions = self.versions[name]
        path, version = paths.state(name, number), versions.states[number]
        if version is not None:
            return [SetData(path, data, version)]
        parts: list[Part] = []
        if versions.parents is None:
            parts.append(Create(paths.partitions(name), None))
            versions.parents = set()
        if number not in versions.parents:
            parts.append(Create(paths.partition(name, number), None))
        return [*parts, Create(path, data)]

    def _note(self, part: Part, version: int) -> None:
        """Keeps what is known of the nodes up to date with a part that was carried out."""
        _, _, _, name, *rest = part.path.split("/")
        if len(rest) < 2 or name not in self.versions:
            return
        versions, number = self.versions[name], int(rest[1])
        gone = isinstance(part, Delete)
        if len(rest) > 2:
            versions.states[number] = None if gone else version
        elif gone:
            (versions.parents or set()).discard(number)
        elif versions.parents is None:
            versions.parents = {number}
        else:
            versions.parents.add(number)

    async def _create_lot(self, topics: Sequence[TopicRecord]) -> None:
        parts: list[Part] = []
        for topic in topics:
            parts.extend(_creation(topic))
        try:
            await commit(self._tree, parts)
        except StaleVersion:
            # Overrides that a deleted topic has left: the new one has its own.
            found = await self._tree.read_all([paths.topic(topic.name) for topic in topics])
            for topic, node in zip(topics, found, strict=True):
                if node is not None:
                    raise TopicExists(f"topic {topic.name} exists: somebody else has made it") from None
            left: list[Part] = [Delete(paths.topic_config(topic.name)) for topic in topics]
            await commit(self._tree, left, unless=_GONE)
            await commit(self._tree, parts)
        for topic in topics:
            self.records[topic.name] = replace(topic, version=0, materialised=0)
            self.versions[topic.name] = Versions(0, 0, [None] * len(topic.partitions))

    async def _remove_nodes(self, name: str, versions: Versions, *, marked: bool) -> None:
        # From the last: what a crash leaves is a topic with fewer partitions that are there.
        groups = [
            self._partition_removal(name, number, versions)
            for number in sorted(versions.parents or (), reverse=True)
        ]
        last: list[Part] = [] if versions.parents is None else [Delete(paths.partitions(name))]
        last.append(Delete(paths.topic(name)))
        if versions.config is not None:
            last.append(Delete(paths.topic_config(name)))
        if marked:
            last.append(Delete(paths.deletion(name)))
        try:
            for lot in in_lots([*groups, last]):
                await self._commit([name], lot, unless=_GONE)
        except StaleVersion:
            # There are nodes that are none of Kafka's.
            await self._remove_all(name)

    async def _remove_all(self, name: str) -> None:
        """Removes all nodes of a topic with whatever is below them."""
        tops = [paths.topic(name), paths.topic_config(name), paths.deletion(name)]
        found = list(tops)
        for path in found:
            # It grows meanwhile: children stand behind their parents.
            found.extend(f"{path}/{child}" for child in await self._tree.children(path))
        below = [path for path in found if path not in tops]
        for lot in in_lots([Delete(path)] for path in [*reversed(below), *tops]):
            await self._commit([name], lot, unless=_GONE)

    @staticmethod
    def _partition_removal(name: str, number: int, versions: Versions) -> list[Part]:
        parts: list[Part] = [Delete(paths.partition(name, number))]
        if number < len(versions.states) and versions.states[number] is not None:
            parts.insert(0, Delete(paths.state(name, number)))
        return parts

    async def _commit(
        self,
        names: Sequence[str] | Mapping[str, object],
        parts: Sequence[Part],
        *,
        unless: tuple[type[NoNode] | type[NodeExists], ...] = (),
    ) -> list[int]:
        try:
            return await commit(self._tree, parts, unless=unless)
        except StoreError:
            self._doubt(names, parts)
            raise

    def _doubt(self, names: Iterable[str], parts: Iterable[Part]) -> None:
        for name in names:
            self._doubtful.setdefault(name, set())
        for part in parts:
            name = part.path.removeprefix(f"{paths.TOPICS}/")
            if not isinstance(part, Delete) and name in self._doubtful:
                self._doubtful[name].add(part.data)


def _creation(topic: TopicRecord) -> list[Part]:
    return [
        Create(paths.topic_config(topic.name), node_json.encode_config(topic.configs)),
        Create(paths.topic(topic.name), node_json.encode_topic(topic.topic_id, topic.partitions)),
    ]


def _lots_of(topics: Sequence[TopicRecord]) -> list[list[TopicRecord]]:
    by_path = {paths.topic(topic.name): topic for topic in topics}
    lots = in_lots(map(_creation, topics))
    return [[by_path[part.path] for part in lot if part.path in by_path] for lot in lots]
