"""What `fastlog topic describe` shows (`fastlog.verbs.topics` gathers it)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastlog.cli.tool.output import Column, Printer, size_text

__all__ = ["show_topics"]

_COLUMNS: Final = (
    Column("partition", "partition", "number"),
    Column("leader", "leader", "number"),
    Column("leader_epoch", "epoch", "number"),
    Column("replicas", "replicas"),
    Column("isr", "isr"),
    Column("earliest_offset", "earliest", "number"),
    Column("latest_offset", "latest", "number"),
    Column("size_bytes", "size", "size"),
)
_SOMETIMES: Final = (
    Column("offline_replicas", "offline"),
    Column("adding_replicas", "adding"),
    Column("removing_replicas", "removing"),
)


def show_topics(out: Printer, topics: Sequence[dict[str, Any]]) -> None:
    """A header and a table for each topic, or the JSON document."""
    out.document(list(topics))
    for topic in topics:
        sizes = [row["size_bytes"] for row in topic["partitions"] if row["size_bytes"] is not None]
        out.fields(
            [
                ("topic", topic["topic"]),
                ("id", topic["topic_id"]),
                ("partitions", topic["partition_count"]),
                ("replication factor", topic["replication_factor"]),
                ("configs", topic["configs"]),
                ("size", size_text(sum(sizes)) if sizes else None),
            ]
        )
        rows = topic["partitions"]
        # In the words of kafka-topics; some columns are there when there is something to be seen in them.
        shown = [column for column in _SOMETIMES if any(row[column.key] for row in rows)]
        columns = (*_COLUMNS, *shown)
        out.table(
            columns, [row | {"leader": "none" if row["leader"] is None else row["leader"]} for row in rows]
        )
