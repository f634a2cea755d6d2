"""One term of office: what the controller knows, and how what it decides is carried out.

Decisions are flows (`flow`): generators that ask for writes, reads and messages. `Term.run` carries them out.
Used by the worker of the controller's queue alone. When another broker has become the controller, whatever is
written raises ControllerMoved, and the term is over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from typing import Final, TypeVar

from fastlog.base.quick_dataclass import dataclass
from fastlog.coordination.controller.channels import Channels, ControlLink
from fastlog.coordination.controller.context import ControllerContext
from fastlog.coordination.controller.control_batch import ControlBatch
from fastlog.coordination.controller.data import LiveBroker, PartitionKey
from fastlog.coordination.controller.flow import (
    Command,
    Flow,
    Pause,
    ReadUnclean,
    SendBatch,
    WriteAssignments,
    WriteStates,
)
from fastlog.coordination.controller.settings import ControllerSettings
from fastlog.coordination.znodes.controller_store import ControllerStore
from fastlog.coordination.zookeeper.client_watches import Watch

_LOG: Final = logging.getLogger(__name__)
_UNCLEAN: Final = "unclean.leader.election.enable"

T = TypeVar("T")
LinkTo = Callable[[LiveBroker], ControlLink]


@dataclass(frozen=True, slots=True)
class TreeWatches:
    """Who is told of changes in the tree: each puts an event into the controller's queue."""

    brokers: Watch
    broker: Watch
    topics: Watch
    topic: Watch
    deletions: Watch
    isr_changes: Watch
    log_dirs: Watch
    reassignments: Watch
    preferred_elections: Watch


class Term:
    """`link_to` makes the link over which a broker is reached."""

    def __init__(
        self,
        context: ControllerContext,
        store: ControllerStore,
        channels: Channels,
        watches: TreeWatches,
        *,
        node_id: int,
        settings: Callable[[], ControllerSettings],
        link_to: LinkTo,
    ) -> None:
        self.context: Final = context
        self.store: Final = store
        self.channels: Final = channels
        self.watches: Final = watches
        self.node_id: Final = node_id
        self.suspects: Final[set[int]] = set()
        """Brokers that are registered, and taken for failed (`suspicion`): they count as shutting down."""
        self.has_begun = False
        """Whether the failover is over."""
        self._settings = settings
        self._link_to = link_to

    @property
    def settings(self) -> ControllerSettings:
        """As they are now."""
        return self._settings()

    async def run(self, flow: Flow[T]) -> T:
        """Carries out a flow and gives its outcome. Raises ControllerMoved, StoreError."""
        reply: object = None
        try:
            while True:
                try:
                    command = flow.send(reply)
                except StopIteration as done:
                    outcome: T = done.value
                    return outcome
                reply = await self._carry_out(command)
        finally:
            flow.close()

    async def send(self, batch: ControlBatch) -> None:
        """Queues the requests of a batch for their brokers."""
        settings = self.settings
        for request in batch.steps(self.node_id, settings.inter_broker_listener):
            if request is not None:
                self.channels.send(request.broker, request.message)
            await asyncio.sleep(0)

    async def update_metadata(
        self, keys: Iterable[PartitionKey] = (), brokers: Collection[int] | None = None
    ) -> None:
        """Tells brokers (all of them) who is alive, and of these partitions."""
        batch = ControlBatch(self.context)
        batch.update(self.context.brokers if brokers is None else brokers, keys)
        await self.send(batch)

    def open_channel(self, broker: LiveBroker) -> None:
        """From now on the broker can be told something."""
        self.channels.open(broker.id, broker.epoch, self._link_to(broker))

    async def _carry_out(self, command: Command) -> object:
        match command:
            case WriteStates(writes):
                return await self.store.write_states(writes, self.context.epoch)
            case WriteAssignments(topic, topic_id, partitions):
                if not await self.store.set_topic(topic, topic_id, partitions):
                    _LOG.warning("topic %s is gone: its assignment is not stored", topic)
            case SendBatch(batch):
                await self.send(batch)
            case ReadUnclean(topics):
                # A suspect may be in sync, and back in a moment: until that is known nothing is given up.
                return frozenset() if self.suspects else await self.unclean_topics(topics)
            case Pause():
                await asyncio.sleep(0)
        return None

    async def unclean_topics(self, topics: Collection[str]) -> Collection[str]:
        """Those that allow unclean elections, by their settings or the default."""
        configs = await self.store.topic_configs(sorted(topics))
        default = "true" if self.settings.unclean_leader_election_enable else "false"
        return {
            topic
            for topic in topics
            if topic in configs and configs[topic].get(_UNCLEAN, default).lower() == "true"
        }
