"""What /metrics says of transactions that are open, decided, refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fastlog.errors import ErrorCode
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from tests.harness.scrape import scrape
from tests.harness.waiting import wait_until
from tests.integration.requests import make_topic
from tests.integration.test_metrics import http_port
from tests.integration.transaction_broker import Producer, TransactionBroker
from tests.integration.transactional_client import batch_of, commit_offsets, produce

AT = ("t", 0)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[TransactionBroker]:
    """Its markers can be held."""
    running = TransactionBroker(tmp_path, {"fastlog.http.port": "0"})
    running.start()
    yield running
    running.close()


def test_open_decided_and_complete(running: TransactionBroker) -> None:
    with running.connect() as client:
        make_topic(client, "t")
        producer = Producer(client, "one")
        identity = producer.initialized()
        producer.added(identity, AT, ("t", 1))
        ((code, _),) = produce(client, "one", (AT, batch_of(identity, 0)))
        assert code == 0
        assert scrape(http_port(running)).get("fastlog_transactional_ids", state="Ongoing") == 1
        wait_until(
            lambda: scrape(http_port(running)).get("fastlog_log_oldest_transaction_seconds") > 0,
            "the log has an open one",
            seconds=20,
        )
        now = scrape(http_port(running))
        assert 0 < now.get("fastlog_transaction_oldest_open_seconds") < 60
        assert now.get("fastlog_transaction_overdue_seconds") == 0
        assert now.get("fastlog_late_transaction_partitions") == 0
        running.hold()
        assert producer.end(identity)[0] == 0
        wait_until(
            lambda: scrape(http_port(running)).get("fastlog_transaction_oldest_without_markers_seconds") > 0,
            "markers are owed",
            seconds=20,
        )
        now = scrape(http_port(running))
        assert now.get("fastlog_transactional_ids", state="PrepareCommit") == 1
        assert now.get("fastlog_transactions_without_markers") == 1
        assert now.get("fastlog_transaction_markers_owed") == 2
        assert now.get("fastlog_transaction_oldest_open_seconds") == 0
        running.release()
        producer.wait_for("CompleteCommit")
        now = scrape(http_port(running))
        assert now.get("fastlog_transaction_markers_owed") == 0
        assert now.get("fastlog_transaction_oldest_without_markers_seconds") == 0


def test_refusals(running: TransactionBroker) -> None:
    def refused(error: ErrorCode) -> float:
        return scrape(http_port(running)).get("fastlog_transaction_refusals_total", error=error.name)

    with running.connect() as client:
        make_topic(client, "t")
        producer = Producer(client, "one")
        identity = producer.initialized()
        rows = [((topic, number), batch_of(identity, 0)) for topic, number in (AT, ("t", 1))]
        codes = {code for code, _ in produce(client, "one", *rows)}
        assert codes == {ErrorCode.INVALID_TXN_STATE}
        assert refused(ErrorCode.TRANSACTION_ABORTABLE) == 2
        identity = producer.initialized()
        assert {code for code, _ in produce(client, "one", rows[0])} == {ErrorCode.INVALID_PRODUCER_EPOCH}
        assert refused(ErrorCode.PRODUCER_FENCED) == 1
        client.ask(FindCoordinatorRequest(key_type=0, coordinator_keys=["g"]), 4)
        wait_until(
            lambda: commit_offsets(client, "one", "g", identity, {AT: 1}) == {ErrorCode.INVALID_TXN_STATE},
            "the group is coordinated",
            seconds=20,
        )
        assert refused(ErrorCode.TRANSACTION_ABORTABLE) == 3
        producer.added(identity, AT)
        assert {code for code, _ in produce(client, "one", (AT, batch_of(identity, 0)))} == {0}
        assert refused(ErrorCode.TRANSACTION_ABORTABLE) == 3
