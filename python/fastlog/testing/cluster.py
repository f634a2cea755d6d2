"""Several brokers under test as one cluster, each a process that can be killed, frozen and started again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from fastlog.testing import background
from fastlog.testing.broker import checked_topic
from fastlog.testing.child import Child, tail
from fastlog.testing.clock import BrokerClock
from fastlog.testing.ports import HOST, ReservedPort
from fastlog.testing.process import BrokerProcess

if TYPE_CHECKING:
    from fastlog.client.metadata import ClusterMetadata
    from fastlog.testing.seeds import Seed
    from fastlog.testing.topic import KafkaTopic

__all__ = ["BrokerCluster"]

_SECONDS: Final = 60.0
_TICK_MS: Final = 500
_SESSION_MS: Final = 4000
_numbers = itertools.count(1)


class BrokerCluster:
    """Brokers with the ids 1, 2, ... and a keeper of their own; a context manager, or `start` and `close`.

    Topics have three replicas by default, or as many as there are brokers; with three or more a write with
    acks=all needs two of them.
    """

    def __init__(self, directory: Path, count: int = 3, settings: Mapping[str, object] | None = None) -> None:
        if count < 1:
            raise ValueError("a cluster has a broker at least")
        self.directory: Final = directory
        self._keeper: Child | None = None
        self._keeper_port = ReservedPort()
        replicas = min(3, count)
        shared: dict[str, object] = {
            "zookeeper.connect": self._keeper_port.address,
            "zookeeper.session.timeout.ms": _SESSION_MS,
            "default.replication.factor": replicas,
            "min.insync.replicas": 2 if count >= 3 else 1,
            "offsets.topic.replication.factor": replicas,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": 2 if count >= 3 else 1,
            **(settings or {}),
        }
        self.replicas: Final = int(str(shared["default.replication.factor"]))
        self.brokers: Final = {
            number: BrokerProcess(directory / f"broker-{number}", {**shared, "broker.id": number})
            for number in range(1, count + 1)
        }
        """All members by their ids, whether they run or not."""
        self.clock: Final = BrokerClock(self._move_clocks)
        """Moves the time of the data of all members."""

    def __getitem__(self, number: int) -> BrokerProcess:
        return self.brokers[number]

    def __iter__(self) -> Iterator[BrokerProcess]:
        return iter(self.brokers.values())

    def __len__(self) -> int:
        return len(self.brokers)

    def __str__(self) -> str:
        return self.bootstrap

    @property
    def bootstrap(self) -> str:
        """host:port of all members, with commas."""
        return ",".join(broker.bootstrap for broker in self)

    bootstrap_servers = bootstrap

    # -- its life --------------------

    def start(self) -> None:
        """Returns when all members know each other, and one of them is the controller."""
        self._start_keeper()
        for broker in self:
            broker.launch()
        for broker in self:
            broker.wait_ready()
        self.wait_whole()

    def _start_keeper(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        log = self.directory / "keeper.log"
        keeper = self._keeper = Child()
        place = ["--listen", self._keeper_port.address, "--data-dir", str(self.directory / "keeper")]
        keeper.send("keeper", arguments=[*place, "--tick-ms", str(_TICK_MS)], log=str(log))
        until = time.monotonic() + _SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection((HOST, self._keeper_port.number)):
                return
            if not keeper.is_alive or time.monotonic() > until:
                self.close()
                raise RuntimeError(f"the keeper of the cluster did not start: {tail(log)}")
            time.sleep(0.005)

    def wait_whole(self, timeout: float = _SECONDS) -> None:
        """Returns when all members that run are in the cluster, and every partition is led and in sync.

        Replicas of members that do not run are not waited for. Raises TimeoutError.
        """
        alive = {
            number for number, broker in self.brokers.items() if broker.is_running and not broker.is_frozen
        }

        def is_whole(found: ClusterMetadata) -> bool:
            return (
                found.brokers.keys() == alive
                and found.controller_id in alive
                and all(
                    part.leader in alive and set(part.isr) >= set(part.replicas) & alive
                    for topic in found.topics.values()
                    for part in topic.partitions
                )
            )

        until = time.monotonic() + timeout
        while not (found := self._metadata()) or not is_whole(found):
            if time.monotonic() > until:
                raise TimeoutError(f"the cluster is not whole after {timeout:g} s: {found}")
            time.sleep(0.02)

    def leader(self, topic: str, partition: int = 0, timeout: float = _SECONDS) -> BrokerProcess:
        """Who leads a partition, as soon as a member that runs does. Raises TimeoutError."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            found = self._metadata()
            state = found.topics.get(str(topic)) if found else None
            if state is not None and partition < len(state.partitions):
                leader = self.brokers.get(state.partitions[partition].leader)
                if leader is not None and leader.is_running and not leader.is_frozen:
                    return leader
            time.sleep(0.02)
        raise TimeoutError(f"nobody leads {topic}-{partition} after {timeout:g} s")

    def controller(self, timeout: float = _SECONDS) -> BrokerProcess:
        """Who is the controller, as soon as a member that runs is. Raises TimeoutError."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            found = self._metadata()
            member = None if found is None else self.brokers.get(found.controller_id or -1)
            if member is not None and member.is_running and not member.is_frozen:
                return member
            time.sleep(0.02)
        raise TimeoutError(f"nobody is the controller after {timeout:g} s")

    def _metadata(self) -> ClusterMetadata | None:
        from fastlog.client.cluster import Cluster
        from fastlog.client.errors import ClientError

        servers = [broker.bootstrap for broker in self if broker.is_running and not broker.is_frozen]

        async def ask() -> ClusterMetadata | None:
            try:
                async with Cluster(servers, timeout_ms=2000) as cluster:
                    return await cluster.metadata()
            except ClientError:
                return None

        return background.run(ask()) if servers else None

    def topic(
        self,
        name: str | None = None,
        *,
        partitions: int = 1,
        replicas: int | None = None,
        config: Mapping[str, object] | None = None,
        seed: Seed | None = None,
    ) -> KafkaTopic:
        """See `KafkaBroker.topic`."""
        from fastlog.testing.topic import make_topic

        chosen = name or f"topic-{os.getpid()}-c{next(_numbers)}"
        made = make_topic(
            self.bootstrap, chosen, partitions, replicas or self.replicas, checked_topic(config)
        )
        if seed is not None:
            made.seed(seed)
        return made

    def _move_clocks(self, milliseconds: int) -> bool:
        async def move() -> list[bool]:
            return await asyncio.gather(
                *(asyncio.to_thread(_advance, broker.clock, milliseconds) for broker in self)
            )

        return all(background.run(move()))

    def close(self) -> None:
        """Ends all members and the keeper. The data stays. May be called more than once."""
        for broker in self:
            broker.close()
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.close()
        self._keeper_port.close()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _advance(clock: BrokerClock, milliseconds: int) -> bool:
    try:
        clock.advance(milliseconds=milliseconds)
    except TimeoutError:
        return False
    return True
