"""What waits to be sent to one broker, in order; bounded, however long the broker does not answer.

A request that comes while others wait is merged into the last one of its kind, partition by partition: the
newer state replaces the older one. A LeaderAndIsr and a StopReplica of one partition keep their order:
nothing is moved across a request of the other kind that names one of its partitions. UpdateMetadata may
overtake both: it tells clients where to go, and brokers who is alive, and the newest of that is never too
early. So the queue holds no more than a few requests, of no more partitions than the cluster has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final, TypeAlias

from fastlog.wire.messages.leader_and_isr import LeaderAndIsrRequest, LeaderAndIsrTopicState
from fastlog.wire.messages.stop_replica import StopReplicaRequest, StopReplicaTopicState
from fastlog.wire.messages.update_metadata import UpdateMetadataRequest, UpdateMetadataTopicState

ControlRequest: TypeAlias = LeaderAndIsrRequest | UpdateMetadataRequest | StopReplicaRequest
_TopicState: TypeAlias = LeaderAndIsrTopicState | UpdateMetadataTopicState | StopReplicaTopicState
_NO_ID: Final = bytes(16)


class _Waiting:
    """A request; as a table of its partitions once another one is to be merged with it, or compared."""

    def __init__(self, request: ControlRequest) -> None:
        self.request = request
        self._heads: dict[str, _TopicState] = {}
        self._partitions: dict[str, dict[int, Any]] = {}
        self._merged = False

    @property
    def _table(self) -> dict[str, dict[int, Any]]:
        if not self._partitions:
            for topic in _topics(self.request):
                self._heads[topic.topic_name] = topic
                self._partitions[topic.topic_name] = {
                    state.partition_index: state for state in topic.partition_states
                }
        return self._partitions

    def touches(self, other: ControlRequest) -> bool:
        """Whether both name a partition."""
        for topic in _topics(other):
            mine = self._table.get(topic.topic_name)
            if mine and any(state.partition_index in mine for state in topic.partition_states):
                return True
        return False

    def same_topics(self, other: ControlRequest) -> bool:
        """Whether no topic was deleted and made anew between the two, and both are of one controller."""
        if self.request.controller_epoch != other.controller_epoch:
            return False
        table = self._table
        return all(
            _id(self._heads[topic.topic_name]) == _id(topic)
            for topic in _topics(other)
            if topic.topic_name in table
        )

    def merge(self, newer: ControlRequest) -> None:
        """Takes over what is newer."""
        table = self._table
        self._merged = True
        if isinstance(self.request, LeaderAndIsrRequest) and isinstance(newer, LeaderAndIsrRequest):
            leaders = {leader.broker_id: leader for leader in self.request.live_leaders}
            leaders.update((leader.broker_id, leader) for leader in newer.live_leaders)
            self.request = replace(self.request, live_leaders=list(leaders.values()))
        elif isinstance(self.request, UpdateMetadataRequest) and isinstance(newer, UpdateMetadataRequest):
            self.request = replace(self.request, live_brokers=newer.live_brokers)
        for topic in _topics(newer):
            self._heads.setdefault(topic.topic_name, topic)
            mine = table.setdefault(topic.topic_name, {})
            for state in topic.partition_states:
                index = state.partition_index
                mine[index] = _newer(mine.get(index), state)

    def built(self) -> ControlRequest:
        """The request to send."""
        if not self._merged:
            return self.request
        topics: list[Any] = []
        for name, head in self._heads.items():
            states: Any = list(self._partitions[name].values())
            topics.append(replace(head, partition_states=states))
        merged: Any = topics
        return replace(self.request, topic_states=merged)


class ChannelQueue:
    """First in, first out, with merges."""

    def __init__(self) -> None:
        self._waiting: deque[_Waiting] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, request: ControlRequest) -> None:
        """Adds a request, or merges it with one that waits."""
        for entry in reversed(self._waiting):
            if type(entry.request) is type(request):
                if not entry.same_topics(request):
                    break
                entry.merge(request)
                return
            if not isinstance(request, UpdateMetadataRequest) and entry.touches(request):
                break
        self._waiting.append(_Waiting(request))

    def take(self) -> ControlRequest | None:
        """The next request, or None."""
        return self._waiting.popleft().built() if self._waiting else None


def _topics(request: ControlRequest) -> Iterable[_TopicState]:
    return request.topic_states


def _id(topic: _TopicState) -> bytes:
    return _NO_ID if isinstance(topic, StopReplicaTopicState) else topic.topic_id


def _newer(old: Any, new: Any) -> Any:
    """`new`, as it has to be sent when the broker has not seen `old`."""
    if old is None:
        return new
    if getattr(old, "is_new", False) and not new.is_new:
        # The broker has no such replica yet.
        return replace(new, is_new=True)
    if getattr(old, "delete_partition", False) and not new.delete_partition:
        return old
    return new
