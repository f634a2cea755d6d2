"""The topics of the cluster as groups look at them, and what the subscriptions of a group come to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fastlog.coordination.cluster_view import ClusterSnapshot


class Topics(Protocol):
    """One state of all topics."""

    @property
    def generation(self) -> int:
        """Another number means that something may have changed."""

    def find(self, name: str) -> tuple[bytes, int] | None:
        """(topic id, number of partitions), or None."""

    def name(self, topic_id: bytes) -> str | None:
        """The name behind an id, or None when the topic is gone."""

    def names(self) -> Iterator[str]:
        """All names."""


class SnapshotTopics:
    """The topics of a snapshot of the cluster."""

    def __init__(self, snapshot: ClusterSnapshot) -> None:
        self._snapshot = snapshot

    @property
    def generation(self) -> int:
        """Of the snapshot: it grows with each change of the cluster."""
        return self._snapshot.generation

    def find(self, name: str) -> tuple[bytes, int] | None:
        """(topic id, number of partitions), or None."""
        topic = self._snapshot.topics.get(name)
        return None if topic is None else (topic.topic_id, len(topic.partitions))

    def name(self, topic_id: bytes) -> str | None:
        """The name behind an id, or None when the topic is gone."""
        topic = self._snapshot.topics_by_id.get(topic_id)
        return None if topic is None else topic.name

    def names(self) -> Iterator[str]:
        """All names, with those of internal topics."""
        return iter(self._snapshot.topics)


def metadata_hash(names: Iterable[str], topics: Topics) -> int:
    """A signed number of 64 bits that stands for ids and partition counts of those topics that exist.

    It is compared with what this broker stored before. Kafka has another function for it: a group that moves
    between the two is assigned anew once.
    """
    digest = blake2b(digest_size=8)
    for name in sorted(names):
        found = topics.find(name)
        if found is not None:
            digest.update(f"{name} {found[0].hex()} {found[1]}\n".encode())
    return int.from_bytes(digest.digest(), "big", signed=True)
