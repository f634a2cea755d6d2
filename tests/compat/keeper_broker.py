"""A broker on its own, on whose keeper programs rely that speak to ZooKeeper beside Kafka."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from confluent_kafka.admin import AdminClient, NewTopic

from tests.harness.broker_process import BrokerProcess
from tests.harness.net import free_port


class KeeperBroker(BrokerProcess):
    """`keeper` is the address at which others reach it."""

    replicas = 1
    told = ""
    session_ms = 10_000
    """Of the sessions that the tools ask for."""

    def __init__(self, directory: Path) -> None:
        self.keeper = f"127.0.0.1:{free_port()}"
        settings = {"group.initial.rebalance.delay.ms": "0", "fastlog.keeper.listen": self.keeper}
        super().__init__(directory, settings=settings)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if kind is None:
            assert "Traceback" not in self.log_text, self.log_text[-4000:]

    def create(self, topic: str, partitions: int) -> None:
        """Makes a topic; returns when it is there."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(30)
