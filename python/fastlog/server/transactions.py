"""Transactions of a broker, which are made when somebody first needs them.

Most brokers have no transactional producers; their starts and their memory pay for none. What makes them:

| what                                                   | who waits                                     |
|--------------------------------------------------------|-----------------------------------------------|
| a request of transactions, or with an id of one        | the request                                   |
| this broker leads a partition of `__transaction_state` | nobody; requests of its ids, until it is read |

Their modules are imported in a thread, by whoever is first; some seconds after the start they are loaded in
any case (`server/requests/loading`). Where no markers are written none of it is there: no transaction would
end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from fastlog.coordination.topic_names import TRANSACTION_STATE_TOPIC

if TYPE_CHECKING:
    from fastlog.base.tasks import Loop, Supervisor
    from fastlog.coordination.cluster_view import TopicState
    from fastlog.coordination.transactions.completions import MarkerWriter
    from fastlog.coordination.transactions.markers import MissingTopics
    from fastlog.replication.partition import PartitionKey
    from fastlog.server.requests.context import BrokerServices
    from fastlog.server.transaction_parts import TransactionParts

PARTS: Final = "fastlog.server.transaction_parts"
"""The module that imports all others that transactions take."""

MakeMarkerWriter: TypeAlias = "Callable[[BrokerServices], MarkerWriter]"
"""Makes the leader's side of markers, out of the parts of a broker."""


def leader_markers(services: BrokerServices) -> MarkerWriter:
    """What writes markers if nobody says otherwise."""
    from fastlog.server.produce.markers import LeaderMarkers  # see the module's text

    return LeaderMarkers(services)


class Transactions:
    """`TopicObserver`. `start` when the partitions are led, `resign` first thing of a stop, `close` before
    the logs are closed. Used on the event loop only.

    `services` gives all other parts of the broker; it is called after the start of these.
    """

    def __init__(
        self,
        services: Callable[[], BrokerServices],
        *,
        tasks: Supervisor,
        missing_topics: MissingTopics | None,
        marker_writer: MakeMarkerWriter,
    ) -> None:
        self._services = services
        self._tasks = tasks
        self._missing_topics = missing_topics
        self._marker_writer = marker_writer
        self._missed: list[tuple[bool, int]] = []
        self._imports = asyncio.Lock()
        self._making: Loop | None = None
        self._has_started = self._has_resigned = self._is_closed = False
        self.made: TransactionParts | None = None
        """None: nobody has needed them yet."""

    async def get(self) -> TransactionParts:
        """Makes them if they are not there. Raises what the import raises; it can be tried again then."""
        if self.made is None:
            async with self._imports:
                await asyncio.get_running_loop().run_in_executor(None, import_module, PARTS)
        return self.get_loaded()

    def get_loaded(self) -> TransactionParts:
        """The same for those who have imported `PARTS`, in a thread."""
        parts = self.made
        if parts is None:
            from fastlog.server.transaction_parts import transaction_parts  # see the module's text

            if self._is_closed:
                raise RuntimeError("the broker has stopped")
            parts = self.made = transaction_parts(
                self._services(),
                tasks=self._tasks,
                missing_topics=self._missing_topics,
                marker_writer=self._marker_writer,
            )
            self._hand_over(parts)
        return parts

    def _hand_over(self, parts: TransactionParts) -> None:
        """What came before they were made."""
        missed, self._missed = self._missed, []
        for is_led, partition in missed:
            if is_led:
                parts.service.on_partition_led(TRANSACTION_STATE_TOPIC, partition)
            else:
                parts.service.on_partition_resigned(TRANSACTION_STATE_TOPIC, partition)
        if self._has_resigned:
            parts.service.resign()
        if self._has_started:
            parts.service.start()

    # -- life --------------------

    def start(self) -> None:
        """The ids of partitions that are led are served as soon as they are read."""
        self._has_started = True
        if self.made is not None:
            self.made.service.start()
        elif self._missed:
            self._begin()

    def resign(self) -> None:
        """Takes no more requests."""
        self._has_resigned = True
        if self.made is not None:
            self.made.service.resign()

    async def close(self) -> None:
        """Ends all of it; what was to be written is written."""
        self._has_resigned = self._is_closed = True
        if self._making is not None:
            await self._making.stop()
        if self.made is not None:
            await self.made.close()

    def _begin(self) -> None:
        if self._making is None or self._making.is_over:
            self._making = self._tasks.run("transactions", self.get)

    # -- what it is told --------------------

    def on_partition_led(self, topic: str, partition: int) -> None:
        """See `TopicObserver.on_partition_led`."""
        if topic != TRANSACTION_STATE_TOPIC:
            return
        if self.made is not None:
            self.made.service.on_partition_led(topic, partition)
        else:
            self._missed.append((True, partition))
            if self._has_started and not self._is_closed:
                self._begin()

    def on_partition_resigned(self, topic: str, partition: int) -> None:
        """See `TopicObserver.on_partition_resigned`."""
        if topic != TRANSACTION_STATE_TOPIC:
            return
        if self.made is not None:
            self.made.service.on_partition_resigned(topic, partition)
        elif self._missed:
            self._missed.append((False, partition))

    async def on_topic_deleted(self, topic: TopicState) -> None:
        """See `TopicObserver.on_topic_deleted`."""
        if topic.name != TRANSACTION_STATE_TOPIC:
            return
        if self.made is not None:
            await self.made.service.on_topic_deleted(topic)
        else:
            # Nothing of it has been read.
            self._missed.clear()

    def take_offline(self, _: Path, __: str, partitions: Sequence[PartitionKey]) -> None:
        """Partitions of a directory that has failed are not served any more."""
        for topic, partition in partitions:
            self.on_partition_resigned(topic, partition)
