"""The metadata of the cluster in a ZooKeeper tree, as Kafka 3.9 keeps it there.

One broker writes, the controller; what it has last seen of each node's version goes into each write, so that
a change by somebody else (a tool, another broker) is met as StaleVersion and never undone. A topic's
partitions have a `state` from when their directories are there: `TopicRecord.materialised` counts them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from fastlog.base.clock import Clock
from fastlog.base.uuids import format_uuid, random_uuid
from fastlog.coordination.store import (
    ANY_VERSION,
    ClusterMetadata,
    MetadataDamaged,
    PartitionRecord,
    StaleVersion,
    StoreError,
    TopicExists,
    TopicMissing,
    TopicRecord,
)
from fastlog.coordination.znodes import node_json, paths
from fastlog.coordination.znodes.fenced_tree import FencedTree, Part, in_lots
from fastlog.coordination.znodes.node_changes import commit
from fastlog.coordination.znodes.seat import ClusterSeat
from fastlog.coordination.znodes.takeover import FormerFile, FormerTree, take_over
from fastlog.coordination.znodes.topic_nodes import TopicNodes
from fastlog.coordination.znodes.tree_loading import load
from fastlog.coordination.zookeeper.codes import CreateMode
from fastlog.coordination.zookeeper.errors import NodeExists, NoNode, ZkError
from fastlog.coordination.zookeeper.requests import Create, Delete, SetData

_LOG: Final = logging.getLogger(__name__)
_CHANGES_KEPT_MS: Final = 15 * 60 * 1000
"""Notifications of changed configs go after this time (`ZkNodeChangeNotificationListener`)."""
_CHANGES_BETWEEN_SWEEPS: Final = 100


class TreeMetadataStore:
    """`MetadataStore` over a tree. Used on the event loop; changes one at a time.

    `former` is what the metadata was in before: what it says goes into the tree at the first load.
    """

    def __init__(
        self, seat: ClusterSeat, clock: Clock, former: FormerFile | FormerTree | None = None
    ) -> None:
        self._seat = seat
        self._former = former
        self._clock = clock
        self._tree = FencedTree(seat.client, seat)
        self._nodes = TopicNodes(self._tree)
        self._producer_ids = (0, 0)
        self._doubtful_configs: dict[str, tuple[bytes | None, bytes | None]] = {}
        """By path: what a write that failed would have left, and what was there before it."""
        self._changes = 0
        self._has_room: Callable[[], bool] = lambda: True
        self._lock = asyncio.Lock()

    def ask_for_room(self, has_room: Callable[[], bool]) -> None:
        """While `has_room` says that there is none, nothing new is stored.

        What ends a change that is stored still is: completions, deletions, leaderships.
        """
        self._has_room = has_room

    async def load(self, cluster_id: str | None = None) -> ClusterMetadata:
        """Takes the controller's seat and reads everything. See `MetadataStore.load`."""
        stored = await self._load(cluster_id)
        former = None if self._former is None else await self._former.read(stored.cluster_id)
        if self._former is None or former is None:
            return stored
        stored = await take_over(self, stored, former)
        await self._former.put_away()
        return stored

    async def _load(self, cluster_id: str | None) -> ClusterMetadata:
        async with self._lock:
            await self._seat.take()
            found = await self._set_up(cluster_id)
            loaded = await load(self._tree)
            self._nodes.take(loaded)
            for name in loaded.without_id:
                await self._nodes.replace_assignments([self._nodes.records[name]])
            for name in loaded.ghosts:
                await self._remove_ghost(name)
            await self._sweep_changes()
            await self._read_producer_ids()
            return ClusterMetadata(
                cluster_id=found,
                topics=MappingProxyType(dict(loaded.topics)),
                broker_configs=MappingProxyType(loaded.broker_configs),
                next_producer_id=self._producer_ids[0],
                group_configs=MappingProxyType(loaded.group_configs),
            )

    async def create_topics(self, topics: Sequence[TopicRecord]) -> list[TopicRecord]:
        """See `MetadataStore.create_topics`."""
        async with self._change(is_new=True):
            for topic in topics:
                if topic.name in self._nodes.records:
                    raise TopicExists(f"topic {topic.name} exists")
            await self._nodes.create(topics)
            return [self._nodes.records[topic.name] for topic in topics]

    async def add_partitions(
        self, added: Mapping[str, tuple[int, Sequence[PartitionRecord]]]
    ) -> list[TopicRecord]:
        """See `MetadataStore.add_partitions`."""
        async with self._change(is_new=True):
            grown: list[TopicRecord] = []
            for name, (expected, new) in added.items():
                topic = self._current(name, expected)
                partitions = (*topic.partitions, *new)
                grown.append(replace(topic, partitions=partitions, version=topic.version + 1))
            await self._nodes.replace_assignments(grown)
            return grown

    async def set_materialised(self, name: str, count: int, expected: int) -> TopicRecord:
        """See `MetadataStore.set_materialised`."""
        async with self._change():
            topic = self._current(name, expected)
            states = {name: dict(enumerate(topic.partitions[:count]))}
            return (await self._nodes.write_states(states, self._seat.controller_epoch))[name]

    async def complete_topics(self, topics: Sequence[TopicRecord]) -> list[TopicRecord]:
        """See `MetadataStore.complete_topics`."""
        async with self._change():
            current = [self._current(topic.name, topic.version) for topic in topics]
            missing = {
                topic.name: {
                    number: topic.partitions[number]
                    for number, version in enumerate(self._nodes.versions[topic.name].states)
                    if version is None
                }
                for topic in current
            }
            written = await self._nodes.write_states(missing, self._seat.controller_epoch)
            return [written[topic.name] for topic in current]

    async def set_leadership(
        self, changes: Mapping[str, Mapping[int, PartitionRecord]]
    ) -> dict[str, TopicRecord]:
        """See `MetadataStore.set_leadership`."""
        async with self._change():
            for name in changes:
                self._current(name, ANY_VERSION)
            return await self._nodes.write_states(changes, self._seat.controller_epoch)

    async def mark_deleting(self, topics: Sequence[TopicRecord]) -> list[TopicRecord]:
        """See `MetadataStore.mark_deleting`."""
        async with self._change():
            there = self._nodes.records
            # One that somebody has removed from the tree needs no mark: its directories are what is left.
            current = [self._current(topic.name, topic.version) for topic in topics if topic.name in there]
            await self._nodes.mark([topic.name for topic in current if not topic.deleting])
            return [there.get(topic.name) or replace(topic, deleting=True) for topic in topics]

    async def delete_topics(self, names: Sequence[str]) -> None:
        """See `MetadataStore.delete_topics`. What fails half way is marked, and deleted by the next start."""
        async with self._change():
            for name in names:
                if name in self._nodes.records:
                    await self._nodes.remove(name)

    async def set_configs(
        self, topics: Sequence[TopicRecord], groups: Mapping[str, Mapping[str, str]]
    ) -> list[TopicRecord]:
        """See `MetadataStore.set_configs`. More than one request takes (768 KiB) is written in several."""
        async with self._change(is_new=True):
            current = [self._current(topic.name, topic.version) for topic in topics]
            wanted: dict[str, tuple[bytes | None, str | None]] = {
                paths.topic_config(topic.name): (
                    node_json.encode_config(topic.configs),
                    f"topics/{topic.name}",
                )
                for topic in topics
            }
            if any(groups.values()):
                await self._tree.ensure(paths.GROUP_CONFIGS)
            for group_id, overrides in groups.items():
                data = node_json.encode_config(overrides) if overrides else None
                wanted[paths.group_config(group_id)] = data, None
            await self._replace_configs(wanted)
            for topic, before in zip(topics, current, strict=True):
                configs = MappingProxyType(dict(topic.configs))
                self._nodes.versions[topic.name].config = 0
                self._nodes.records[topic.name] = replace(before, configs=configs, version=before.version + 1)
            return [self._nodes.records[topic.name] for topic in topics]

    async def set_broker_configs(self, node_id: int | None, configs: Mapping[str, str]) -> None:
        """See `MetadataStore.set_broker_configs`."""
        async with self._change(is_new=True):
            entity = paths.DEFAULT if node_id is None else str(node_id)
            path = paths.broker_config(node_id)
            await self._replace_configs({path: (node_json.encode_config(configs), f"brokers/{entity}")})

    async def allocate_producer_ids(self, count: int, *, at_least: int = 0) -> int:
        """See `MetadataStore.allocate_producer_ids`."""
        async with self._change():
            if self._producer_ids[1] < 0:
                await self._read_producer_ids()
            following, version = self._producer_ids
            first = max(following, at_least)
            if count < 1 or first + count > 2**63 - 1:
                raise StoreError(f"cannot reserve {count} producer ids from {first}")
            data = node_json.encode_producer_ids(self._seat.node_id, first, count)
            try:
                (version,) = await commit(self._tree, [SetData(paths.PRODUCER_IDS, data, version)])
            except StoreError:
                # The block may have been taken: by this write, or by somebody else.
                self._producer_ids = following, -2
                raise
            self._producer_ids = first + count, version
            return first

    async def close(self) -> None:
        """Waits for a change that is under way, and gives up seat and session."""
        async with self._lock:
            await self._seat.close()

    @asynccontextmanager
    async def _change(self, *, is_new: bool = False) -> AsyncIterator[None]:
        async with self._lock:
            await self._seat.taken()
            if is_new and not self._has_room():
                raise StoreError("the disk that the metadata is on is full")
            await self._nodes.settle()
            await self._settle_configs()
            try:
                yield
            except TopicMissing:
                # It may be a node that all need: somebody may have removed that as well.
                await self._tree.ensure(*paths.PERSISTENT)
                raise

    def _current(self, name: str, expected: int) -> TopicRecord:
        topic = self._nodes.records.get(name)
        if topic is None:
            raise TopicMissing(f"topic {name} does not exist")
        if expected not in (ANY_VERSION, topic.version):
            raise StaleVersion(f"topic {name} is at version {topic.version}, not {expected}")
        return topic

    async def _set_up(self, wanted: str | None) -> str:
        """Makes what every broker makes at its start; gives the cluster's id."""
        await self._tree.ensure(*paths.PERSISTENT)
        await self._make(paths.FEATURE, node_json.NO_FEATURES)
        try:
            data, _ = await self._tree.read(paths.CLUSTER_ID)
        except NoNode:
            made = wanted or format_uuid(random_uuid())
            await self._tree.ensure("/cluster")
            await commit(self._tree, [Create(paths.CLUSTER_ID, node_json.encode_cluster_id(made))])
            return made
        found = node_json.decode_cluster_id(paths.CLUSTER_ID, data)
        if wanted is not None and wanted != found:
            raise MetadataDamaged(
                f"zookeeper.connect leads to cluster {found}, but meta.properties of the log directories "
                f"names {wanted}: these directories do not belong to that cluster"
            )
        return found

    async def _remove_ghost(self, name: str) -> None:
        try:
            await commit(self._tree, [Delete(paths.deletion(name))], unless=(NoNode,))
        except StaleVersion as error:
            _LOG.warning("the deletion of a topic that is gone stays: %s", error)

    async def _make(self, path: str, data: bytes) -> None:
        await commit(self._tree, [Create(path, data)], unless=(NodeExists,))

    async def _read_producer_ids(self) -> None:
        await self._tree.ensure(paths.PRODUCER_IDS)
        data, version = await self._tree.read(paths.PRODUCER_IDS)
        found = node_json.decode_next_producer_id(paths.PRODUCER_IDS, data)
        # No id is given out twice, also when somebody has removed the node.
        self._producer_ids = max(found, self._producer_ids[0]), version

    async def _replace_configs(self, wanted: Mapping[str, tuple[bytes | None, str | None]]) -> None:
        """By path what the node is to say (None: it goes) and which entity others are told of."""
        found = await self._tree.read_all([*wanted])
        groups: list[list[Part]] = []
        for (path, (data, entity)), node in zip(wanted.items(), found, strict=True):
            parts = _change_of(path, data, node)
            if entity is not None:
                change = node_json.encode_config_change(entity)
                parts.append(Create(paths.CONFIG_CHANGE, change, flags=CreateMode.PERSISTENT_SEQUENTIAL))
            groups.append(parts)
        try:
            for lot in in_lots(parts for parts in groups if parts):
                await commit(self._tree, lot)
        except StoreError:
            for (path, (data, _)), node in zip(wanted.items(), found, strict=True):
                self._doubtful_configs[path] = data, None if node is None else node[0]
            raise
        self._changes += len(wanted)
        if self._changes >= _CHANGES_BETWEEN_SWEEPS:
            await self._sweep_changes()

    async def _settle_configs(self) -> None:
        """Takes back changes that were told to have failed, where they were carried out all the same."""
        if self._doubtful_configs:
            await self._tree.sync()
        for path, (attempted, former) in list(self._doubtful_configs.items()):
            (found,) = await self._tree.read_all([path])
            if attempted != former and attempted == (None if found is None else found[0]):
                await commit(self._tree, _change_of(path, former, found))
            del self._doubtful_configs[path]

    async def _sweep_changes(self) -> None:
        """Removes old notifications, as every broker of Kafka does."""
        self._changes = 0
        limit = self._clock.now_ms() - _CHANGES_KEPT_MS
        for name in await self._tree.children(paths.CONFIG_CHANGES):
            path = f"{paths.CONFIG_CHANGES}/{name}"
            try:
                stat = await self._seat.client.exists(path)
                if stat is None or stat.ctime >= limit:
                    return
                await self._seat.client.delete(path)
            except ZkError as error:
                _LOG.debug("old notifications stay for now: %s", error)
                return


def _change_of(path: str, data: bytes | None, found: tuple[bytes | None, int] | None) -> list[Part]:
    """What brings a node from what was found to `data`; None: to no node."""
    if data is None:
        return [] if found is None else [Delete(path, found[1])]
    return [Create(path, data) if found is None else SetData(path, data, found[1])]
