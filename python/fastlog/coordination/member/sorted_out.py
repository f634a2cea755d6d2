"""A LeaderAndIsr, sorted into what counts and what does not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import repeat
from typing import Final

from fastlog.coordination.cluster_view import PartitionState, TopicState
from fastlog.coordination.controller.events import Turns
from fastlog.errors import ErrorCode
from fastlog.replication.partition import PartitionKey
from fastlog.wire.messages.leader_and_isr import (
    LeaderAndIsrPartitionError,
    LeaderAndIsrRequest,
    LeaderAndIsrResponse,
    LeaderAndIsrTopicError,
    LeaderAndIsrTopicState,
)

_PARTITIONS_PER_TURN: Final = 200


@dataclass(slots=True)
class SortedOut:
    """Of each topic that counts the id and the states, of each partition the code.

    `refused` are the codes of whole topics, in their order; `suspects` may have been here before.
    """

    ids: dict[str, bytes] = field(default_factory=dict)
    wanted: dict[str, dict[int, PartitionState]] = field(default_factory=dict)
    codes: dict[PartitionKey, ErrorCode] = field(default_factory=dict)
    refused: list[ErrorCode] = field(default_factory=list)
    suspects: list[PartitionKey] = field(default_factory=list)

    def is_of(self, topic: LeaderAndIsrTopicState, known: TopicState | None) -> bool:
        """Whether it is the topic that is known, or the first of that name in the request: by their ids."""
        first = topic.topic_id if known is None else known.topic_id
        return self.ids.setdefault(topic.topic_name, first) == topic.topic_id

    async def answer(self, request: LeaderAndIsrRequest) -> LeaderAndIsrResponse:
        """A code for each partition that is named."""
        return LeaderAndIsrResponse(topics=await _rows(request, self.refused, self.codes))


async def refusal(request: LeaderAndIsrRequest, error: ErrorCode) -> LeaderAndIsrResponse:
    """The answer to a request of which nothing is done: the error stands for each partition, too."""
    return LeaderAndIsrResponse(error_code=int(error), topics=await _rows(request, repeat(error), {}))


async def _rows(
    request: LeaderAndIsrRequest, refused: Iterable[ErrorCode], codes: Mapping[PartitionKey, ErrorCode]
) -> list[LeaderAndIsrTopicError]:
    """The codes of whole topics, in their order, and where those are NONE, of their partitions."""
    turns = Turns(_PARTITIONS_PER_TURN)
    topics: list[LeaderAndIsrTopicError] = []
    for topic, error in zip(request.topic_states, refused, strict=False):
        rows: list[LeaderAndIsrPartitionError] = []
        for partition in topic.partition_states:
            number = partition.partition_index
            code = error or codes[topic.topic_name, number]
            rows.append(LeaderAndIsrPartitionError(partition_index=number, error_code=int(code)))
            await turns.step()
        topics.append(LeaderAndIsrTopicError(topic.topic_id, rows))
    return topics
