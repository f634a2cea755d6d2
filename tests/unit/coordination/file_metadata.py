"""Writes the metadata file of earlier releases, for those who are to take it over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fastlog.base.files import write_atomically
from fastlog.base.persistent_map import PersistentMap
from fastlog.base.uuids import format_uuid, random_uuid
from fastlog.coordination import metadata_format
from fastlog.coordination.former_file import METADATA_FILE
from fastlog.coordination.store import (
    ClusterMetadata,
    PartitionRecord,
    StaleVersion,
    StoreError,
    TopicMissing,
    TopicRecord,
)

ANY_VERSION = -1


class TopicExists(StoreError):
    """There is one of that name."""


class FileMetadata:
    """`write_file` may be replaced; what it raises is a StoreError, and nothing has changed."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / METADATA_FILE
        self.write_file: Callable[[Path, bytes], None] = write_atomically
        self._lock = asyncio.Lock()
        self._metadata = ClusterMetadata(cluster_id="")
        # A change must not walk through the topics on the event loop: there are tests that count.
        self._topics: PersistentMap[str, TopicRecord] = PersistentMap()

    def read(self) -> ClusterMetadata:
        """What is stored. Raises MetadataDamaged."""
        return metadata_format.decode(self.path.read_bytes())

    async def load(self, cluster_id: str | None = None) -> ClusterMetadata:
        """Reads it, or begins one."""
        if self.path.exists():
            self._metadata = self.read()
            self._topics = PersistentMap(self._metadata.topics)
        else:
            made = ClusterMetadata(cluster_id=cluster_id or format_uuid(random_uuid()))
            await self._write(made, self._topics)
        return self._metadata

    async def create_topics(self, topics: Sequence[TopicRecord]) -> list[TopicRecord]:
        async with self._lock:
            for topic in topics:
                if topic.name in self._topics:
                    raise TopicExists(f"topic {topic.name} exists")
            return await self._put([replace(topic, version=0) for topic in topics])

    async def add_partitions(
        self, added: Mapping[str, tuple[int, Sequence[PartitionRecord]]]
    ) -> list[TopicRecord]:
        async with self._lock:
            current = {name: self._current(name, expected) for name, (expected, _) in added.items()}
            return await self._put(
                [
                    _next(topic, partitions=(*topic.partitions, *added[name][1]))
                    for name, topic in current.items()
                ]
            )

    async def set_materialised(self, name: str, count: int, expected: int) -> TopicRecord:
        async with self._lock:
            (topic,) = await self._put([_next(self._current(name, expected), materialised=count)])
            return topic

    async def complete_topics(self, topics: Sequence[TopicRecord]) -> list[TopicRecord]:
        async with self._lock:
            current = [self._current(topic.name, topic.version) for topic in topics]
            return await self._put([_next(topic, materialised=len(topic.partitions)) for topic in current])

    async def set_leadership(
        self, changes: Mapping[str, Mapping[int, PartitionRecord]]
    ) -> dict[str, TopicRecord]:
        async with self._lock:
            changed: list[TopicRecord] = []
            for name, states in changes.items():
                topic = self._current(name, ANY_VERSION)
                partitions = {**dict(enumerate(topic.partitions)), **states}
                changed.append(_next(topic, partitions=tuple(partitions.values())))
            return {topic.name: topic for topic in await self._put(changed)}

    async def mark_deleting(self, topics: Sequence[TopicRecord]) -> list[TopicRecord]:
        async with self._lock:
            current = [self._current(topic.name, topic.version) for topic in topics]
            await self._put([_next(topic, deleting=True) for topic in current if not topic.deleting])
            return [self._topics[topic.name] for topic in topics]

    async def delete_topics(self, names: Sequence[str]) -> None:
        async with self._lock:
            left = self._topics.without(names)
            if left is not self._topics:
                await self._write(self._metadata, left)

    async def set_configs(
        self, topics: Sequence[TopicRecord], groups: Mapping[str, Mapping[str, str]]
    ) -> list[TopicRecord]:
        async with self._lock:
            changed = [
                _next(self._current(topic.name, topic.version), configs=dict(topic.configs))
                for topic in topics
            ]
            of_groups = {**self._metadata.group_configs, **groups}
            kept = {group_id: values for group_id, values in of_groups.items() if values}
            await self._write(
                replace(self._metadata, group_configs=kept),
                self._topics.updated({topic.name: topic for topic in changed}),
            )
            return changed

    async def set_broker_configs(self, node_id: int | None, configs: Mapping[str, str]) -> None:
        async with self._lock:
            of_brokers = {**self._metadata.broker_configs, node_id: dict(configs)}
            kept = {each: values for each, values in of_brokers.items() if values}
            await self._write(replace(self._metadata, broker_configs=kept), self._topics)

    async def allocate_producer_ids(self, count: int, *, at_least: int = 0) -> int:
        async with self._lock:
            first = max(self._metadata.next_producer_id, at_least)
            if count < 1 or first + count > 2**63 - 1:
                raise StoreError(f"cannot reserve {count} producer ids from {first}")
            await self._write(replace(self._metadata, next_producer_id=first + count), self._topics)
            return first

    async def close(self) -> None:
        async with self._lock:
            return

    def _current(self, name: str, expected: int) -> TopicRecord:
        topic = self._topics.get(name)
        if topic is None:
            raise TopicMissing(f"topic {name} does not exist")
        if expected not in (ANY_VERSION, topic.version):
            raise StaleVersion(f"topic {name} is at version {topic.version}, not {expected}")
        return topic

    async def _put(self, topics: list[TopicRecord]) -> list[TopicRecord]:
        if topics:
            await self._write(self._metadata, self._topics.updated({topic.name: topic for topic in topics}))
        return topics

    async def _write(self, metadata: ClusterMetadata, topics: PersistentMap[str, TopicRecord]) -> None:
        whole = replace(metadata, topics=topics)

        def write() -> None:
            by_name = replace(metadata, topics=dict(topics.items()))
            self.write_file(self.path, metadata_format.encode(by_name))

        try:
            await asyncio.to_thread(write)
        except (OSError, MemoryError) as error:
            raise StoreError(f"cannot write {self.path}: {error or 'no memory'}") from error
        self._metadata, self._topics = whole, topics


def _next(topic: TopicRecord, **changes: object) -> TopicRecord:
    return replace(topic, version=topic.version + 1, **changes)  # type: ignore[arg-type]
