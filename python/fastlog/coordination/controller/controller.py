"""The controller of a cluster in Kafka's ZooKeeper mode, in one of its brokers (`KafkaController`).

Every broker has one; the one whose broker is in /controller is active. What happens in the tree, what brokers
answer and what is asked through the methods here are events in one queue, and one worker carries them out.

| event                      | put by                        | carried out by        |
|----------------------------|-------------------------------|-----------------------|
| Reelect, ControllerChange  | the watch of /controller      | `election`, `failover`|
| Expire, RegisterAndReelect | the session                   | here                  |
| broker events              | watches, `suspicion`          | `broker_events`       |
| topic events, IsrChange    | watches                       | `topic_events`        |
| deletions                  | a watch, answers              | `deletion`            |
| reassignments              | requests, a watch             | `reassignment_events` |
| elections, rebalance       | requests, a watch, a timer    | `election_events`     |

Another broker's election shows in the next write, which is fenced: then this controller forgets everything
and looks who has been elected. A failover that fails gives the seat up, so that another broker can try.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Final, Protocol, TypeVar

from fastlog.base.clock import Clock
from fastlog.base.tasks import Supervisor
from fastlog.coordination.controller import (
    broker_events,
    deletion,
    election_events,
    failover,
    feature_updates,
    reassignment_events,
    requests,
    topic_events,
)
from fastlog.coordination.controller.answers import Answers
from fastlog.coordination.controller.channels import Channels, ControlLink, ControlReceiver, LocalLink
from fastlog.coordination.controller.context import ControllerContext
from fastlog.coordination.controller.data import Endpoint, LiveBroker
from fastlog.coordination.controller.election import Election
from fastlog.coordination.controller.events import EventQueue
from fastlog.coordination.controller.settings import ControllerSettings
from fastlog.coordination.controller.socket_link import knock
from fastlog.coordination.controller.suspicion import Knock, Suspicions
from fastlog.coordination.controller.term import Term, TreeWatches
from fastlog.coordination.store import StoreError
from fastlog.coordination.znodes.controller_json import broker_id_of
from fastlog.coordination.znodes.controller_store import ControllerStore
from fastlog.coordination.znodes.fenced_tree import ControllerMoved, FencedTree
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import SessionState
from fastlog.coordination.zookeeper.client_watches import Watch
from fastlog.coordination.zookeeper.codes import EventType
from fastlog.coordination.zookeeper.errors import ZkError
from fastlog.coordination.zookeeper.replies import Event
from fastlog.wire.messages.allocate_producer_ids import (
    AllocateProducerIdsRequest,
    AllocateProducerIdsResponse,
)
from fastlog.wire.messages.alter_partition import AlterPartitionRequest, AlterPartitionResponse
from fastlog.wire.messages.controlled_shutdown import ControlledShutdownRequest, ControlledShutdownResponse
from fastlog.wire.messages.partition_admin import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ElectLeadersRequest,
    ElectLeadersResponse,
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
)
from fastlog.wire.messages.update_features import UpdateFeaturesRequest

_LOG: Final = logging.getLogger(__name__)
_AGAIN_SECONDS: Final = 1.0
"""After a failure that may pass."""
_FIRST_BALANCE_SECONDS: Final = 5.0
_REGISTER: Final = "RegisterAndReelect"

T = TypeVar("T")
OfTerm = Callable[[Term], Awaitable[None]]
LinkMaker = Callable[[LiveBroker, Callable[[], Endpoint], Callable[[], None]], ControlLink]
"""Makes the link to another broker: its registration, its address at any moment, whom to tell of a loss."""


class Registration(Protocol):
    """This broker's node in /brokers/ids."""

    async def register(self) -> None:
        """Makes the broker known in a new session. Raises StoreError."""
        ...


class Controller:
    """Used on the event loop. `start` when the broker is registered; `close`.

    `on_event` is called when an event has been carried out. `on_session` must be called at each change of the
    state of `client`'s session. `local` is the broker in this process; `make_link` reaches the others.
    `settings` is asked each time. `remembered` gives what this broker was told of a partition by the former
    controller, `acquainted` the ids of the brokers that it was told of.
    """

    def __init__(
        self,
        client: ZkClient,
        node_id: int,
        registration: Registration,
        local: ControlReceiver,
        make_link: LinkMaker,
        settings: Callable[[], ControllerSettings],
        clock: Clock,
        tasks: Supervisor,
        *,
        knock: Knock = knock,
        on_event: Callable[[], object] = lambda: None,
        remembered: failover.Remembered = lambda _key, _topic_id: None,
        acquainted: Callable[[], Collection[int]] = tuple,
    ) -> None:
        self.node_id: Final = node_id
        self._client = client
        self._registration = registration
        self._local = local
        self._make_link = make_link
        self._settings = settings
        self._clock = clock
        self._tasks = tasks
        self._remembered = remembered
        self._acquainted = acquainted
        self._looked_at_first: set[int] = set()
        self._election = Election(client, node_id, clock)
        self._queue = EventQueue(tasks, self._failed, on_event)
        self._term: Term | None = None
        self._suspicions = Suspicions(self._gone, self._back, knock=knock)
        self._timers: set[asyncio.TimerHandle] = set()
        self._balance: asyncio.TimerHandle | None = None
        self._expired = False
        self._closed = False

    # -- life --------------------

    def start(self) -> None:
        """Takes part in elections from now on."""
        self._queue.start()
        self._queue.put("Startup", self._reelect)

    async def close(self) -> None:
        """Gives the seat up, if it is taken, and ends all work. The session stays."""
        self._closed = True
        await self._queue.close()
        for timer in self._timers:
            timer.cancel()
        if self._term is not None:
            await self._election.resign()
        await self._end_term()
        await self._suspicions.close()

    def on_session(self, state: SessionState) -> None:
        """To be called at each change of the session's state."""
        self._election.on_session(state)
        if state is SessionState.EXPIRED:
            self._expired = True
            self._queue.drain()
            self._queue.put("Expire", self._end_term)
        elif state is SessionState.CONNECTED and self._expired:
            self._expired = False
            self._queue.put(_REGISTER, self._register_and_reelect)

    @property
    def is_active(self) -> bool:
        """Whether this broker is the controller, for all that it knows."""
        return self._term is not None and self._election.is_won

    @property
    def epoch(self) -> int:
        """That of the term, 0 when it is not active."""
        return self._election.epoch if self.is_active else 0

    @property
    def controller_id(self) -> int:
        """The controller as last seen in the tree, or -1. Brokers go by UpdateMetadata instead."""
        return self._election.controller_id

    @property
    def seat(self) -> tuple[int, int]:
        """(`controller_id`, its session) as last seen in the tree; one life of a broker has one session."""
        return self._election.controller_id, self._election.controller_session

    @property
    def context(self) -> ControllerContext | None:
        """What the active controller knows, for metrics: to be read only."""
        return None if self._term is None else self._term.context

    @property
    def has_begun(self) -> bool:
        """Whether it is active, and has decided what its predecessor left undecided."""
        return self._term is not None and self._term.has_begun and self.is_active

    def is_deleting(self, topic: str) -> bool:
        """Whether a deletion is under way, and waits for nobody who is away."""
        context = self.context
        return context is not None and topic in context.deleting - context.deletion_ineligible

    def knows(self, topic: str) -> bool:
        """Whether the topic's node was read since it is the controller."""
        context = self.context
        return context is not None and topic in context.topics

    # -- requests: each is answered NOT_CONTROLLER when this broker is not, or ceases to be meanwhile --------

    async def alter_partition(self, request: AlterPartitionRequest, version: int) -> AlterPartitionResponse:
        """A leader wants other in-sync replicas."""
        return await self._ask(
            "AlterPartition",
            lambda term: requests.alter_partition(term, request, version),
            requests.not_controller_for_alter_partition,
        )

    async def allocate_producer_ids(self, request: AllocateProducerIdsRequest) -> AllocateProducerIdsResponse:
        """A broker wants a block of producer ids."""
        return await self._ask(
            "AllocateProducerIds",
            lambda term: requests.allocate_producer_ids(term, self._client, request),
            requests.not_controller_for_producer_ids,
        )

    async def controlled_shutdown(self, request: ControlledShutdownRequest) -> ControlledShutdownResponse:
        """A broker is about to stop."""
        return await self._ask(
            "ControlledShutdown",
            lambda term: requests.controlled_shutdown(term, request),
            requests.not_controller_for_shutdown,
        )

    async def elect_leaders(self, request: ElectLeadersRequest) -> ElectLeadersResponse:
        """An operator wants leaders elected."""
        return await self._ask(
            "ElectLeaders",
            lambda term: election_events.elect(term, request),
            election_events.not_controller,
        )

    async def alter_reassignments(
        self, request: AlterPartitionReassignmentsRequest
    ) -> AlterPartitionReassignmentsResponse:
        """An operator moves partitions."""
        return await self._ask(
            "ApiReassignment",
            lambda term: reassignment_events.alter(term, request),
            reassignment_events.not_controller_for_alter,
        )

    async def list_reassignments(
        self, request: ListPartitionReassignmentsRequest
    ) -> ListPartitionReassignmentsResponse:
        """An operator wants to know what is being moved."""
        return await self._ask(
            "ListReassignments",
            lambda term: reassignment_events.listed(term, request),
            reassignment_events.not_controller_for_list,
        )

    async def update_features(self, request: UpdateFeaturesRequest, version: int) -> feature_updates.Updated:
        """An operator has features finalized."""
        return await self._ask(
            "UpdateFeatures",
            lambda term: feature_updates.update(term, self._client, request, version),
            feature_updates.not_controller,
        )

    # -- hints --------------------

    def unclean_enabled(self, topic: str | None) -> None:
        """`unclean.leader.election.enable` has become true for a topic; None: for all by the default."""
        topics = None if topic is None else frozenset((topic,))
        self._put("UncleanEnable", lambda term: election_events.unclean_enabled(term, topics), once=False)

    def topics_written(self) -> None:
        """This broker has written nodes of topics: their watch need not be waited for."""
        self._put("TopicChange", topic_events.changed)

    def suspect(self, broker_id: int) -> None:
        """A connection to a broker has broken, or could not be made: its port is looked at (`suspicion`).

        If this broker is about to be the controller, it does so as soon as it knows the brokers.
        """
        term, settings = self._term, self._settings()
        if not settings.fast_failover or broker_id == self.node_id:
            return
        if term is None or not term.has_begun:
            self._looked_at_first.add(broker_id)
            return
        broker = term.context.brokers.get(broker_id)
        endpoint = None if broker is None else broker.endpoint(*settings.listeners)
        if broker is not None and endpoint is not None:
            self._suspicions.suspect(broker_id, broker.epoch, endpoint.host, endpoint.port)

    # -- terms --------------------

    async def _reelect(self) -> None:
        """Looks who is the controller, and stands if nobody is (`Reelect`, `ControllerChange`)."""
        await self._election.look(self._watch_seat)
        if self._term is not None:
            if self._election.is_won:
                return
            await self._end_term()
        if not await self._election.stand():
            self._looked_at_first.clear()
            _LOG.info("broker %d is the controller", self._election.controller_id)
            return
        # The brokers that served in the former term: who died with its controller has nobody else to miss it.
        self._looked_at_first.update(self._acquainted())
        term = self._term = self._begin_term()
        try:
            await failover.take_over(term, self._clock.monotonic, self._remembered)
        except ControllerMoved:
            raise
        except Exception as error:
            # Another broker may fare better.
            await self._give_up()
            raise StoreError(f"the failover has failed: {error}") from error
        term.has_begun = True
        for broker_id in self._looked_at_first:
            self.suspect(broker_id)
        self._looked_at_first.clear()
        self._balance_in(_FIRST_BALANCE_SECONDS)

    def _begin_term(self) -> Term:
        election = self._election
        answers = Answers(self._put)
        channels = Channels(answers, self._tasks)
        context = ControllerContext(election.epoch)
        term = Term(
            context,
            ControllerStore(FencedTree(self._client, election)),
            channels,
            self._watches(),
            node_id=self.node_id,
            settings=self._settings,
            link_to=lambda broker: self._link_to(context, broker),
        )
        answers.begin(term)
        return term

    async def _end_term(self) -> None:
        """Forgets all that it knew as controller."""
        term, self._term = self._term, None
        self._election.lost()
        if self._balance is not None:
            self._balance.cancel()
            self._balance = None
        if term is not None:
            _LOG.info("broker %d is not the controller any more", self.node_id)
            self._suspicions.retain(())
            await term.channels.close()

    async def _give_up(self) -> None:
        await self._election.resign()
        await self._end_term()

    async def _register_and_reelect(self) -> None:
        await self._registration.register()
        await self._reelect()

    async def _failed(self, name: str, error: Exception) -> None:
        """An event has failed: see `EventQueue`."""
        if isinstance(error, ControllerMoved):
            _LOG.info("%s: %s", name, error)
            await self._end_term()
            self._queue.put("ControllerChange", self._reelect, once=True)
        elif isinstance(error, StoreError | ZkError):
            # What is known may differ from what is stored: it is read anew, here or by another broker.
            _LOG.warning("%s is given up, and the controller's seat: %s", name, error)
            await self._give_up()
            name, again = (
                (name, self._register_and_reelect) if name == _REGISTER else ("Reelect", self._reelect)
            )
            self._later(_AGAIN_SECONDS, lambda: self._queue.put(name, again, once=True))
        else:
            _LOG.error("%s has failed", name)
            self._tasks.guard("controller-events").failed(error)

    def _later(self, seconds: float, action: Callable[[], None]) -> asyncio.TimerHandle:
        def ring() -> None:
            self._timers.discard(timer)
            if not self._closed:
                action()

        timer = asyncio.get_running_loop().call_later(seconds, ring)
        self._timers.add(timer)
        return timer

    # -- events --------------------

    def _put(self, name: str, action: OfTerm, *, once: bool = True) -> None:
        """An event of the active controller: it is void when the term is over before its turn comes."""
        term = self._term
        if term is None:
            return

        async def run() -> None:
            if self._term is term:
                await action(term)

        self._queue.put(name, run, once=once)

    async def _ask(self, name: str, action: Callable[[Term], Awaitable[T]], refused: Callable[[], T]) -> T:
        if not self.is_active:
            return refused()

        async def run() -> T:
            term = self._term
            return refused() if term is None else await action(term)

        try:
            return await self._queue.ask(name, run, refused)
        except (StoreError, ZkError):
            return refused()

    def _watch_seat(self, event: Event) -> None:
        if event.type is not EventType.NONE:
            self._queue.put("Reelect", self._reelect, once=True)

    def _watches(self) -> TreeWatches:
        return TreeWatches(
            brokers=self._watch("BrokerChange", self._brokers_changed),
            broker=self._watch_each("BrokerModifications", self._broker_modified),
            topics=self._watch("TopicChange", topic_events.changed),
            topic=self._watch_each("PartitionModifications", topic_events.modified),
            deletions=self._watch("TopicDeletion", deletion.asked_for),
            isr_changes=self._watch("IsrChange", topic_events.in_sync_changed),
            log_dirs=self._watch("LogDirEvent", broker_events.directories_failed),
            reassignments=self._watch("ZkReassignment", reassignment_events.from_tree),
            preferred_elections=self._watch("ReplicaLeaderElection", election_events.from_tree),
        )

    def _watch(self, name: str, action: OfTerm) -> Watch:
        def told(event: Event) -> None:
            if event.type is not EventType.NONE:
                self._put(name, action)

        return told

    def _watch_each(self, name: str, action: Callable[[Term, str], Awaitable[None]]) -> Watch:
        """The same of nodes that have something of their own each."""

        def told(event: Event) -> None:
            if event.type is not EventType.NONE:
                child = event.path.rpartition("/")[2]
                self._put(f"{name} {child}", lambda term: action(term, child))

        return told

    async def _brokers_changed(self, term: Term) -> None:
        await broker_events.changed(term)
        self._suspicions.retain({(broker.id, broker.epoch) for broker in term.context.brokers.values()})

    async def _broker_modified(self, term: Term, name: str) -> None:
        broker_id = broker_id_of(name)
        if broker_id is not None:
            await broker_events.modified(term, broker_id)

    def _gone(self, broker_id: int, epoch: int) -> None:
        self._put("Suspected", lambda term: broker_events.suspected(term, broker_id, epoch), once=False)

    def _back(self, broker_id: int, epoch: int) -> None:
        self._put(
            "AnswersAgain", lambda term: broker_events.answers_again(term, broker_id, epoch), once=False
        )

    def _balance_in(self, seconds: float) -> None:
        def ring() -> None:
            if self._settings().auto_leader_rebalance_enable:
                self._put("AutoLeaderRebalance", election_events.rebalance)
            self._balance_in(self._settings().leader_imbalance_check_interval_seconds)

        self._balance = self._later(seconds, ring)

    # -- links --------------------

    def _link_to(self, context: ControllerContext, broker: LiveBroker) -> ControlLink:
        if broker.id == self.node_id:
            return LocalLink(self._local)

        def address() -> Endpoint:
            listeners = self._settings().listeners
            endpoint = context.brokers.get(broker.id, broker).endpoint(*listeners)
            if endpoint is None:
                names = " or ".join(listeners)
                raise ConnectionError(f"broker {broker.id} has no listener called {names}")
            return endpoint

        return self._make_link(broker, address, lambda: self.suspect(broker.id))
