"""Leaders and partition counts of the topics in use, asked for when they are missing or wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fastlog.client.cluster import Cluster
from fastlog.client.deadline import Deadline
from fastlog.client.errors import BrokerError, ClientError
from fastlog.client.metadata import PartitionInfo, TopicInfo, TopicPartition
from fastlog.errors import ErrorCode
from fastlog.wire import ApiKey

_TRIES_OF_AN_UNKNOWN_TOPIC: Final = 4


class TopicCache:
    """Topics of one cluster by name. `learned` is told of each when something is heard of it."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        allow_auto_create: bool = False,
        learned: Callable[[TopicInfo], None] | None = None,
    ) -> None:
        self._cluster = cluster
        self._learned = learned
        self._allow_auto_create = allow_auto_create
        self._topics: dict[str, TopicInfo] = {}

    def known(self, topic: str) -> TopicInfo | None:
        """The topic as it was last described, or None."""
        return self._topics.get(topic)

    def partition(self, name: TopicPartition) -> PartitionInfo | None:
        """The partition if it is known to have a leader."""
        topic = self._topics.get(name.topic)
        if topic is None or not 0 <= name.partition < len(topic.partitions):
            return None
        found = topic.partitions[name.partition]
        return found if found.leader >= 0 else None

    async def get(self, topic: str, *, timeout_ms: int) -> TopicInfo:
        """The topic, once it exists and has partitions.

        Raises BrokerError when it does not exist, may not be seen or is not ready in time, and ClientError.
        """
        known = self._topics.get(topic)
        if known is not None:
            return known
        deadline = Deadline.after(timeout_ms / 1000)
        while True:
            errors = await self.refresh(topic, timeout_ms=int(deadline.remaining * 1000))
            if topic not in errors:
                return self._topics[topic]
            error = errors[topic]
            wrong_name = error.code is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION and not self._allow_auto_create
            if not error.retriable or (wrong_name and deadline.tries >= _TRIES_OF_AN_UNKNOWN_TOPIC):
                raise error
            if not await deadline.pause():
                raise error

    async def refresh(self, *topics: str, timeout_ms: int | None = None) -> dict[str, ClientError]:
        """Asks again, for these topics or for all that are known.

        Returns what is wrong with those that cannot be used now; what was known of them stays.
        """
        names = list(topics or self._topics)
        errors: dict[str, ClientError] = {}
        if not names:
            return errors
        found = await self._cluster.metadata(
            names, allow_auto_create=self._allow_auto_create, timeout_ms=timeout_ms
        )
        for name in names:
            topic = found.topics.get(name)
            code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION if topic is None else topic.error
            if topic is not None and code is ErrorCode.NONE and topic.partitions:
                self._topics[name] = topic
                if self._learned is not None:
                    self._learned(topic)
            else:
                code = ErrorCode.LEADER_NOT_AVAILABLE if code is ErrorCode.NONE else code
                errors[name] = BrokerError(code, f"topic {name!r}: {code.text}", api=ApiKey.METADATA)
        return errors
