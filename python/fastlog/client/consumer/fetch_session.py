"""A fetch session with one broker (KIP-227): requests name what has changed, answers what has news."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from fastlog.client.metadata import TopicPartition
from fastlog.errors import ErrorCode
from fastlog.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic, ForgottenTopic

__all__ = ["SESSION_ERRORS", "FetchSession", "Wanted"]

SESSION_ERRORS: Final = frozenset(
    {
        ErrorCode.FETCH_SESSION_ID_NOT_FOUND,
        ErrorCode.INVALID_FETCH_SESSION_EPOCH,
        ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR,
        ErrorCode.INCONSISTENT_TOPIC_ID,
    }
)
"""After which a session has to begin anew."""

_LAST_EPOCH: Final = 0x7FFFFFFF


class Wanted(NamedTuple):
    """What is asked of one partition."""

    topic_id: bytes
    offset: int
    leader_epoch: int
    max_bytes: int


class FetchSession:
    """One session; without an id every request is a full one."""

    def __init__(self) -> None:
        self._id = 0
        self._epoch = 0
        self._has: dict[TopicPartition, Wanted] = {}

    def fill(self, request: FetchRequest, wanted: Mapping[TopicPartition, Wanted]) -> None:
        """Writes into the request what the broker does not know of `wanted`."""
        request.session_id, request.session_epoch = self._id, self._epoch
        known = self._has if self._id else {}
        gone = {name: row for name, row in known.items() if name not in wanted}
        # A topic that was made again is another one: the broker has to forget the old.
        gone |= {
            name: known[name]
            for name, row in wanted.items()
            if name in known and known[name].topic_id != row.topic_id
        }
        topics: dict[str, FetchTopic] = {}
        for name, row in wanted.items():
            if known.get(name) == row:
                continue
            topic = topics.setdefault(name.topic, FetchTopic(topic=name.topic, topic_id=row.topic_id))
            topic.partitions.append(
                FetchPartition(
                    partition=name.partition,
                    current_leader_epoch=row.leader_epoch,
                    fetch_offset=row.offset,
                    partition_max_bytes=row.max_bytes,
                )
            )
        request.topics = list(topics.values())
        forgotten: dict[tuple[str, bytes], ForgottenTopic] = {}
        for name, row in gone.items():
            key = (name.topic, row.topic_id)
            left = forgotten.setdefault(key, ForgottenTopic(topic=name.topic, topic_id=row.topic_id))
            left.partitions.append(name.partition)
        request.forgotten_topics_data = list(forgotten.values())
        self._has = dict(wanted)

    @property
    def is_full(self) -> bool:
        """Whether the last request named all partitions, so that the answer does, too."""
        return self._epoch == 0

    def answered(self, session_id: int) -> None:
        """The broker has taken the request in; 0: it keeps no session."""
        if session_id == 0:
            self.reset()
        elif session_id != self._id:
            self._id, self._epoch = session_id, 1
        else:
            self._epoch = 1 if self._epoch == _LAST_EPOCH else self._epoch + 1

    def reset(self) -> None:
        """The next request is a full one."""
        self._id = self._epoch = 0
        self._has = {}
