"""Three brokers on a keeper for an exactly-once application; each time the leader of a topic is killed."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Final, Self

from confluent_kafka.admin import AdminClient, NewTopic

from tests.cluster.cluster import Cluster
from tests.compat import careless_broker
from tests.compat.exactly_once import NEW, ExactlyOnce
from tests.compat.finalized import wait_for_level
from tests.compat.tool_cluster import THREE, check_replicas
from tests.harness.net import free_port, wait_for_port
from tests.harness.watching_proxy import WatchingProxies

_SETTINGS: Final = {
    # Brokers reach each other past the proxies.
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,BROKERS:PLAINTEXT",
    "inter.broker.listener.name": "BROKERS",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
}


class ExactlyOnceCluster(ExactlyOnce):
    """What an `ExactlyOnceBroker` is, of three; clients reach each through a proxy of its own."""

    replicas = 3
    told = ", three brokers"

    def __init__(self, directory: Path, level: int = NEW, *, careless: str = "") -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.cluster = Cluster(
            directory,
            THREE,
            place="keeper",
            settings={**_SETTINGS, "fastlog.default.transaction.version": str(level)},
            command=careless_broker.command(careless) if careless else None,
        )
        self.proxy = WatchingProxies(self.ports())
        self._level = level
        self._careless = bool(careless)
        self._topics: dict[str, int] = {}
        addresses = [f"127.0.0.1:{proxy.port}" for proxy in self.proxy.each]
        for member, address in zip(self.cluster.members.values(), addresses, strict=True):
            member.listeners = [f"BROKERS://127.0.0.1:{free_port()}"]
            member.settings["advertised.listeners"] = f"PLAINTEXT://{address},{member.listeners[0]}"
        self.address = ",".join(addresses)
        self._admin = AdminClient({"bootstrap.servers": self.address, "log_level": 2})

    def __enter__(self) -> Self:
        try:
            self.cluster.__enter__()
            for port in self.ports():
                # One that is in the tree may not listen yet.
                wait_for_port("127.0.0.1", port, timeout=90)
            wait_for_level(self._level, self.ports())
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and not self._careless:
                check_replicas(self.cluster, self._topics)
        finally:
            self.cluster.__exit__(kind, error, trace)
            self.proxy.__exit__(kind, error, trace)
        if kind is None:
            assert not self.cluster.tracebacks()

    def ports(self) -> list[int]:
        return [member.port for member in self.cluster.members.values()]

    def create(self, topic: str, partitions: int) -> None:
        self._admin.create_topics([NewTopic(topic, partitions, self.replicas)])[topic].result(30)
        self.cluster.wait_whole(topic)
        self._topics[topic] = partitions

    def kill_and_start(self, topic: str) -> None:
        """The others lead before it comes back; in the end all replicas are in sync."""
        leader = self.cluster.leader(topic)
        self.cluster.kill(leader)
        self.cluster.wait_led_by_others(topic, leader)
        self.cluster.heal()
        # The former one would go on asking with leader epochs that are over.
        self._admin = AdminClient({"bootstrap.servers": self.address, "log_level": 2})
