"""A follower's side of a fetch session (KIP-227): what the leader knows, and what has changed since.

Pure: no connection, no clock. Follows `FetchSessionHandler` of Kafka 3.9.

| session | next request |
|---|---|
| none, or given up | all partitions, epoch 0; one that was given up is named, so that it ends |
| granted by the leader | what has moved, what was added, what is forgotten; epoch 1, 2, ... |
| not granted (id 0) | all partitions again |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from fastlog.errors import ErrorCode
from fastlog.wire.messages.fetch import (
    FetchPartition,
    FetchRequest,
    FetchTopic,
    ForgottenTopic,
    ReplicaState,
)

if TYPE_CHECKING:
    from fastlog.replication.fetch_positions import FetchPosition

BY_ID: Final = 17
"""The version in which topics go by id."""
BY_NAME: Final = 12
"""The last version in which they go by name: for topics without an id."""

_MAX_EPOCH: Final = 0x7FFFFFFF

WireKey = tuple[str | bytes, int]
"""How an answer names a partition: (topic name or id, partition)."""


class Follower(NamedTuple):
    """Who fetches, and how much (`replica.fetch.*`)."""

    replica_id: int
    broker_epoch: int
    max_wait_ms: int
    min_bytes: int
    max_bytes: int
    partition_max_bytes: int


class FetchSession:
    """The session of one fetcher with one leader, from a request to its answer."""

    def __init__(self) -> None:
        self.version = BY_ID
        self._id = 0
        self._epoch = 0
        self._known: dict[WireKey, FetchPosition] = {}

    @property
    def is_full(self) -> bool:
        """Whether the next request names all partitions."""
        return self._epoch == 0

    @property
    def size(self) -> int:
        """How many partitions an answer may have."""
        return len(self._known)

    def find(self, key: WireKey) -> FetchPosition | None:
        """What the leader was last asked for there."""
        return self._known.get(key)

    def use(self, version: int) -> None:
        """Speaks another version from now on: a session knows topics by name or by id."""
        if version != self.version:
            self.version = version
            self.renew()

    def renew(self) -> None:
        """The session is of no more use (the connection broke): the next request begins another one."""
        self._epoch = 0

    def key_of(self, position: FetchPosition) -> WireKey:
        """How this session names a partition."""
        topic, partition = position.key
        return (position.topic_id if self.version >= BY_ID else topic, partition)

    def request(
        self,
        positions: Iterable[FetchPosition],
        left: Iterable[FetchPosition],
        follower: Follower,
    ) -> FetchRequest:
        """The next request: of all positions when `is_full`, else of those that moved or are new.

        `left` are those that were fetched until now; others that take their place may be among `positions`.
        """
        if self.is_full:
            self._known = {}
        gone: dict[WireKey, FetchPosition] = {}
        for position in left:
            key = self.key_of(position)
            if self._known.get(key) is position:
                gone[key] = self._known.pop(key)
        topics: dict[str | bytes, FetchTopic] = {}
        for position in positions:
            key = self.key_of(position)
            # One that is added and forgotten in the same request would be forgotten.
            gone.pop(key, None)
            self._known[key] = position
            topic = topics.get(key[0])
            if topic is None:
                topic = topics[key[0]] = FetchTopic(topic=position.key[0], topic_id=position.topic_id)
            topic.partitions.append(
                FetchPartition(
                    partition=key[1],
                    current_leader_epoch=position.leader_epoch,
                    fetch_offset=position.offset,
                    last_fetched_epoch=position.last_epoch,
                    log_start_offset=position.log_start,
                    partition_max_bytes=follower.partition_max_bytes,
                )
            )
        by_id = self.version >= BY_ID
        return FetchRequest(
            replica_id=-1 if by_id else follower.replica_id,
            replica_state=(
                ReplicaState(follower.replica_id, follower.broker_epoch) if by_id else ReplicaState()
            ),
            max_wait_ms=follower.max_wait_ms,
            min_bytes=follower.min_bytes,
            max_bytes=follower.max_bytes,
            session_id=self._id,
            session_epoch=self._epoch,
            topics=list(topics.values()),
            forgotten_topics_data=_forgotten(gone),
        )

    def answered(self, session_id: int, error_code: int) -> bool:
        """Takes over what the answer says of the session; whether its rows count."""
        if error_code != ErrorCode.NONE:
            if error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND:
                self._id = 0
            self._epoch = 0
            return False
        self._id = session_id
        if session_id == 0:
            self._epoch = 0
        else:
            self._epoch = 1 if self._epoch == _MAX_EPOCH else self._epoch + 1
        return True


def _forgotten(gone: Mapping[WireKey, FetchPosition]) -> list[ForgottenTopic]:
    topics: dict[str | bytes, ForgottenTopic] = {}
    for key, position in gone.items():
        topic = topics.get(key[0])
        if topic is None:
            topic = topics[key[0]] = ForgottenTopic(topic=position.key[0], topic_id=position.topic_id)
        topic.partitions.append(key[1])
    return list(topics.values())
