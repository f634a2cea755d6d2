"""Brings the metadata that a broker has kept itself into the tree, once: from its file, or its own keeper."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fastlog.base.files import entries_synced
from fastlog.coordination.embedded import KEEPER_DIRECTORY, MOVED_AWAY
from fastlog.coordination.former_file import METADATA_FILE, TAKEN_OVER, former_files, read_former_file
from fastlog.coordination.store import ClusterMetadata, MetadataDamaged, StoreError, TopicRecord
from fastlog.coordination.znodes import feature_node, node_json, paths
from fastlog.coordination.znodes.fenced_tree import FencedTree, Part, in_lots
from fastlog.coordination.znodes.node_changes import commit
from fastlog.coordination.znodes.still_tree import read_metadata
from fastlog.coordination.znodes.tree_loading import Loaded, Versions, load
from fastlog.coordination.zookeeper.requests import Create, SetData

_LOG: Final = logging.getLogger(__name__)


class FormerFile:
    """The metadata file of a broker that kept its metadata itself, if there is one in its log directories."""

    def __init__(self, directories: Sequence[Path]) -> None:
        self._directories = list(directories)

    async def read(self, cluster_id: str) -> ClusterMetadata | None:
        """What it says. Raises MetadataDamaged, also when it belongs to another cluster."""
        return await asyncio.to_thread(read_former_file, self._directories, cluster_id)

    async def put_away(self) -> None:
        """Nobody shall take it for what is in force. Raises StoreError."""
        try:
            await asyncio.to_thread(self._rename)
        except OSError as error:
            raise StoreError(f"{METADATA_FILE} cannot be renamed to {TAKEN_OVER}: {error}") from error

    def is_there(self) -> bool:
        """Whether there is one. Blocks."""
        return bool(former_files(self._directories))

    def _rename(self) -> None:
        for path in former_files(self._directories):
            with entries_synced(path.parent):
                path.rename(path.with_name(TAKEN_OVER))
            _LOG.info("%s has been taken into the tree, and is kept as %s", path, TAKEN_OVER)


class FormerTree:
    """The keeper that a broker had of its own, if there is one in its log directories.

    Where there is a file too, that was being taken into the keeper, and has all: the keeper may have a part.
    """

    def __init__(self, directories: Sequence[Path]) -> None:
        self._directories = list(directories)
        self._file = FormerFile(directories)

    async def read(self, cluster_id: str) -> ClusterMetadata | None:
        """What it has. Raises KeeperDamaged, MetadataDamaged, also when it is of another cluster."""
        if (whole := await self._file.read(cluster_id)) is not None:
            return whole
        homes = self.homes()
        if not homes:
            return None
        if len(homes) > 1:
            places = ", ".join(map(str, homes))
            raise MetadataDamaged(f"metadata in more than one log directory: {places}. Move the older away")

        found = await asyncio.to_thread(read_metadata, homes[0])
        if found is not None and found.cluster_id != cluster_id:
            raise MetadataDamaged(
                f"{homes[0]} is of cluster {found.cluster_id}, and zookeeper.connect leads to {cluster_id}"
            )
        return found

    async def put_away(self) -> None:
        """Nobody shall take it for what is in force. Raises StoreError."""
        try:
            await asyncio.to_thread(self._rename)
        except OSError as error:
            raise StoreError(f"{KEEPER_DIRECTORY} cannot be renamed to {MOVED_AWAY}: {error}") from error
        # Last: after a crash in between, the file still says all.
        await self._file.put_away()

    def is_there(self) -> bool:
        """Whether there is one, or a file. Blocks."""
        return bool(self.homes() or self._file.is_there())

    def homes(self) -> list[Path]:
        """Where there is one."""
        return [home for each in self._directories if (home := each / KEEPER_DIRECTORY).exists()]

    def _rename(self) -> None:
        for home in self.homes():
            with entries_synced(home.parent):
                home.rename(home.with_name(MOVED_AWAY))
            _LOG.info("%s is in the ZooKeeper tree now, and kept as %s", home, MOVED_AWAY)


async def take_over(tree: FencedTree, former: ClusterMetadata, node_id: int, epoch: int) -> None:
    """Adds to the tree what is not there yet; `epoch` is that of the controller, which this broker is.

    May be called again after a crash. The cluster ids must be equal. Raises StoreError; MetadataDamaged when
    the tree has what no take-over of this file can have left there: both have been in force, and which of
    them is right is not for us to say.
    """
    stored = await load(tree)
    _check_agreement(stored, former)
    await add_topics(tree, stored, former.topics, epoch)
    configs = {
        paths.broker_config(of): values
        for of, values in former.broker_configs.items()
        if of not in stored.broker_configs
    }
    groups = {
        paths.group_config(of): values
        for of, values in former.group_configs.items()
        if of not in stored.group_configs
    }
    if groups:
        await tree.ensure(paths.GROUP_CONFIGS)
    wanted = {path: node_json.encode_config(values) for path, values in (configs | groups).items()}
    data, _ = await tree.read(paths.PRODUCER_IDS)
    if node_json.decode_next_producer_id(paths.PRODUCER_IDS, data) < former.next_producer_id:
        block = node_json.encode_producer_ids(node_id, former.next_producer_id - 1, 1)
        wanted[paths.PRODUCER_IDS] = block
    await _put(tree, wanted)
    if former.features is not None and await tree.read_all([paths.FEATURE]) == [None]:
        # Its version says that it was decided.
        features = SetData(paths.FEATURE, feature_node.encode(former.features))
        await commit(tree, [Create(paths.FEATURE, node_json.NO_FEATURES), features])


async def add_topics(tree: FencedTree, stored: Loaded, topics: Mapping[str, TopicRecord], epoch: int) -> None:
    """Adds what the tree has not of these topics: themselves, partitions, states, and marks of deletion.

    A topic comes before its states, so that many of them need not be one request: who goes on after a crash
    finds what is missing. Raises StoreError.
    """
    missing = [name for name in topics if name not in stored.topics]
    # Overrides that a deleted topic has left: the new one has its own.
    await _put(
        tree,
        {paths.topic_config(name): node_json.encode_config(topics[name].configs) for name in missing},
        {
            paths.topic_config(name): Create(
                paths.topic(name), node_json.encode_topic(topics[name].topic_id, topics[name].partitions)
            )
            for name in missing
        },
    )
    groups: list[Sequence[Part]] = []
    for name, topic in topics.items():
        there, versions = stored.topics.get(name), stored.versions.get(name) or Versions(0)
        if there is not None and len(topic.partitions) > len(there.partitions):
            data = node_json.encode_topic(topic.topic_id, topic.partitions)
            groups.append([SetData(paths.topic(name), data, versions.topic)])
        for number in range(topic.materialised):
            if number >= len(versions.states) or versions.states[number] is None:
                data = node_json.encode_state(topic.partitions[number], epoch)
                groups.append(state_parts(name, number, data, versions))
        if topic.deleting and (there is None or not there.deleting):
            groups.append([Create(paths.deletion(name))])
    for lot in in_lots(groups):
        await commit(tree, lot)


def state_parts(name: str, number: int, data: bytes, versions: Versions) -> list[Part]:
    """What makes the state of a partition that has none; `versions` knows the parents then."""
    parts: list[Part] = []
    if versions.parents is None:
        parts.append(Create(paths.partitions(name)))
        versions.parents = set()
    if number not in versions.parents:
        parts.append(Create(paths.partition(name, number)))
        versions.parents.add(number)
    return [*parts, Create(paths.state(name, number), data)]


async def _put(
    tree: FencedTree, wanted: Mapping[str, bytes], beside: Mapping[str, Part] | None = None
) -> None:
    """Makes or replaces nodes; some together with something else."""
    found = await tree.read_all([*wanted])
    groups: list[Sequence[Part]] = []
    for (path, data), node in zip(wanted.items(), found, strict=True):
        part: Part = Create(path, data) if node is None else SetData(path, data, node[1])
        groups.append([part] if beside is None else [part, beside[path]])
    for lot in in_lots(groups):
        await commit(tree, lot)


def _check_agreement(stored: Loaded, former: ClusterMetadata) -> None:
    kinds: list[tuple[str, Mapping[Any, object], Mapping[Any, object]]] = [
        ("topic", _essence(stored), _essence(former)),
        ("the settings of broker", stored.broker_configs, former.broker_configs),
        ("the settings of group", stored.group_configs, former.group_configs),
    ]
    for what, there, here in kinds:
        for name in there:
            if name not in here or there[name] != here[name]:
                raise MetadataDamaged(
                    f"{what} {'<default>' if name is None else name} is in the tree and in "
                    f"{METADATA_FILE}, or in the tree alone, and not the same: nothing was taken over. Where "
                    f"the tree is right move {METADATA_FILE} away; where the file is, move "
                    f"{KEEPER_DIRECTORY} away, or give zookeeper.connect an empty chroot if that is set"
                )


def _essence(metadata: ClusterMetadata | Loaded) -> dict[str, object]:
    return {
        name: (topic.topic_id, [partition.replicas for partition in topic.partitions], dict(topic.configs))
        for name, topic in metadata.topics.items()
    }
