"""The broker: every part is made and tied to the others here, started and stopped in order.

Start: addresses are taken; directories locked and listed; metadata read; logs opened; partitions led; then
connections are accepted. Stop: no more connections; what was received is answered; then logs are flushed and
closed, and the clean-shutdown mark is written.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any, Final

from fastlog.base.clock import Clock, SystemClock
from fastlog.base.ending import Ending
from fastlog.base.tasks import Supervisor
from fastlog.config import BrokerConfig, LiveConfig
from fastlog.coordination.cluster_view import ClusterView
from fastlog.coordination.groups.service import GroupService
from fastlog.coordination.observers import TopicObservers
from fastlog.coordination.producer_ids import ProducerIds
from fastlog.native import IoEngine, set_open_files
from fastlog.replication.appender import Appender
from fastlog.replication.committer import GroupCommitter
from fastlog.replication.isr_manager import IsrManager
from fastlog.replication.local_partitions import LocalPartitions
from fastlog.replication.news import PartitionNews
from fastlog.replication.partition import Surroundings
from fastlog.replication.purgatory import Purgatory
from fastlog.replication.replica_manager import ReplicaManager
from fastlog.server.configs_in_force import ConfigsInForce
from fastlog.server.derived_settings import (
    CompactionPolicies,
    broker_info,
    cleaner_settings,
    flow_limits,
    storage_settings,
)
from fastlog.server.fetch.sessions import FetchSessionCache
from fastlog.server.following import Following
from fastlog.server.membership import Membership
from fastlog.server.memory.answer_memory import AnswerMemory
from fastlog.server.memory.low_memory import LowMemory
from fastlog.server.memory.old_objects import CHECK_SECONDS, OldObjects
from fastlog.server.memory.response_memory import ResponseMemory
from fastlog.server.memory.work_memory import WorkMemory
from fastlog.server.metadata_source import metadata_source
from fastlog.server.network.connection_host import ConnectionHost
from fastlog.server.network.connection_table import SWEEP_SECONDS, ConnectionTable
from fastlog.server.network.descriptors import current_plan
from fastlog.server.network.flow_control import RequestMemory
from fastlog.server.network.listener import BoundListener, bind
from fastlog.server.network.receiving import Receiving
from fastlog.server.network.session import ListenerIdentity
from fastlog.server.observability.http_service import Observability
from fastlog.server.observability.metrics import BrokerMetrics
from fastlog.server.partition_hooks import (
    advanced,
    cut,
    high_watermark_of,
    last_stable_offset_of,
    resign_groups,
    take_offline,
)
from fastlog.server.produce.settled import SettledWrites
from fastlog.server.quotas.broker_quotas import BrokerQuotas
from fastlog.server.requests.context import BrokerServices
from fastlog.server.requests.dispatch import Dispatcher
from fastlog.server.requests.handler_modules import OF_TRANSACTIONS
from fastlog.server.requests.metadata_cache import MetadataCache
from fastlog.server.requests.registry import Registry, served
from fastlog.server.requests.searches import Searches
from fastlog.server.requests.turns import Turns
from fastlog.server.secure_parts import SecureParts
from fastlog.server.topic_parts import TopicParts
from fastlog.server.transactions import MakeMarkerWriter, Transactions, leader_markers
from fastlog.server.unused_settings import warn_of_unused
from fastlog.storage.closing import halt
from fastlog.storage.io import IoLoop
from fastlog.storage.log_manager import LogManager

_LOG: Final = logging.getLogger(__name__)
STOP_MARGIN_SECONDS: Final = 30.0
"""What a stop may take without headway, after the time that requests in work are given."""
# After the grace period of a stop: long enough to send the errors that end the last waits.
_LAST_WORDS_SECONDS: Final = 1.0
# Of the grace period, what requests get that take many turns of the event loop: longer ones are left undone.
_LONG_REQUESTS_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.005
_SYSTEM: Final = SystemClock()  # for what keeps the machine going, whatever the clock of the data says
# Kafka's default of 50 goes with an acceptor thread. Here the event loop accepts between requests, and a
# queue that runs over costs clients a second each.
_LEAST_BACKLOG: Final = 1024


class Broker:
    """One broker on one event loop: `start`, then `stop`; afterwards it is of no more use.

    `on_all_directories_failed` is called when no log directory is left; by default the process ends.
    `marker_writer` makes what writes markers of transactions; with None these are not offered.
    `clock` is that of the data (`fastlog.native.moving_clock`).
    """

    def __init__(
        self,
        config: BrokerConfig,
        clock: Clock | None = None,
        *,
        on_all_directories_failed: Callable[[str], None] = halt,
        marker_writer: MakeMarkerWriter | None = leader_markers,
    ) -> None:
        self._live_config = LiveConfig(config)
        self._clock: Clock = clock or _SYSTEM
        self._on_all_directories_failed = on_all_directories_failed
        self._marker_writer = marker_writer
        self.tasks: Final = Supervisor(_SYSTEM.monotonic)
        """All background work of this broker."""
        self._steps: list[Callable[[Ending], Coroutine[Any, Any, None]]] = []
        self._listeners: list[BoundListener] = []
        self._hosts: dict[str, ConnectionHost] = {}
        self._services: BrokerServices | None = None
        self._source: Membership | None = None
        self._table: ConnectionTable | None = None
        self._dispatcher: Dispatcher | None = None
        self._secure = SecureParts(self.tasks, self._clock, self._at_end)
        self._observability: Observability | None = None
        self._accepts = False
        self._clean = False
        self._old_objects = OldObjects(lambda: 0 if self._services is None else self._services.turns.waits)

    @property
    def config(self) -> BrokerConfig:
        """The configuration in force."""
        return self._live_config.current

    @property
    def services(self) -> BrokerServices:
        """What handlers work with. Raises RuntimeError before `start`."""
        if self._services is None:
            raise RuntimeError("the broker has not been started")
        return self._services

    @property
    def endpoints(self) -> dict[str, tuple[str, int]]:
        """(host, port) that each listener is bound to, by name."""
        return {listener.name: (listener.host, listener.port) for listener in self._listeners}

    @property
    def http_endpoint(self) -> tuple[str, int] | None:
        """(host, port) of metrics and health; None when they are not served."""
        return None if self._observability is None else self._observability.address

    async def start(self) -> None:
        """Returns when clients are served. Raises FastlogError or OSError; nothing is left behind then."""
        try:
            await self._start()
        except BaseException:
            # Once it has been announced the controller may have had it lead already.
            await (self.stop() if self._accepts else self._end(Ending(STOP_MARGIN_SECONDS)))
            raise

    def renew(self, found: BrokerConfig) -> None:
        """The configuration was read again: takes over what may change without a restart."""
        self._live_config.replace(self.config.renewed_by(found))

    async def stop(self) -> bool:
        """Answers what is under way and shuts down; whether the next start may trust the logs as they are.

        It comes to its end in any case: what takes too long is given up (`Ending`).
        """
        ending = Ending(STOP_MARGIN_SECONDS)
        if self._observability is not None:
            self._observability.health.stopping()
        if self._dispatcher is not None:
            # What waits for a start that does not come to its end is answered with what is known.
            self._dispatcher.open()
        if self._source is not None and self._services is not None:
            # The controller moves what is led here: it must still be heard. Whether it does is no matter of
            # the logs, and takes none of their time.
            await Ending(STOP_MARGIN_SECONDS).wait("leaving the cluster", self._source.leave)
        for listener in self._listeners:
            ending.call("listening", listener.close)
        if self._services is not None:
            ending.call("resigning as coordinator", self._services.groups.resign)
            if self._services.transactions is not None:
                ending.call("resigning as coordinator", self._services.transactions.resign)
        if self._table is not None and self._dispatcher is not None:
            await self._finish_connections(self._table, self._dispatcher, ending)
        await self._end(ending)
        return self._clean and ending.went_well

    def _at_end(self, what: str, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Has `work` done at the end, before all that was there before it."""

        async def step(ending: Ending) -> None:
            await ending.wait(what, work)

        self._steps.append(step)

    def _call_at_end(self, what: str, work: Callable[[], object]) -> None:
        async def step(ending: Ending) -> None:
            ending.call(what, work)

        self._steps.append(step)

    async def _end(self, ending: Ending) -> None:
        while self._steps:
            await self._steps.pop()(ending)

    async def _start(self) -> None:
        config = self.config
        # Before logs are opened, until they are closed: thousands of them would be looked at in between.
        self._old_objects.begin()
        self._call_at_end("old objects", self._old_objects.end)
        low_memory = LowMemory(asyncio.get_running_loop(), self.tasks, _SYSTEM.monotonic)
        low_memory.start()
        self._at_end("the reserve of memory", low_memory.stop)
        for endpoint in config.listeners.bound:
            listener = await bind(
                endpoint.name,
                endpoint.host,
                endpoint.port,
                max(config.socket_listen_backlog_size, _LEAST_BACKLOG),
            )
            self._listeners.append(listener)
            self._call_at_end("listening", listener.close)
        observe = self._observability = Observability(
            asyncio.get_running_loop(), _SYSTEM.monotonic, self.tasks
        )
        self._at_end("metrics and health", observe.close)
        await observe.start(config)

        set_open_files(current_plan().files)
        io = IoLoop(IoEngine(config.io_threads), guard=self.tasks.guard("io-results"))
        self._at_end("I/O threads", io.close)
        logs = LogManager(
            storage_settings(config),
            self._clock,
            io,
            on_all_failed=self._on_all_directories_failed,
            tasks=self.tasks,
        )
        self._steps.append(partial(self._shut_logs, logs, io))
        observe.watch_logs(logs)
        observe.health.begin("looking at the log directories")
        preparation = await logs.prepare()
        if not config.node_id_is_set and preparation.node_id is not None:
            config = config.with_node_id(preparation.node_id)
        source = self._source = await metadata_source(
            config, logs, preparation, _SYSTEM, self.tasks, self._secure.dialer
        )
        self._at_end("metadata", source.close)
        config = source.config
        self._live_config = live = LiveConfig(config)
        await self._secure.load(live, source.renew_keeper)

        view = ClusterView()
        info = broker_info(config, self._listeners)
        view.set_brokers((info,))
        purgatory = Purgatory(asyncio.get_running_loop(), guard=self.tasks.guard("purgatory"))
        self._call_at_end("parked requests", purgatory.close)
        news = PartitionNews()
        following = Following(
            live, view, logs, io, source.broker_epoch, _SYSTEM, self.tasks, self._secure.dialer
        )
        self._at_end("high watermarks", following.watermarks.stop)
        self._at_end("fetchers", following.fetchers.close)
        await following.watermarks.load()
        replicas = following.replicas = ReplicaManager(
            config.node_id,
            advanced(logs, purgatory, news),
            Surroundings(lambda: int(_SYSTEM.monotonic() * 1000), view.is_alive, following.watermarks.kept),
            on_append=news.tell_append,
        )
        replicas.leader_throttle = following.leader_throttle
        logs.add_failure_callback(take_offline(replicas))
        logs.set_retention_limit(high_watermark_of(replicas))
        logs.set_log_start_hook(cut(replicas))
        logs.cleaner.set_hooks(CompactionPolicies(live, view), last_stable_offset_of(replicas))
        live.on_change(lambda _, after: logs.cleaner.reconfigure(cleaner_settings(after)))
        live.on_change(warn_of_unused)
        committer = GroupCommitter(io.commit)
        appender = Appender(io, committer, purgatory)
        configs = ConfigsInForce(live, view, config.node_id)
        partitions = LocalPartitions(logs, replicas, committer, io, configs.settings_of, following.fetchers)
        topics = source.topics(TopicParts(live, info, view, logs, replicas, partitions, configs))
        self._at_end("topic changes", topics.close)
        producer_ids = ProducerIds(source.producer_ids)
        groups = GroupService(
            view=view,
            topics=topics,
            replicas=replicas,
            appender=appender,
            clock=self._clock,
            config=lambda: live.current,
            tasks=self.tasks,
            missing_topics=source.missing_topics,
        )
        self._at_end("groups", groups.close)
        transactions = None
        if self._marker_writer is not None:
            transactions = Transactions(
                lambda: self.services,
                tasks=self.tasks,
                missing_topics=source.missing_topics,
                marker_writer=self._marker_writer,
            )
            self._at_end("transactions", transactions.close)
            logs.add_failure_callback(transactions.take_offline)
        topics.observe(TopicObservers([groups, *([transactions] if transactions else [])]))
        logs.add_failure_callback(resign_groups(groups))
        in_sync_sets = IsrManager(
            config.node_id,
            source.link,
            replicas,
            broker_epoch=source.broker_epoch,
            max_lag_ms=lambda: live.current.replica_lag_time_max_ms,
            tasks=self.tasks,
            epoch_of=replicas.broker_epochs.of,
        )
        in_sync_sets.start()
        self._at_end("in-sync sets", in_sync_sets.stop)
        searches = Searches()
        self._call_at_end("searches", searches.close)
        metrics = BrokerMetrics()
        quotas = BrokerQuotas(live, _SYSTEM.monotonic, metrics)
        settled = SettledWrites(metrics, quotas.clients, io)
        replicas.on_removed = settled.withdraw
        services = BrokerServices(
            live_config=live,
            clock=self._clock,
            loop=asyncio.get_running_loop(),
            cluster=view,
            topics=topics,
            producer_ids=producer_ids,
            groups=groups,
            logs=logs,
            io=io,
            replicas=replicas,
            in_sync_sets=in_sync_sets,
            purgatory=purgatory,
            appender=appender,
            fetch_sessions=FetchSessionCache(
                self._clock.monotonic,
                news,
                slots=config.max_incremental_fetch_session_cache_slots,
                max_bytes=config.memory.fetches,
            ),
            response_memory=ResponseMemory(config.memory.fetched, asyncio.get_running_loop().call_soon),
            metadata_cache=MetadataCache(),
            metrics=metrics,
            registry=_served(has_transactions=transactions is not None),
            turns=Turns(asyncio.get_running_loop()),
            searches=searches,
            transactions=transactions,
            member=source.member,
            quotas=quotas,
            dialer=self._secure.dialer,
            settled=settled,
        )
        self._services = services
        observe.watch_fetchers(following.fetchers)
        observe.watch_services(services)
        observe.health.begin("reading the metadata and opening logs")
        await source.start(producer_ids)
        await source.member.quotas.load(services.quotas.put)
        services.tokens = await source.tokens(config, self._clock)
        await self._secure.load_sasl(live, source.member.scram_users, services.tokens)
        services.access = await source.access(config)
        following.start()
        groups.start()
        if transactions is not None:
            transactions.start()
        logs.housekeeping.follow_writes()
        logs.start_housekeeping()
        dispatcher = self._serve(services, observe)
        await source.announce()
        self._accepts = True
        guard = self.tasks.guard("accept")
        for listener in self._listeners:
            listener.accept(self._hosts[listener.name], services.quotas.connections, guard.failed)
        # The controller comes by the same way as clients, who wait until it has.
        await source.settle()
        dispatcher.open()
        loading = self.tasks.run("handlers", dispatcher.loader.load_rest)
        self._at_end("loading of handlers", loading.stop)
        observe.health.serving()

    def _serve(self, services: BrokerServices, observe: Observability) -> Dispatcher:
        """Makes what connections need."""
        limits = flow_limits(self.config)
        dispatcher = self._dispatcher = Dispatcher(services)
        memory = RequestMemory(limits.request_memory_bytes)
        shares = self.config.memory
        answers = AnswerMemory(shares.answers, shares.one_answer, _SYSTEM.monotonic)
        table = self._table = ConnectionTable(
            limits, memory, services.response_memory, answers, services.metrics, dispatcher.log_refused
        )
        services.quotas.watch(table, self._listeners)
        self._live_config.on_change(lambda _, after: table.set_limits(flow_limits(after)))
        work = WorkMemory(limits.work_memory_bytes)
        receiving = Receiving(services.settled)
        self._call_at_end("receiving", receiving.close)
        observe.watch_memory(memory)
        for listener in self._listeners:
            dispatch, own_limits = dispatcher.dispatch, limits
            gate = self._secure.gate(self._live_config, listener.name, dispatch, dispatcher.log_closed)
            if gate is not None:
                dispatch, own_limits = gate[0].dispatch, replace(limits, max_frame_bytes=gate[1])
            identity = self._identity(listener.name)
            self._hosts[listener.name] = ConnectionHost(
                listener=identity,
                monotonic=_SYSTEM.monotonic,
                limits=own_limits,
                memory=memory,
                work=work,
                answers=answers,
                table=table,
                purgatory=services.purgatory,
                metrics=services.metrics,
                dispatch=dispatch,
                log_closed=dispatcher.log_closed,
                send=services.io.send,
                copy=services.io.copy,
                tls=self._secure.tls_of(listener.name),
                settled=None if identity.asks_who else services.settled,
                receiving=None if identity.asks_who else receiving,
            )

        async def sweep() -> None:
            receiving.note_heard(_SYSTEM.monotonic())
            table.sweep(_SYSTEM.monotonic())
            services.quotas.sweep()

        sweeper = self.tasks.repeat("connection-sweeper", sweep, every=SWEEP_SECONDS, first=SWEEP_SECONDS)
        self._at_end("connection sweeper", sweeper.stop)
        self._old_objects.started()
        look = self._old_objects.check
        check = self.tasks.repeat("old-objects", look, every=CHECK_SECONDS, first=CHECK_SECONDS)
        self._at_end("collection of old objects", check.stop)
        return dispatcher

    def _identity(self, name: str) -> ListenerIdentity:
        listeners = self.config.listeners
        (protocol,) = (endpoint.protocol for endpoint in listeners.bound if endpoint.name == name)
        return ListenerIdentity(name, protocol, is_inter_broker=listeners.takes_brokers(name))

    async def _finish_connections(
        self, table: ConnectionTable, dispatcher: Dispatcher, ending: Ending
    ) -> None:
        seconds = self.config.shutdown_timeout_ms / 1000
        long_requests = min(seconds, _LONG_REQUESTS_SECONDS)
        ending.call("finishing connections", table.finish)
        finished = await table.wait_empty(long_requests)
        self.services.turns.close()
        if not finished:
            # What followers have not taken in this time waits for brokers that stop, too, or are dead.
            ending.call("parked requests", self.services.purgatory.end_all)
        if not finished and not await table.wait_empty(seconds - long_requests):
            _LOG.warning("%d connections are not finished after %.1f s and are cut", len(table), seconds)
            ending.call("parked requests", self.services.purgatory.end_all)
            await table.wait_empty(_LAST_WORDS_SECONDS)
            ending.call("cutting connections", table.abort)
        await dispatcher.wait_tasks(_LAST_WORDS_SECONDS)

    async def _shut_logs(self, logs: LogManager, io: IoLoop, ending: Ending) -> None:
        async def idle() -> None:
            # Appends whose connection was cut are still running on native threads.
            pending = io.pending
            while pending:
                await asyncio.sleep(_POLL_SECONDS)
                if io.pending < pending:
                    ending.headway()
                pending = io.pending

        await ending.wait("reads and appends under way", idle)
        self._clean = await logs.shutdown(ending)


def _served(*, has_transactions: bool) -> Registry:
    """What is served and offered."""
    return {
        key: entry
        for key, entry in served().items()
        if has_transactions or entry.api_key not in OF_TRANSACTIONS
    }
