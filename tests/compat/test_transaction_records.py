"""Apache Kafka's decoder of `__transaction_state` on what this broker has written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integration.requests import make_topic
from tests.integration.transaction_broker import Producer, TransactionBroker
from tests.peers.apache_kafka import KAFKA_3, KAFKA_4, JavaTools, dump_log_class


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
