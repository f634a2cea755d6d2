"""What a consumer tells of partitions that come and go."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Literal

from fastlog.client.metadata import TopicPartition

__all__ = ["CallListener", "Happening", "RebalanceListener"]

Happening = Literal["assigned", "revoked", "lost"]

CallListener = Callable[[Happening, frozenset[TopicPartition]], Awaitable[None]]


class RebalanceListener:
    """Base of listeners; what it does not override does nothing. Methods are called in polls.

    Those of an AsyncConsumer may be coroutine functions. What they raise reaches the caller of the poll.
    """

    def on_assigned(self, partitions: Collection[TopicPartition]) -> object:
        """These have come, in addition to those that were there; positions are known."""

    def on_revoked(self, partitions: Collection[TopicPartition]) -> object:
        """These go; what was read of them may still be committed."""

    def on_lost(self, partitions: Collection[TopicPartition]) -> object:
        """These belong to others already: nothing of them can be committed."""
        return self.on_revoked(partitions)
