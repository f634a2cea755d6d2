"""Three brokers of Apache Kafka in ZooKeeper mode, with small heaps, on one ZooKeeper server."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.peers.apache_kafka import KafkaOnZooKeeper
from tests.peers.zookeeper import ZooKeeperServer


class KafkaCluster:
    """Brokers 1, 2 and 3 in racks a, b and c; `settings` are those of all. They start at the same time."""

    def __init__(self, directory: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self.zookeeper = ZooKeeperServer(directory / "zookeeper")
        self.brokers = {
            node: KafkaOnZooKeeper(
                directory / f"broker-{node}",
                f"{self.zookeeper.address}/kafka",
                broker_id=node,
                settings={"broker.rack": rack, "zookeeper.session.timeout.ms": "8000", **(settings or {})},
                heap="256m",
            )
            for node, rack in enumerate("abc", start=1)
        }
        self._ending = ExitStack()

    @property
    def bootstrap(self) -> str:
        """`host:port` of all brokers."""
        return ",".join(broker.bootstrap for broker in self.brokers.values())

    def __enter__(self) -> Self:
        with ExitStack() as ending:
            ending.enter_context(self.zookeeper)
            for broker in self.brokers.values():
                ending.callback(broker.kill)
            with ThreadPoolExecutor() as threads:
                list(threads.map(KafkaOnZooKeeper.start, self.brokers.values()))
            self._ending = ending.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.close()
