"""Which protocol of transactions Java clients choose, by the cluster's feature `transaction.version`."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from fastlog.wire.messages.describe_producers import DescribeProducersRequest, TopicRequest
from tests.compat.client_programs import ROOT
from tests.integration.requests import make_topic
from tests.integration.running import RawClient, RunningBroker
from tests.integration.transaction_broker import Producer
from tests.integration.transactional_client import fetched, offset_of, values_in
from tests.peers.apache_kafka import FEATURE_COMMAND, KAFKA_3, KAFKA_44, JavaTools
from tests.peers.maven import compiled

pytestmark = [pytest.mark.java, pytest.mark.timeout(180)]
COUNT = 5
_PROGRAM = ROOT / "tests/compat/clients/Transactions.java"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """A broker on its own, as it is by default."""
    settings = {"transaction.state.log.num.partitions": "2", "offsets.topic.num.partitions": "2"}
    running = RunningBroker(tmp_path_factory.mktemp("broker"), {"num.partitions": "2", **settings})
    running.start()
    yield running
    running.close()


def transact(running: RunningBroker, client: RawClient, version: str, name: str) -> tuple[int, int]:
    """Five transactions of a new producer in Java; the epochs that coordinator and leader know of it then."""
    make_topic(client, "t")
    tools = JavaTools(version)
    command = tools.command(
        "Transactions",
        *(running.bootstrap, "t", name, str(COUNT)),
        class_path=compiled(_PROGRAM, tools.class_path),
        quick=True,
    )
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    described = Producer(client, name).wait_for("CompleteCommit")
    asked = DescribeProducersRequest([TopicRequest("t", [0])])
    (topic,) = client.ask(asked, 0).topics
    (at_leader,) = [
        one for one in topic.partitions[0].active_producers if one.producer_id == described.producer_id
    ]
    assert at_leader.current_txn_start_offset == -1
    return described.producer_epoch, at_leader.producer_epoch


def features(running: RunningBroker, *args: str) -> str:
    """What kafka-features says."""
    tools = JavaTools(KAFKA_44)
    return tools.run(FEATURE_COMMAND, "--bootstrap-server", running.bootstrap, *args).stdout.decode()


def test_java_4_raises_the_epoch_with_each_transaction(running: RunningBroker) -> None:
    with running.connect(timeout=60) as client:
        assert transact(running, client, KAFKA_44, "fourth") == (COUNT, COUNT)
        for partition in (0, 1):
            row: Any = fetched(client, ("t", partition))
            assert values_in(row) == [b"%d" % number for number in range(COUNT)]
            aborted = {one.first_offset for one in row.aborted_transactions}
            # Each record is followed by its marker.
            assert aborted == {2, 6}
            assert row.last_stable_offset == row.high_watermark == 2 * COUNT
        assert offset_of(client, "fourth", ("t", 0), stable=True) == (0, COUNT)


def test_java_3_keeps_its_epoch(running: RunningBroker) -> None:
    with running.connect(timeout=60) as client:
        assert transact(running, client, KAFKA_3, "third") == (0, 0)
        assert offset_of(client, "third", ("t", 0), stable=True) == (0, COUNT)


def test_what_kafka_features_takes_back_clients_do_not_use(running: RunningBroker) -> None:
    told = features(running, "describe")
    assert "transaction.version" in told
    features(running, "downgrade", "--feature", "transaction.version=0")
    try:
        with running.connect(timeout=60) as client:
            assert transact(running, client, KAFKA_44, "first") == (0, 0)
            # The next one starts as the first protocol has it, and goes on as the second.
            features(running, "upgrade", "--feature", "transaction.version=2")
            assert transact(running, client, KAFKA_44, "first") == (1 + COUNT, 1 + COUNT)
    finally:
        assert "FinalizedVersionLevel: 2" in features(running, "describe")
