"""The broker: every part is made and tied to the others here, started and stopped in order.

Start: addresses are taken; directories locked and listed; metadata read; logs opened; partitions led; then
connections are accepted. Stop: no more connections; what was received is answered; then logs are flushed and
closed, and the clean-shutdown mark is written.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from fastlog.clock import Clock, SystemClock
from fastlog.config import BrokerConfig, ConfigurationRules, LiveConfig
from fastlog.coordination.cluster_view import BrokerInfo, ClusterView
from fastlog.coordination.file_store import FileMetadataStore
from fastlog.coordination.groups.service import GroupService
from fastlog.coordination.producer_ids import ProducerIds
from fastlog.coordination.startup import Coordination, start_topics
from fastlog.coordination.topics import TopicService
from fastlog.native import IoEngine
from fastlog.replication.committer import GroupCommitter
from fastlog.replication.manager import ReplicaManager
from fastlog.replication.purgatory import Purgatory
from fastlog.replication.replica import PartitionKey
from fastlog.server.connection import ConnectionHost
from fastlog.server.connection_table import ConnectionTable
from fastlog.server.context import BrokerServices
from fastlog.server.dispatch import Dispatcher
from fastlog.server.fetch_sessions import FetchSessionCache
from fastlog.server.flow_control import RequestMemory
from fastlog.server.lifecycle import ServedPartitions
from fastlog.server.listener import BoundListener, bind
from fastlog.server.metadata_cache import MetadataCache
from fastlog.server.metrics import BrokerMetrics
from fastlog.server.observability.service import Observability
from fastlog.server.registry import load_handlers
from fastlog.server.response_memory import ResponseMemory
from fastlog.server.settings import (
    CompactionPolicies,
    LiveTopicDefaults,
    cleaner_settings,
    flow_limits,
    storage_settings,
)
from fastlog.storage.closing import halt
from fastlog.storage.io import IoLoop
from fastlog.storage.manager import LogManager

_LOG: Final = logging.getLogger(__name__)
# After the grace period of a stop: long enough to send the errors that end the last waits.
_LAST_WORDS_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.005
# Kafka's default of 50 goes with an acceptor thread. Here the event loop accepts between requests, and a
# queue that runs over costs clients a second each.
_LEAST_BACKLOG: Final = 1024


class Broker:
    """One broker on one event loop: `start`, then `stop`; afterwards it is of no more use.

    `on_all_directories_failed` is called when no log directory is left; by default the process ends.
    """

    def __init__(
        self,
        config: BrokerConfig,
        clock: Clock | None = None,
        *,
        on_all_directories_failed: Callable[[str], None] = halt,
    ) -> None:
        self._live_config = LiveConfig(config)
        self._clock = clock or SystemClock()
        self._on_all_directories_failed = on_all_directories_failed
        self._cleanup = AsyncExitStack()
        self._listeners: list[BoundListener] = []
        self._hosts: dict[str, ConnectionHost] = {}
        self._services: BrokerServices | None = None
        self._table: ConnectionTable | None = None
        self._dispatcher: Dispatcher | None = None
        self._observability: Observability | None = None
        self._clean = False

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
            await self._cleanup.aclose()
            raise

    async def stop(self) -> bool:
        """Answers what is under way and shuts down; whether the next start may trust the logs as they are."""
        if self._observability is not None:
            self._observability.health.stopping()
        for listener in self._listeners:
            listener.close()
        if self._services is not None:
            self._services.groups.resign()
        if self._table is not None and self._dispatcher is not None:
            await self._finish_connections(self._table, self._dispatcher)
        await self._cleanup.aclose()
        return self._clean

    async def _start(self) -> None:
        config = self.config
        for endpoint in config.listeners.bound:
            listener = await bind(
                endpoint.name,
                endpoint.host,
                endpoint.port,
                max(config.socket_listen_backlog_size, _LEAST_BACKLOG),
                self._hosts.__getitem__,
            )
            self._listeners.append(listener)
            self._cleanup.callback(listener.close)
        observe = self._observability = Observability(asyncio.get_running_loop(), self._clock.monotonic)
        self._cleanup.push_async_callback(observe.close)
        await observe.start(config)

        io = IoLoop(IoEngine(config.io_threads))
        self._cleanup.push_async_callback(io.close)
        logs = LogManager(
            storage_settings(config), self._clock, io, on_all_failed=self._on_all_directories_failed
        )
        self._cleanup.push_async_callback(self._shut_logs, logs, io)
        observe.watch_logs(logs)
        observe.health.begin("looking at the log directories")
        preparation = await logs.prepare()
        if not config.node_id_is_set and preparation.node_id is not None:
            config = config.with_node_id(preparation.node_id)
        self._live_config = live = LiveConfig(config)
        store = FileMetadataStore(
            [directory.path for directory in logs.directories if directory.online],
            used_before=preparation.used_before,
            allow_data_loss=config.allow_data_loss,
            spare={directory.path: directory.reserve for directory in logs.directories},
            on_disk_failure=logs.dir_failed,
        )
        self._cleanup.push_async_callback(store.close)

        view = ClusterView()
        view.set_brokers((_info(config, self._listeners),))
        purgatory = Purgatory(asyncio.get_running_loop())
        self._cleanup.callback(purgatory.close)
        replicas = ReplicaManager(config.node_id, purgatory.check)
        logs.add_failure_callback(_take_offline(replicas))
        logs.set_retention_limit(_high_watermark_of(replicas))
        logs.cleaner.set_hooks(CompactionPolicies(live, view), _last_stable_offset_of(replicas))
        live.on_change(lambda _, after: logs.cleaner.reconfigure(cleaner_settings(after)))
        committer = GroupCommitter(io.commit)
        served = ServedPartitions(live, view=view, logs=logs, replicas=replicas, committer=committer, io=io)
        topics = TopicService(
            store,
            view,
            node_id=config.node_id,
            defaults=LiveTopicDefaults(live),
            rules=ConfigurationRules(lambda: live.current),
            lifecycle=served,
        )
        self._cleanup.push_async_callback(topics.close)
        producer_ids = ProducerIds(store)
        groups = GroupService(
            view=view,
            topics=topics,
            replicas=replicas,
            purgatory=purgatory,
            committer=committer,
            clock=self._clock,
            config=lambda: live.current,
        )
        self._cleanup.push_async_callback(groups.close)
        limits = flow_limits(config)
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
            purgatory=purgatory,
            committer=committer,
            fetch_sessions=FetchSessionCache(
                self._clock.monotonic, slots=config.max_incremental_fetch_session_cache_slots
            ),
            response_memory=ResponseMemory(limits.response_memory_bytes),
            metadata_cache=MetadataCache(),
            metrics=BrokerMetrics(),
            registry=load_handlers(),
        )
        self._services = services
        observe.watch_services(services)
        observe.health.begin("reading the metadata and opening logs")
        await start_topics(
            Coordination(
                node_id=config.node_id,
                store=store,
                view=view,
                topics=topics,
                producer_ids=producer_ids,
                lifecycle=served,
                log_config_for=served.log_config_for,
            ),
            logs,
            preparation,
        )
        groups.start()
        logs.start_housekeeping()
        self._serve(services, observe)
        for listener in self._listeners:
            await listener.accept()
        observe.health.serving()

    def _serve(self, services: BrokerServices, observe: Observability) -> None:
        """Makes what connections need."""
        limits = flow_limits(self.config)
        dispatcher = self._dispatcher = Dispatcher(services)
        table = self._table = ConnectionTable(limits, services.metrics, dispatcher.log_refused)
        self._live_config.on_change(lambda _, after: table.set_limits(flow_limits(after)))
        memory = RequestMemory(limits.request_memory_bytes)
        observe.watch_memory(memory)
        for listener in self._listeners:
            self._hosts[listener.name] = ConnectionHost(
                listener=listener.name,
                monotonic=self._clock.monotonic,
                limits=limits,
                memory=memory,
                table=table,
                purgatory=services.purgatory,
                metrics=services.metrics,
                dispatch=dispatcher.dispatch,
                log_closed=dispatcher.log_closed,
                send=services.io.send,
            )
        sweeper = asyncio.create_task(table.sweep_forever(self._clock.monotonic), name="fastlog-sweeper")
        self._cleanup.push_async_callback(_cancelled, sweeper)

    async def _finish_connections(self, table: ConnectionTable, dispatcher: Dispatcher) -> None:
        seconds = self.config.shutdown_timeout_ms / 1000
        purgatory = self.services.purgatory
        table.finish()
        if not await table.wait_empty(seconds):
            _LOG.warning("%d connections are not finished after %.1f s and are cut", len(table), seconds)
            purgatory.drain(force=True)
            await table.wait_empty(_LAST_WORDS_SECONDS)
            table.abort()
        await dispatcher.wait_tasks(_LAST_WORDS_SECONDS)

    async def _shut_logs(self, logs: LogManager, io: IoLoop) -> None:
        # Appends whose connection was cut are still running on native threads.
        while io.pending:  # noqa: ASYNC110 - at the end of a run nobody else waits for this
            await asyncio.sleep(_POLL_SECONDS)
        self._clean = await logs.shutdown()


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _high_watermark_of(replicas: ReplicaManager) -> Callable[[str, int], int | None]:
    """What retention may delete up to: records that are not committed yet are never deleted."""

    def limit(topic: str, partition: int) -> int | None:
        replica = replicas.get(topic, partition)
        return None if replica is None else replica.high_watermark

    return limit


def _last_stable_offset_of(replicas: ReplicaManager) -> Callable[[str, int], int | None]:
    """What may be compacted: committed records below every open transaction."""

    def limit(topic: str, partition: int) -> int | None:
        replica = replicas.get(topic, partition)
        return None if replica is None else replica.last_stable_offset()

    return limit


def _take_offline(replicas: ReplicaManager) -> Callable[[Path, str, Sequence[PartitionKey]], None]:
    def callback(path: Path, reason: str, partitions: Sequence[PartitionKey]) -> None:
        for key in partitions:
            replica = replicas.find(key)
            if replica is not None:
                replica.take_offline()

    return callback


def _info(config: BrokerConfig, listeners: Sequence[BoundListener]) -> BrokerInfo:
    """This broker as clients are told of it: an advertised port 0 is the port that was given."""
    ports = {listener.name: listener.port for listener in listeners}
    return BrokerInfo(
        id=config.node_id,
        rack=config.broker_rack,
        endpoints={
            endpoint.name: (endpoint.host, endpoint.port or ports[endpoint.name])
            for endpoint in config.listeners.advertised
        },
    )
