"""Starts the cluster, watches it, and ends it with nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from examples.cluster.keyboard import Keyboard
from examples.cluster.programs import (
    Program,
    fastlog_broker,
    kafka_broker,
    keeper,
    stop_all,
    zookeeper_member,
)
from examples.cluster.traffic import Traffic
from examples.cluster.view import BrokerState, PartitionState, Snapshot, changes, frame, rates
from fastlog.cli.redraw import Redraw
from fastlog.client import ClientError, Cluster, ClusterMetadata
from fastlog.client.admin.topics import NewTopic, create_topics
from fastlog.errors import ErrorCode
from tests.harness.net import free_port
from tests.peers import zookeeper

__all__ = ["Demo", "Options"]

_TOPIC: Final = "demo"
_NODES: Final = (1, 2, 3)
_LOOKS_EVERY: Final = 0.5
_SAYS_RATES_EVERY: Final = 10.0


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line. `restart_after` and `seconds` None: never."""

    directory: Path
    partitions: int
    rate: float
    kafka: bool
    keeper: bool
    port: int | None
    restart_after: float | None
    seconds: float | None


class Demo:
    """The coordination service, three brokers, and records through them."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._service, self._service_name, connect = _coordination(options)
        self._brokers = [_broker(options, node, connect) for node in _NODES]
        self._traffic = Traffic(self._servers, _TOPIC, options.rate)
        self._live = Redraw(sys.stdout) if sys.stdout.isatty() else None
        self._began = time.monotonic()
        self._said = 0.0

    @property
    def _servers(self) -> list[str]:
        return [broker.address for broker in self._brokers]

    async def run(self) -> None:
        """Until `q`, the end of its time, or cancellation. Raises RuntimeError when it cannot start."""
        try:
            await self._start()
            async with Cluster(self._servers, client_id="demo", timeout_ms=2000) as cluster:
                await self._create_topic(cluster)
                self._traffic.start(self._options.partitions)
                with Keyboard() as keys:
                    await self._watch(cluster, keys)
        finally:
            # A second Ctrl-C does not leave anything running either.
            await asyncio.shield(self._stop())

    async def _start(self) -> None:
        self._say(f"starting {self._service_name} ...")
        for program in self._service:
            program.start()
        await asyncio.gather(*(program.ready() for program in self._service))
        self._say(f"starting {len(self._brokers)} brokers in {self._options.directory} ...")
        for broker in self._brokers:
            broker.start()
        await asyncio.gather(*(broker.ready() for broker in self._brokers))

    async def _stop(self) -> None:
        self._say("stopping ...")
        await self._traffic.stop()
        await stop_all(self._brokers)
        await stop_all(self._service)

    async def _create_topic(self, cluster: Cluster) -> None:
        """Waits until the three have found each other."""
        wanted = NewTopic(_TOPIC, self._options.partitions, len(_NODES), config={"min.insync.replicas": "2"})
        deadline = time.monotonic() + 60
        while True:
            try:
                found = (await create_topics(cluster, [wanted]))[_TOPIC]
            except ClientError as error:
                found = error
            if not isinstance(found, ClientError) or found.code is ErrorCode.TOPIC_ALREADY_EXISTS:
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"there is no cluster of {len(_NODES)}: {found}")
            await asyncio.sleep(0.3)

    async def _watch(self, cluster: Cluster, keys: Keyboard) -> None:
        before: Snapshot | None = None
        metadata = await cluster.metadata([_TOPIC])
        ends = None if self._options.seconds is None else time.monotonic() + self._options.seconds
        while ends is None or time.monotonic() < ends:
            # With all brokers dead what was known last is shown on.
            with contextlib.suppress(ClientError):
                metadata = await cluster.metadata([_TOPIC])
            shot = self._snapshot(metadata)
            self._show(before, shot, keys=keys.there)
            before = shot
            key = await keys.wait(_LOOKS_EVERY)
            if key == "q":
                return
            self._restart(now=key == "r")

    def _restart(self, *, now: bool) -> None:
        after = 0.0 if now else self._options.restart_after
        for broker in self._brokers:
            if after is not None and not broker.lives() and broker.dead_for >= after:
                broker.start()

    def _snapshot(self, metadata: ClusterMetadata) -> Snapshot:
        now = time.monotonic()
        topic = metadata.topics.get(_TOPIC)
        traffic = self._traffic
        gap = traffic.acked.last_gap
        return Snapshot(
            up_for=now - self._began,
            service=self._service_name,
            brokers=tuple(
                BrokerState(item.name, node, item.address, item.pid, item.dead_for, node in metadata.brokers)
                for node, item in zip(_NODES, self._brokers, strict=True)
            ),
            controller=metadata.controller_id,
            partitions=tuple(
                PartitionState(
                    str(item.name), item.leader, item.leader_epoch, tuple(sorted(item.isr)), item.replicas
                )
                for item in (() if topic is None else topic.partitions)
            ),
            in_rate=traffic.acked.rate(now),
            out_rate=traffic.read.rate(now),
            acked=traffic.acked.count,
            read=traffic.read.count,
            failed=traffic.failed,
            silent_for=traffic.acked.silent_for(now),
            gap=None if gap is None else (gap[0], now - gap[1]),
            trouble=traffic.trouble,
        )

    def _show(self, before: Snapshot | None, shot: Snapshot, *, keys: bool) -> None:
        if self._live is not None:
            self._live.show(frame(shot, keys=keys))
            return
        for line in changes(before, shot):
            self._say(line)
        if before is None and (victim := next((item for item in shot.brokers if item.pid), None)):
            self._say(f"kill one from another terminal: kill -9 {victim.pid}; Ctrl-C ends all")
        if shot.up_for - self._said >= _SAYS_RATES_EVERY:
            self._said = shot.up_for
            self._say(rates(shot))

    def _say(self, text: str) -> None:
        if self._live is not None:
            self._live.leave()
        sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
        sys.stdout.flush()


def _coordination(options: Options) -> tuple[Sequence[Program], str, str]:
    """Its programs, what to call it, and the connect string."""
    if options.keeper or not zookeeper.at_hand():
        port = free_port()
        return [keeper(options.directory, port)], "one fastlog-keeper", f"127.0.0.1:{port}/demo"
    ensemble = zookeeper.ZooKeeperEnsemble(options.directory)
    members = [zookeeper_member(member) for member in ensemble.members]
    return members, "three ZooKeeper servers", f"{ensemble.address}/demo"


def _broker(options: Options, node: int, connect: str) -> Program:
    if options.kafka:
        return kafka_broker(node, options.directory, connect)
    port = free_port() if options.port is None else options.port + node - 1
    return fastlog_broker(node, options.directory, port, connect)
