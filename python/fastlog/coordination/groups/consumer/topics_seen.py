"""The topics of the cluster as groups look at them, and what the subscriptions of a group come to."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
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

    def names(self) -> AbstractSet[str]:
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

    def names(self) -> AbstractSet[str]:
        """All names, with those of internal topics."""
        return self._snapshot.topics.keys()


class Subscribed:
    """Names that anybody in a group subscribes to, in parts that may overlap. It goes with the group.

    There may be many times more of them than there are topics: what is done with each of them is done with
    those alone that exist.
    """

    def __init__(self, *parts: AbstractSet[str]) -> None:
        self._parts = parts

    def __contains__(self, name: object) -> bool:
        return any(name in part for part in self._parts)

    def __iter__(self) -> Iterator[str]:
        return iter(set[str]().union(*self._parts))

    def among(self, names: AbstractSet[str]) -> set[str]:
        """Those of `names` that are subscribed to."""
        return set[str]().union(*[part & names for part in self._parts])


def metadata_hash(names: Subscribed, topics: Topics) -> int:
    """A signed number of 64 bits that stands for ids and partition counts of topics that exist; 0: none does.

    It is compared with what this broker stored before. Kafka has another function for it: a group that moves
    between the two is assigned anew once.
    """
    lines = [
        f"{name} {found[0].hex()} {found[1]}\n"
        for name in sorted(names.among(topics.names()))
        if (found := topics.find(name))
    ]
    if not lines:
        return 0
    from hashlib import blake2b  # not free, and not needed for a start

    return int.from_bytes(blake2b("".join(lines).encode(), digest_size=8).digest(), "big", signed=True)
