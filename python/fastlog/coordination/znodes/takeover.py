"""Brings the metadata that a broker has kept itself into the tree, once: from its file, or its own keeper."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from fastlog.base.files import entries_synced
from fastlog.coordination.embedded import KEEPER_DIRECTORY, MOVED_AWAY
from fastlog.coordination.former_file import METADATA_FILE, TAKEN_OVER, former_files, read_former_file
from fastlog.coordination.store import (
    ANY_VERSION,
    ClusterMetadata,
    MetadataDamaged,
    MetadataStore,
    StoreError,
    TopicRecord,
)

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
        from fastlog.coordination.znodes.still_tree import read_metadata  # hardly any start needs it

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


async def take_over(tree: MetadataStore, stored: ClusterMetadata, former: ClusterMetadata) -> ClusterMetadata:
    """Adds to the tree what is not there yet; gives all of it. May be called again after a crash.

    The cluster ids must be equal. Raises StoreError; MetadataDamaged when the tree has what no take-over of
    this file can have left there: both have been in force, and which of them is right is not for us to say.
    """
    _check_agreement(stored, former)
    topics = dict(stored.topics)
    for name, topic in former.topics.items():
        made = topics.get(name)
        if made is None:
            (made,) = await tree.create_topics([_as_new(topic)])
        # A crash may have come between any two of these.
        if made.materialised < topic.materialised:
            states = dict(enumerate(topic.partitions[: topic.materialised]))
            made = (await tree.set_leadership({name: states}))[name]
        if topic.deleting and not made.deleting:
            (made,) = await tree.mark_deleting([replace(made, version=ANY_VERSION)])
        topics[name] = made
    brokers = dict(stored.broker_configs)
    for node_id, configs in former.broker_configs.items():
        if node_id not in brokers:
            await tree.set_broker_configs(node_id, configs)
            brokers[node_id] = configs
    missing = {
        key: configs for key, configs in former.group_configs.items() if key not in stored.group_configs
    }
    if missing:
        await tree.set_configs([], missing)
    groups = {**stored.group_configs, **missing}
    following = stored.next_producer_id
    if following < former.next_producer_id:
        await tree.allocate_producer_ids(1, at_least=former.next_producer_id - 1)
        following = former.next_producer_id
    return replace(
        stored, topics=topics, broker_configs=brokers, group_configs=groups, next_producer_id=following
    )


def _check_agreement(stored: ClusterMetadata, former: ClusterMetadata) -> None:
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


def _essence(metadata: ClusterMetadata) -> dict[str, object]:
    return {
        name: (topic.topic_id, [partition.replicas for partition in topic.partitions], dict(topic.configs))
        for name, topic in metadata.topics.items()
    }


def _as_new(topic: TopicRecord) -> TopicRecord:
    return replace(topic, materialised=0, deleting=False, version=0)
