"""Offsets of logs: where they begin and end, and where a moment is in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from fastlog.client.cluster import Cluster
from fastlog.client.errors import ClientError
from fastlog.client.leaders import EARLIEST, LATEST, MAX_TIMESTAMP, OffsetAt
from fastlog.client.leaders import list_offsets as ask_leaders
from fastlog.client.metadata import TopicPartition

__all__ = ["OffsetSpec", "list_offsets"]

OffsetSpec = Literal["earliest", "latest", "max_timestamp"] | int
"""The log's start, its end, the record with the greatest timestamp, or the first at or after a time (ms)."""

_WORDS: Final = {"earliest": EARLIEST, "latest": LATEST, "max_timestamp": MAX_TIMESTAMP}


async def list_offsets(
    cluster: Cluster,
    partitions: Mapping[TopicPartition, OffsetSpec],
    *,
    isolation_level: Literal["read_uncommitted", "read_committed"] = "read_uncommitted",
) -> dict[TopicPartition, OffsetAt | ClientError]:
    """Asks the leader of each partition. Offset -1: no record is that late.

    With read_committed "latest" is the last stable offset. Raises ValueError for a word that is none.
    """
    wanted = {TopicPartition(*name): _timestamp(spec) for name, spec in partitions.items()}
    return await ask_leaders(cluster, wanted, read_committed=isolation_level == "read_committed")


def _timestamp(spec: OffsetSpec) -> int:
    if isinstance(spec, str):
        if spec not in _WORDS:
            raise ValueError(f"{spec!r} is none of {', '.join(_WORDS)}, and no time")
        return _WORDS[spec]
    if isinstance(spec, bool) or not isinstance(spec, int) or spec < 0:
        raise ValueError(f"{spec!r} is no time in milliseconds since 1970")
    return spec
