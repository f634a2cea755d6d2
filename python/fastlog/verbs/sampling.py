"""Samples of what comes into a topic, for those who look at it live. What they cost has a bound."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from fastlog.client.consumer.config import ReaderConfig
from fastlog.client.leaders import LATEST
from fastlog.client.metadata import TopicPartition
from fastlog.verbs.browse import Budget, Look, edges, names_of, read_between
from fastlog.verbs.desk import Desk
from fastlog.verbs.filters import Filter
from fastlog.verbs.messages import Message, Reading

__all__ = ["Sample", "sample_since", "tail_start"]

_SECONDS: Final = 0.4
_TAIL: Final = ReaderConfig(
    auto_offset_reset="latest",
    fetch_max_bytes=1 << 20,
    max_partition_fetch_bytes=64 * 1024,
    fetch_max_wait_ms=50,
    retry_timeout_ms=5000,
)


@dataclass(frozen=True, slots=True)
class Sample:
    """What came into a topic: `arrived` offsets, `sampled` of them read; the rest are `dropped`, unread.

    `matched` were chosen by the filter, `messages` are the newest of those, in the order of their times.
    """

    messages: list[Message]
    arrived: int
    sampled: int
    matched: int
    dropped: int


async def tail_start(desk: Desk, topic: str, partitions: list[int] | None) -> dict[TopicPartition, int]:
    """The ends of now, for `sample_since`. Raises as `browse`."""
    return await edges(desk, await names_of(desk, topic, partitions), LATEST)


async def sample_since(
    desk: Desk,
    since: dict[TopicPartition, int],
    *,
    most: int,
    reading: Reading,
    chosen: Filter | None,
) -> Sample:
    """What has come since these offsets, which move on to the ends of now. Reads the newest few at most."""
    ends = await edges(desk, list(since), LATEST)
    grown = {name: end for name, end in ends.items() if end > since[name]}
    arrived = sum(end - since[name] for name, end in grown.items())
    look = Look(desk, reading, None, chosen, _TAIL, most, Budget(time.monotonic() + _SECONDS))
    # With a filter more is looked at than is shown.
    share = max(1, most * (1 if chosen is None else 10) // max(1, len(grown)))
    starts = {name: max(since[name], end - share) for name, end in grown.items()}
    messages: list[Message] = []
    async for record in read_between(desk, starts, grown, _TAIL, look.budget):
        message = look.take(record)
        if message is not None:
            messages.append(message)
    for name, end in ends.items():
        since[name] = max(end, 0)
    messages.sort(key=lambda row: (row.timestamp, row.offset))
    matched = len(messages)
    sampled = look.budget.records
    return Sample(messages[-most:], arrived, sampled, matched, max(0, arrived - sampled))
