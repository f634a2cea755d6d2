"""Which partition directories a member opens at its start, before its controller speaks: pure.

| on the disk                                | in the tree         | decision                       |
|-------------------------------|----------------------------------|--------------------------------|
| directory of the topic's id                | topic               | open                           |
| directory without an id                    | topic               | open, with the topic's id      |
| directory of another topic id              | topic of that name  | rename to `-stray`, kept       |
| directory with an id                       | no such topic       | open: it stays until told      |
| directory without an id                    | no such topic       | left alone, reported           |
| damaged partition.metadata                 | whatever            | stays offline, reported        |

What is not assigned to this broker any more stays, too: the controller says what is to go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

from fastlog.base.quick_dataclass import dataclass
from fastlog.base.uuids import ZERO_UUID, format_uuid
from fastlog.storage.adopt import FoundPartition


@dataclass(slots=True)
class FoundLogs:
    """Directories, each with the topic id that counts or why it is not opened."""

    open: list[tuple[FoundPartition, bytes]] = field(default_factory=list)
    stray: list[tuple[FoundPartition, str]] = field(default_factory=list)
    left_alone: list[tuple[FoundPartition, str]] = field(default_factory=list)
    damaged: list[tuple[FoundPartition, bytes]] = field(default_factory=list)


def sort_found(found: Sequence[FoundPartition], topics: Mapping[str, bytes | None]) -> FoundLogs:
    """`topics` are the ids of those that there are; None where Kafka has not given one yet."""
    logs = FoundLogs()
    for entry in found:
        topic_id = topics.get(entry.topic)
        if entry.problem is not None:
            logs.damaged.append((entry, topic_id or ZERO_UUID))
        elif entry.topic_id is None and topic_id is None:
            logs.left_alone.append((entry, "nothing says of which topic it is"))
        elif None in (entry.topic_id, topic_id) or entry.topic_id == topic_id:
            logs.open.append((entry, entry.topic_id or topic_id or ZERO_UUID))
        else:
            told, wanted = format_uuid(entry.topic_id or b""), format_uuid(topic_id or b"")
            logs.stray.append((entry, f"it is of topic id {told}, the topic has {wanted}"))
    return logs
