"""Cluster metadata of a broker on its own: one small file in a log directory, rewritten whole at each change.

The rewrite is a temporary file, fsync, rename and fsync of the directory, in a thread. The file carries a
checksum (`metadata_format`). A damaged file, or one that has vanished from directories that fastlog has used,
stops the start: nothing on disk is ever deleted because the metadata does not mention it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from fastlog.base.files import SpareSpace, write_atomically
from fastlog.base.persistent_map import PersistentMap
from fastlog.base.regular_file import GIBIBYTE, read_regular_file
from fastlog.base.uuids import format_uuid, random_uuid
from fastlog.coordination import metadata_format
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
from fastlog.storage.causes import Cause, cause_of
from fastlog.storage.disk_jobs import uninterrupted

METADATA_FILE: Final = "fastlog.metadata"
TAKEN_OVER: Final = "fastlog.metadata.taken-over"
"""What the file is called after its content went into a ZooKeeper tree. It is kept."""

_ADVICE: Final = (
    "Restore the file from a backup, or mount the directory that holds it. To start without it, move what is "
    "left of it away and add --allow-data-loss: topics are then found again from their directories, without "
    "their configs."
)

WriteFile = Callable[[Path, bytes, SpareSpace | None], None]


class FileMetadataStore:
    """`MetadataStore` over one file.

    `directories` are the log directories; the file is looked for in all of them, and made in the first.
    `used_before` says that fastlog has kept metadata in them earlier, so that a missing file is a loss.
    `on_disk_failure` is told (directory, reason) when the disk does not work.
    `write_file` is there for tests that make steps fail.
    """

    def __init__(
        self,
        directories: Sequence[Path],
        *,
        used_before: bool = False,
        allow_data_loss: bool = False,
        spare: Mapping[Path, SpareSpace] | None = None,
        on_disk_failure: Callable[[Path, str], None] | None = None,
        write_file: WriteFile = write_atomically,
    ) -> None:
        if not directories:
            raise ValueError("the metadata store needs a directory")
        self._directories = list(directories)
        self._used_before = used_before
        self._allow_data_loss = allow_data_loss
        self._spare = dict(spare or {})
        self._on_disk_failure = on_disk_failure
        self._write_file = write_file
        self._path = self._directories[0] / METADATA_FILE
        self._metadata = ClusterMetadata(cluster_id="")
        # Topics as they stand in the file. Like those of the metadata they are shared between versions: what
        # takes time for each topic happens in the thread that writes.
        self._topic_lines: PersistentMap[str, bytes] = PersistentMap()
        self._topics: PersistentMap[str, TopicRecord] = PersistentMap()
        self._lock = asyncio.Lock()

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    async def load(self, cluster_id: str | None = None) -> ClusterMetadata:
        """Reads the file, or makes a new one. See `MetadataStore.load`."""
        async with self._lock:
            data = await asyncio.to_thread(self._read)
            if data is None:
                first = ClusterMetadata(cluster_id=cluster_id or format_uuid(random_uuid()))
                await self._write(first, self._topics, self._topic_lines)
            else:
                metadata = self._decode(data)
                if cluster_id is not None and metadata.cluster_id != cluster_id:
                    raise MetadataDamaged(
                        f"{self._path} belongs to cluster {metadata.cluster_id}, but meta.properties of the "
                        f"log directories names {cluster_id}: these directories do not belong together"
                    )
                self._topics = PersistentMap(metadata.topics)
                self._metadata = replace(metadata, topics=self._topics)
                self._topic_lines = PersistentMap(
                    {name: metadata_format.encode_topic(topic) for name, topic in metadata.topics.items()}
                )
            return self._metadata

    async def create_topics(self, topics: Sequence[TopicRecord]) -> list[TopicRecord]:
        """See `MetadataStore.create_topics`."""
        async with self._lock:
            for topic in topics:
                if topic.name in self._metadata.topics:
                    raise TopicExists(f"topic {topic.name} exists")
            return await self._put_all([replace(topic, version=0) for topic in topics])

    async def add_partitions(
        self, added: Mapping[str, tuple[int, Sequence[PartitionRecord]]]
    ) -> list[TopicRecord]:
        """See `MetadataStore.add_partitions`."""
        async with self._lock:
            grown: list[TopicRecord] = []
            for name, (expected, new) in added.items():
                topic = self._current(name, expected)
                partitions = (*topic.partitions, *new)
                grown.append(replace(topic, partitions=partitions, version=topic.version + 1))
            return await self._put_all(grown)

    async def set_materialised(self, name: str, count: int, expected: int) -> TopicRecord:
        """See `MetadataStore.set_materialised`."""
        async with self._lock:
            topic = self._current(name, expected)
            return await self._put(replace(topic, materialised=count))

    async def complete_topics(self, topics: Sequence[TopicRecord]) -> list[TopicRecord]:
        """See `MetadataStore.complete_topics`."""
        async with self._lock:
            current = [self._current(topic.name, topic.version) for topic in topics]
            return await self._put_all(
                [
                    replace(topic, materialised=len(topic.partitions), version=topic.version + 1)
                    for topic in current
                ]
            )

    async def set_leadership(
        self, changes: Mapping[str, Mapping[int, PartitionRecord]]
    ) -> dict[str, TopicRecord]:
        """See `MetadataStore.set_leadership`."""
        async with self._lock:
            changed: dict[str, TopicRecord] = {}
            for name, states in changes.items():
                topic = self._current(name, ANY_VERSION)
                partitions = list(topic.partitions)
                for number, state in states.items():
                    partitions[number] = state
                changed[name] = replace(topic, partitions=tuple(partitions), version=topic.version + 1)
            if changed:
                await self._write_topics(changed)
            return changed

    async def mark_deleting(self, topics: Sequence[TopicRecord]) -> list[TopicRecord]:
        """See `MetadataStore.mark_deleting`."""
        async with self._lock:
            current = [self._current(topic.name, topic.version) for topic in topics]
            marked = [
                topic if topic.deleting else replace(topic, deleting=True, version=topic.version + 1)
                for topic in current
            ]
            if marked != current:
                await self._put_all(marked)
            return marked

    async def delete_topics(self, names: Sequence[str]) -> None:
        """See `MetadataStore.delete_topics`."""
        async with self._lock:
            topics = self._topics.without(names)
            if topics is not self._topics:
                await self._write(self._metadata, topics, self._topic_lines.without(names))

    async def set_configs(
        self, topics: Sequence[TopicRecord], groups: Mapping[str, Mapping[str, str]]
    ) -> list[TopicRecord]:
        """See `MetadataStore.set_configs`."""
        async with self._lock:
            changed: dict[str, TopicRecord] = {}
            for topic in topics:
                current = self._current(topic.name, topic.version)
                configs = MappingProxyType(dict(topic.configs))
                changed[topic.name] = replace(current, configs=configs, version=current.version + 1)
            of_groups = dict(self._metadata.group_configs)
            for group_id, values in groups.items():
                of_groups.pop(group_id, None)
                if values:
                    of_groups[group_id] = MappingProxyType(dict(values))
            await self._write_topics(
                changed, replace(self._metadata, group_configs=MappingProxyType(of_groups))
            )
            return [*changed.values()]

    async def set_broker_configs(self, node_id: int | None, configs: Mapping[str, str]) -> None:
        """See `MetadataStore.set_broker_configs`."""
        async with self._lock:
            brokers = {**self._metadata.broker_configs, node_id: MappingProxyType(dict(configs))}
            if not configs:
                del brokers[node_id]
            metadata = replace(self._metadata, broker_configs=MappingProxyType(brokers))
            await self._write(metadata, self._topics, self._topic_lines)

    async def allocate_producer_ids(self, count: int, *, at_least: int = 0) -> int:
        """See `MetadataStore.allocate_producer_ids`."""
        async with self._lock:
            first = max(self._metadata.next_producer_id, at_least)
            if count < 1 or first + count > 2**63 - 1:
                raise StoreError(f"cannot reserve {count} producer ids from {first}")
            metadata = replace(self._metadata, next_producer_id=first + count)
            await self._write(metadata, self._topics, self._topic_lines)
            return first

    async def close(self) -> None:
        """Waits for a write that is under way."""
        async with self._lock:
            return

    def _current(self, name: str, expected: int) -> TopicRecord:
        topic = self._metadata.topics.get(name)
        if topic is None:
            raise TopicMissing(f"topic {name} does not exist")
        if expected not in (ANY_VERSION, topic.version):
            raise StaleVersion(f"topic {name} is at version {topic.version}, not {expected}")
        return topic

    async def _put(self, topic: TopicRecord) -> TopicRecord:
        if topic.name in self._metadata.topics:
            topic = replace(topic, version=topic.version + 1)
        await self._write_topics({topic.name: topic})
        return topic

    async def _put_all(self, topics: list[TopicRecord]) -> list[TopicRecord]:
        if topics:
            await self._write_topics({topic.name: topic for topic in topics})
        return topics

    async def _write_topics(
        self, changed: Mapping[str, TopicRecord], metadata: ClusterMetadata | None = None
    ) -> None:
        lines = {name: metadata_format.encode_topic(topic) for name, topic in changed.items()}
        await self._write(
            metadata or self._metadata, self._topics.updated(changed), self._topic_lines.updated(lines)
        )

    async def _write(
        self,
        metadata: ClusterMetadata,
        topics: PersistentMap[str, TopicRecord],
        lines: PersistentMap[str, bytes],
    ) -> None:
        """Makes `metadata` durable, then current.

        A cancelled caller waits for the end of its write: the lock must not pass on while a thread is still
        at the file.
        """
        await uninterrupted(self._replace_file(replace(metadata, topics=topics), topics, lines))

    async def _replace_file(
        self,
        metadata: ClusterMetadata,
        topics: PersistentMap[str, TopicRecord],
        lines: PersistentMap[str, bytes],
    ) -> None:
        spare = self._spare.get(self._path.parent)

        def write() -> None:
            # The bytes are put together here: of ten thousand topics that takes some milliseconds.
            by_name = dict(lines.items())
            data = metadata_format.encode(metadata, [by_name[name] for name in sorted(by_name)])
            self._write_file(self._path, data, spare)

        try:
            await asyncio.to_thread(write)
        except (OSError, MemoryError) as error:
            if cause_of(error) is Cause.DISK and self._on_disk_failure is not None:
                self._on_disk_failure(self._path.parent, f"writing {self._path}: {error}")
            raise StoreError(f"cannot write {self._path}: {error or 'no memory'}") from error
        self._metadata = metadata
        self._topics, self._topic_lines = topics, lines

    def _read(self) -> bytes | None:
        holders = [directory for directory in self._directories if (directory / METADATA_FILE).exists()]
        if len(holders) > 1:
            places = ", ".join(str(directory / METADATA_FILE) for directory in holders)
            raise MetadataDamaged(
                f"metadata files in more than one log directory: {places}. Keep the one that belongs to this "
                "broker and move the others away"
            )
        if holders:
            self._path = holders[0] / METADATA_FILE
            try:
                return read_regular_file(self._path, GIBIBYTE)
            except OSError as error:
                raise MetadataDamaged(f"cannot read {self._path}: {error}") from error
        moved = [path for directory in self._directories if (path := directory / TAKEN_OVER).exists()]
        if moved and not self._allow_data_loss:
            raise MetadataDamaged(
                f"the metadata has gone into a ZooKeeper tree, and zookeeper.connect is not set. Set it; or,"
                f" to leave the tree, rename {moved[0]} to {METADATA_FILE}, which knows no later changes"
            )
        if self._used_before and not self._allow_data_loss:
            places = ", ".join(map(str, self._directories))
            raise MetadataDamaged(
                f"{METADATA_FILE} is missing from {places}, where fastlog has kept topics before. {_ADVICE}"
            )
        return None

    def _decode(self, data: bytes) -> ClusterMetadata:
        try:
            return metadata_format.decode(data)
        except MetadataDamaged as error:
            raise MetadataDamaged(
                f"{self._path} cannot be used: {error}. No data was touched. {_ADVICE}"
            ) from error
