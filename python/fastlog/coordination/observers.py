"""Several that are told of topics, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fastlog.coordination.cluster_view import TopicState
    from fastlog.coordination.lifecycle import TopicObserver


class TopicObservers:
    """`TopicObserver` that tells others, in their order."""

    def __init__(self, observers: Sequence[TopicObserver]) -> None:
        self._observers: Final = tuple(observers)

    def on_partition_led(self, topic: str, partition: int) -> None:
        """See `TopicObserver.on_partition_led`."""
        for observer in self._observers:
            observer.on_partition_led(topic, partition)

    def on_partition_resigned(self, topic: str, partition: int) -> None:
        """See `TopicObserver.on_partition_resigned`."""
        for observer in self._observers:
            observer.on_partition_resigned(topic, partition)

    async def on_topic_deleted(self, topic: TopicState) -> None:
        """See `TopicObserver.on_topic_deleted`."""
        for observer in self._observers:
            await observer.on_topic_deleted(topic)
