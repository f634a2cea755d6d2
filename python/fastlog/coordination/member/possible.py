"""What of a controller's request can be at all: names of topics, numbers of partitions, ids of brokers.

Views have a place for each partition below the highest that was named, since Kafka's controller names those
of this broker alone. So a few bytes of a request could take the memory of the whole broker; all topics of one
request together may add so many places as large clusters have partitions, and no more.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from fastlog.coordination.cluster_view import TopicState
from fastlog.coordination.topic_names import topic_name_problem
from fastlog.errors import ErrorCode

MAX_PARTITIONS: Final = 100_000
"""Of one topic: its node, which takes 10 bytes for each at the least, has to fit into ZooKeeper's 1 MiB."""
_MOST_PLACES: Final = 10 * MAX_PARTITIONS
_DELETED: Final = -2
"""The leader of a partition that is being deleted."""


class Placed(Protocol):
    """Where a partition is, as a request says."""

    leader: int
    isr: list[int]
    replicas: list[int]


def placed_nowhere(partition: Placed) -> bool:
    """Whether its brokers have ids that no broker can have: nobody could write that into the tree."""
    return partition.leader < _DELETED or min(*partition.replicas, *partition.isr, 0, 0) < 0


class Possible:
    """Of one request."""

    def __init__(self) -> None:
        self._left = _MOST_PLACES

    def problem(self, name: str, numbers: Iterable[int], known: TopicState | None) -> ErrorCode:
        """Why there can be no such topic with these partitions, or NONE. `known` is what there is of it."""
        if topic_name_problem(name) is not None:
            return ErrorCode.INVALID_TOPIC_EXCEPTION
        lowest, highest = 0, -1
        for number in numbers:
            lowest, highest = min(lowest, number), max(highest, number)
        if lowest < 0 or highest >= MAX_PARTITIONS:
            return ErrorCode.INVALID_PARTITIONS
        more = highest + 1 - (0 if known is None else len(known.partitions))
        if more > self._left:
            return ErrorCode.INVALID_PARTITIONS
        self._left -= max(more, 0)
        return ErrorCode.NONE
