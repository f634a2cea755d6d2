"""OffsetFetch tells of many partitions in several turns, and what it tells is of one moment.

A commit, or the end of a transaction, that comes in between shows in all of it or in nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from fastlog.coordination.groups.committed_offsets import CommittedOffset, TopicPartition
from fastlog.errors import ErrorCode
from fastlog.server.handlers import offset_fetch
from fastlog.wire.messages.group_offsets import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
)


def at(offset: int) -> CommittedOffset:
    return CommittedOffset(offset, -1, "", 0)


class OneGroup:
    """`Commits` of a group whose positions change while they are told."""

    def __init__(self, topics: int, partitions: int) -> None:
        keys = [(f"t{topic}", number) for topic in range(topics) for number in range(partitions)]
        self.keys = keys
        self.committed = {key: at(1) for key in keys}
        self.open: set[TopicPartition] = set(keys[::2])

    def end(self) -> None:
        """The transaction commits."""
        self.committed.update({key: at(2) for key in self.keys})
        self.open.clear()

    def error(self, *_: object) -> ErrorCode:
        return ErrorCode.NONE

    def served(self, *_: object) -> dict[TopicPartition, CommittedOffset]:
        return self.committed

    def fetch(self, _: str) -> dict[TopicPartition, CommittedOffset]:
        return self.committed

    def has_unstable(self, _: str) -> bool:
        return bool(self.open)

    def unstable(self, _: str, few: Iterable[TopicPartition] | None = None) -> set[TopicPartition]:
        return set(self.open) if few is None else self.open & set(few)


@pytest.mark.parametrize(("topics", "partitions"), [(100, 40), (5, 40), (1, 5000), (2000, 1)])
@pytest.mark.parametrize("version", [7, 8])
@pytest.mark.parametrize("stable", [True, False])
def test_what_changes_in_between_shows_nowhere(
    topics: int, partitions: int, version: int, stable: bool
) -> None:
    group = OneGroup(topics, partitions)
    ctx: Any = SimpleNamespace(
        header=SimpleNamespace(api_version=version),
        broker=SimpleNamespace(groups=SimpleNamespace(commits=group)),
    )
    names = [f"t{topic}" for topic in range(topics)]
    numbers = list(range(partitions))
    if version < 8:
        rows = [OffsetFetchRequestTopic(name, numbers) for name in names]
        request = OffsetFetchRequest(group_id="g", topics=rows, require_stable=stable)
    else:
        of_group = [OffsetFetchRequestTopics(name, numbers) for name in names]
        groups = [OffsetFetchRequestGroup(group_id="g", topics=of_group)]
        request = OffsetFetchRequest(groups=groups, require_stable=stable)
    steps: Any = offset_fetch.handle(ctx, request)
    turns = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            answer = end.value
            break
        turns += 1
        if turns == 2:
            group.end()
    assert turns > 2
    told = answer.topics if version < 8 else answer.groups[0].topics
    found = {
        (topic.name, row.partition_index): (row.error_code, row.committed_offset)
        for topic in told
        for row in topic.partitions
    }
    unstable = int(ErrorCode.UNSTABLE_OFFSET_COMMIT), -1
    hidden = set(group.keys[::2]) if stable else set()
    assert found == {key: unstable if key in hidden else (0, 1) for key in group.keys}
