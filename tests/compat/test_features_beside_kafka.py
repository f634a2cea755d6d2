"""`transaction.version` and brokers of Apache Kafka 3.9 in ZooKeeper mode, which know no feature."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastlog.errors import ErrorCode
from tests.harness.broker_process import BrokerProcess
from tests.harness.keeper_process import KeeperProcess
from tests.harness.tree import tree_at
from tests.harness.waiting import wait_until
from tests.integration.test_features import finalized, updated
from tests.peers.apache_kafka import KAFKA_LOG, KafkaOnZooKeeper

pytestmark = [pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(240)]
NAME = "transaction.version"


def test_kafka_joins_when_it_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KAFKA_LOG, "error")
    with KeeperProcess(tmp_path / "keeper", tick_ms=500) as keeper:
        connect = f"{keeper.address}/mixed"

        def registered() -> set[str]:
            prefix = "/brokers/ids/"
            return {path.removeprefix(prefix) for path in tree_at(connect) if path.startswith(prefix)}

        settings = {"broker.id": "1", "zookeeper.connect": connect}
        kafka = KafkaOnZooKeeper(tmp_path / "kafka", connect, broker_id=2, heap="256m")
        with BrokerProcess(tmp_path / "fastlog", settings=settings) as fastlog:
            wait_until(lambda: finalized(fastlog)[1].get(NAME) == 2, "it is not finalized", seconds=60)
            try:
                # It looks at /feature before it registers, and ends itself.
                kafka.launch()
                assert kafka.process.wait(timeout=120) != 0
                assert NAME in (kafka.directory / "server.log").read_text(errors="replace")
                assert registered() == {"1"}
                assert updated(fastlog, NAME, 0, kind=2) == (0, [0])
                kafka.start()
                wait_until(lambda: registered() == {"1", "2"}, "it has not joined", seconds=60)
                assert updated(fastlog, NAME, 2) == (0, [ErrorCode.INVALID_REQUEST])
                fastlog.stop()
                fastlog.start()
                wait_until(lambda: registered() == {"1", "2"}, "it is not back", seconds=60)
                wait_until(lambda: finalized(fastlog)[0] == 2, "it does not look", seconds=60)
                assert NAME not in finalized(fastlog)[1]
                assert kafka.process.poll() is None
            finally:
                kafka.kill()


def test_a_tree_that_kafka_has_made_is_left_to_operators(tmp_path: Path) -> None:
    with KeeperProcess(tmp_path / "keeper", tick_ms=500) as keeper:
        connect = f"{keeper.address}/kafkas"
        kafka = KafkaOnZooKeeper(tmp_path / "kafka", connect, broker_id=1, heap="256m")
        kafka.start()
        kafka.kill()
        settings = {"broker.id": "2", "zookeeper.connect": connect}
        with BrokerProcess(tmp_path / "fastlog", settings=settings) as fastlog:
            told = f"{NAME} is not finalized: an operator may do it"
            wait_until(lambda: told in fastlog.log_text, "nothing is said of it", seconds=60)
            assert NAME not in finalized(fastlog)[1]
            assert updated(fastlog, NAME, 2) == (0, [0])
            assert finalized(fastlog)[1][NAME] == 2
