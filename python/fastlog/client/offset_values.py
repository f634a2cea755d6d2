"""Values that a commit is made of: an offset with what belongs to it, and who commits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from fastlog.client.metadata import TopicPartition

__all__ = ["GroupMetadata", "OffsetAndMetadata", "Offsets", "as_offsets"]


class OffsetAndMetadata(NamedTuple):
    """A position to commit: the offset of the next record, a free text, and its leader epoch or -1."""

    offset: int
    metadata: str = ""
    leader_epoch: int = -1


class GroupMetadata(NamedTuple):
    """Who commits for a group. `generation` is the member epoch in the protocol of KIP-848."""

    group_id: str
    generation: int = -1
    member_id: str = ""
    group_instance_id: str | None = None


Offsets = Mapping[TopicPartition, "int | OffsetAndMetadata"]
"""What may be committed: for each partition the next offset, alone or with more."""


def as_offsets(offsets: Offsets) -> dict[TopicPartition, OffsetAndMetadata]:
    """The same with all that belongs to them. Raises TypeError and ValueError."""
    found = {}
    for name, value in offsets.items():
        row = value if isinstance(value, OffsetAndMetadata) else OffsetAndMetadata(value)
        if not isinstance(row.offset, int) or isinstance(row.offset, bool):
            raise TypeError(f"the offset of {TopicPartition(*name)} is {row.offset!r}")
        if row.offset < 0:
            raise ValueError(f"the offset of {TopicPartition(*name)} is negative: {row.offset}")
        found[TopicPartition(*name)] = row
    return found
