"""`__transaction_state` across: Apache Kafka's decoder on what this broker has written, and what Kafka has
written taken over."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.compat.transactions.play import Play
from tests.compat.transactions.stage import SETTINGS, prepare
from tests.integration.requests import make_topic
from tests.integration.running import RawClient
from tests.integration.transaction_broker import Producer, TransactionBroker
from tests.peers.apache_kafka import KAFKA_3, KAFKA_4, ApacheKafka, JavaTools, dump_log_class


def written(directory: Path) -> Path:
    """Both protocols, commits and aborts; the log of all of it."""
    running = TransactionBroker(directory, {"transaction.state.log.num.partitions": "1"})
    running.start()
    with running.connect() as client:
        make_topic(client, "a")
        plain, raising = Producer(client, "plain"), Producer(client, "raising")
        first = plain.initialized(timeout_ms=1234)
        plain.added(first, ("a", 0), ("a", 1))
        plain.end(first)
        plain.wait_for("CompleteCommit")
        second = raising.initialized()
        raising.added(second, ("a", 0))
        raising.end(second, commits=False, version=5)
        raising.wait_for("CompleteAbort")
    running.close()
    return directory / "__transaction_state-0" / ("0" * 20 + ".log")


@pytest.mark.java
@pytest.mark.parametrize("version", [KAFKA_3, KAFKA_4])
@pytest.mark.timeout(180)
def test_kafka_reads_it(version: str, tmp_path: Path) -> None:
    log = written(tmp_path / "data")
    tools = JavaTools(version)
    text = tools.run(
        dump_log_class(version), "--files", str(log), "--transaction-log-decoder"
    ).stdout.decode()
    if version == KAFKA_3:
        found = re.findall(
            r"transactionalId=(\w+).*producerEpoch:(\d+),state=(\w+),partitions=(\[.*?\])", text
        )
        story = [(name, int(epoch), state) for name, epoch, state, _ in found]
        assert re.search(r"partitions=\[a-0,a-1\]", text) or re.search(r"partitions=\[a-1,a-0\]", text)
        assert "txnTimeoutMs=1234" in text
    else:
        found = re.findall(
            r'"transactionalId":"(\w+)".*"producerEpoch":(\d+).*"transactionStatus":(\d+)', text
        )
        states = ("Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort")
        story = [(name, int(epoch), states[int(state)]) for name, epoch, state in found]
        assert '"transactionTimeoutMs":1234' in text
        assert '"clientTransactionVersion":2' in text
    assert story == [
        ("plain", 0, "Empty"),
        ("plain", 0, "Ongoing"),
        ("plain", 0, "PrepareCommit"),
        ("plain", 0, "CompleteCommit"),
        ("raising", 0, "Empty"),
        ("raising", 0, "Ongoing"),
        ("raising", 1, "PrepareAbort"),
        ("raising", 1, "CompleteAbort"),
    ], text


@pytest.mark.java
@pytest.mark.timeout(180)
def test_transactions_of_kafka_are_taken_over(tmp_path: Path) -> None:
    """One that is open, one that is complete: on Kafka's data directory, with its producer ids and epochs."""
    kafka = ApacheKafka(tmp_path / "kafka", settings=SETTINGS, heap="384m", quick=True)
    with kafka, RawClient(kafka.port, timeout=60) as client:
        prepare(client)
        play = Play(kafka.port, "a")
        play.topic()
        play.close()
        opened, done = Producer(client, "opened"), Producer(client, "done")
        identities = [opened.initialized(timeout_ms=900_000), done.initialized()]
        opened.added(identities[0], ("a", 0), ("a", 1))
        done.added(identities[1], ("a", 0))
        done.end(identities[1], commits=False)
        done.wait_for("CompleteAbort")
    running = TransactionBroker(kafka.data_dir)
    running.start()
    with running.connect(timeout=60) as client:
        opened, done = Producer(client, "opened"), Producer(client, "done")
        state = opened.wait_for("Ongoing")
        assert ((state.producer_id, state.producer_epoch), state.transaction_timeout_ms) == (
            identities[0],
            900_000,
        )
        assert [(topic.topic, topic.partitions) for topic in state.topics] == [("a", [0, 1])]
        assert opened.end(identities[0])[0] == 0
        opened.wait_for("CompleteCommit")
        (marker,) = running.markers.written
        assert (marker.producer_id, marker.epoch, marker.commits) == (*identities[0], True)
        assert done.end(identities[1], commits=False)[0] == 0
        assert done.init(identities[1]) == (0, identities[1][0], identities[1][1] + 1)
        new = Producer(client, "new").initialized()[0]
        assert new > max(producer_id for producer_id, _ in identities)
    running.close()


@pytest.mark.java
@pytest.mark.parametrize("version", [KAFKA_3, KAFKA_4])
@pytest.mark.timeout(180)
def test_kafka_transactions(version: str, tmp_path: Path) -> None:
    """kafka-transactions.sh lists and describes."""
    running = TransactionBroker(tmp_path / "data")
    running.start()
    tools = JavaTools(version)

    def ask(*args: str) -> list[list[str]]:
        server = ("--bootstrap-server", running.bootstrap)
        text = tools.run("org.apache.kafka.tools.TransactionsCommand", *server, *args).stdout.decode()
        return [line.split() for line in text.splitlines()[1:]]

    with running.connect() as client:
        make_topic(client, "a")
        opened, idle = Producer(client, "opened"), Producer(client, "idle")
        identity, other = opened.initialized(timeout_ms=900_000), idle.initialized()
        opened.added(identity, ("a", 0), ("a", 1))
        listed = {row[0]: (int(row[2]), row[3]) for row in ask("list")}
        assert listed == {"opened": (identity[0], "Ongoing"), "idle": (other[0], "Empty")}
        if version == KAFKA_4:
            names = [row[0] for row in ask("list", "--transactional-id-pattern", "op.*")]
            assert names == ["opened"]
        (row,) = ask("describe", "--transactional-id", "opened")
        coordinator, name, producer_id, epoch, state, timeout_ms = row[:6]
        assert (coordinator, name, int(producer_id), int(epoch)) == ("1", "opened", *identity)
        assert (state, timeout_ms) == ("Ongoing", "900000")
        assert sorted(row[-1].split(",")) == ["a-0", "a-1"]
    running.close()
