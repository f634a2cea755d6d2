"""Answers that are encoded at once have few elements, wherever these are."""

from __future__ import annotations

import pytest

from fastlog.server.requests.few_elements import FEW, has_few_elements
from fastlog.wire.messages.group_offsets import (
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopics,
)
from fastlog.wire.messages.groups import HeartbeatResponse


def _commit(topics: int, partitions: int) -> OffsetCommitResponse:
    rows = [OffsetCommitResponsePartition(number, 0) for number in range(partitions)]
    return OffsetCommitResponse(topics=[OffsetCommitResponseTopic("t", rows) for _ in range(topics)])


def test_without_arrays() -> None:
    assert has_few_elements(HeartbeatResponse())


@pytest.mark.parametrize(
    ("topics", "partitions", "few"),
    [
        (0, 0, True),
        (1, FEW - 1, True),
        (1, FEW, False),
        (2, FEW // 2 - 1, True),
        (2, FEW // 2, False),
        (FEW + 1, 0, False),
    ],
)
def test_elements_of_all_depths_count(topics: int, partitions: int, few: bool) -> None:
    assert has_few_elements(_commit(topics, partitions)) is few


def test_the_deepest_array_counts() -> None:
    rows = [OffsetFetchResponsePartitions(number, 0, 0, "", 0) for number in range(FEW)]
    group = OffsetFetchResponseGroup("g", [OffsetFetchResponseTopics("t", rows)])
    assert not has_few_elements(OffsetFetchResponse(groups=[group]))
    rows[2:] = []
    assert has_few_elements(OffsetFetchResponse(groups=[group]))
