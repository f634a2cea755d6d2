"""What becomes of transactional ids in time: the topic, restarts, time-outs, expiry, and what metrics say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fastlog.coordination.transactions.state import MAX_EPOCH
from fastlog.errors import ErrorCode as E
from fastlog.wire.messages.api_versions import ApiVersionsRequest
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from tests.harness.scrape import scrape
from tests.harness.waiting import wait_until
from tests.integration.requests import make_topic
from tests.integration.running import RawClient, RunningBroker
from tests.integration.transaction_broker import (
    Producer,
    TransactionBroker,
    ask_as_broker,
    of_broker,
    service_of,
)

A, B = ("a", 0), ("a", 1)
LAST = MAX_EPOCH - 1
Make = Callable[[str], Producer]


# -- the topic, and what is offered --------------------


def test_the_topic_is_made_as_kafka_makes_it(running: TransactionBroker, producer: Producer) -> None:
    topic = running.broker.services.cluster.topics["__transaction_state"]
    assert (len(topic.partitions), topic.internal) == (3, True)
    assert dict(topic.configs) == {
        "cleanup.policy": "compact",
        "compression.type": "uncompressed",
        "unclean.leader.election.enable": "false",
        "min.insync.replicas": "1",
        "segment.bytes": "104857600",
    }


class Plain(RunningBroker):
    """A broker that writes no markers."""

    def marker_writer(self) -> None:
        """None."""


def test_nothing_is_offered_without_a_writer_of_markers(tmp_path: Path) -> None:
    plain = Plain(tmp_path / "plain")
    plain.start()
    with plain.connect() as client:
        offered = {api.api_key for api in client.ask(ApiVersionsRequest("test", "1"), 3).api_keys}
        assert not offered & {24, 25, 26, 27, 28, 65, 66}
        found = client.ask(FindCoordinatorRequest(key_type=1, coordinator_keys=["t"]), 4)
        assert found.coordinators[0].error_code == E.UNSUPPORTED_VERSION
    plain.close()


def test_what_is_offered_with_one(client: RawClient) -> None:
    offered = {
        api.api_key: api.max_version for api in client.ask(ApiVersionsRequest("test", "1"), 3).api_keys
    }
    expected = {22: 5, 24: 5, 25: 4, 26: 5, 27: 2, 28: 5, 65: 0, 66: 2}
    assert {key: offered[key] for key in expected} == expected


# -- restarts and time-outs --------------------


def test_all_is_known_after_a_restart(tmp_path: Path) -> None:
    settings = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": "3600000"}
    running = TransactionBroker(tmp_path / "restarted", settings)
    running.start()
    with running.connect() as client:
        make_topic(client, "a")
        idle, opened, decided = (Producer(client, name) for name in ("idle", "opened", "decided"))
        identities = [producer.initialized() for producer in (idle, opened, decided)]
        assert idle.init(identities[0]) == (0, identities[0][0], 1)
        opened.added(identities[1], A)
        decided.added(identities[2], A, B)
        running.hold()
        assert decided.end(identities[2], version=5) == (0, identities[2][0], 1)
    running.stop()
    assert running.markers.written == []
    running.run(running.markers.release())
    running.start()
    with running.connect() as client:
        idle, opened, decided = (Producer(client, name) for name in ("idle", "opened", "decided"))
        wait_until(
            lambda: decided.describe().transaction_state == "CompleteCommit",
            "it ends",
            seconds=20,
            pause=0.02,
        )
        assert [marker.partitions for marker in running.markers.written] == [(A, B)]
        assert running.markers.written[0].epoch == 1
        assert decided.end(identities[2], version=5) == (0, identities[2][0], 1)
        # The epoch before is not in the log: a retry after a restart is fenced, as in Kafka.
        assert idle.init(identities[0]) == (E.PRODUCER_FENCED, -1, -1)
        assert idle.init((identities[0][0], 1)) == (0, identities[0][0], 2)
        assert opened.add(identities[1], B) == {B: 0}
        assert opened.end(identities[1]) == (0, -1, -1)
        fresh = Producer(client, "fresh").initialized()[0]
        assert fresh > max(producer_id for producer_id, _ in identities)
    running.close()


@pytest.mark.parametrize("version", [4, 5])
def test_what_is_open_for_too_long_is_aborted(tmp_path: Path, version: int) -> None:
    settings = {
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "50",
        "fastlog.default.transaction.version": "0" if version == 4 else "2",
    }
    running = TransactionBroker(tmp_path / "timed", settings)
    running.start()
    with running.connect() as client:
        make_topic(client, "a")
        producer = Producer(client, "slow")
        identity = producer.initialized(timeout_ms=100)
        ask_as_broker(client, of_broker("slow", identity, A), version=version)
        producer.wait_for("CompleteAbort")
        assert [(marker.epoch, marker.commits) for marker in running.markers.written] == [(1, False)]
        if version == 5:
            # The second protocol: the producer aborts as well, and goes on; a commit is too late.
            assert producer.end(identity, version=5)[0] == E.PRODUCER_FENCED
            assert producer.end(identity, commits=False, version=5) == (0, identity[0], 1)
        else:
            for commits in (True, False):
                assert producer.end(identity, commits=commits)[0] == E.PRODUCER_FENCED
            assert producer.init(identity)[0] == E.PRODUCER_FENCED
        assert service_of(running).expiry.timed_out == 1
    running.close()


def test_ids_that_nobody_uses_are_forgotten(tmp_path: Path) -> None:
    settings = {
        "transaction.remove.expired.transaction.cleanup.interval.ms": "50",
        "transactional.id.expiration.ms": "100",
    }
    running = TransactionBroker(tmp_path / "expired", settings)
    running.start()
    with running.connect() as client:
        make_topic(client, "a")
        producers = [Producer(client, f"old-{number}") for number in range(20)]
        identities = [producer.initialized(timeout_ms=900_000) for producer in producers]
        keeper = Producer(client, "keeper")
        keeper.added(keeper.initialized(timeout_ms=900_000), A)
        wait_until(
            lambda: (
                {producer.describe().error_code for producer in producers} == {E.TRANSACTIONAL_ID_NOT_FOUND}
            ),
            "they are gone",
            seconds=20,
            pause=0.02,
        )
        assert keeper.describe().transaction_state == "Ongoing"
        # Who comes back with an identity of then gets another one (KAFKA-18019).
        again, epoch = producers[0].initialized(identity=identities[0], timeout_ms=900_000)
        assert (again != identities[0][0], epoch) == (True, 0)
        assert producers[1].add(identities[1], A) == {A: E.INVALID_PRODUCER_ID_MAPPING}
    running.stop()
    running.start()
    with running.connect() as client:
        assert Producer(client, "old-5").describe().error_code == E.TRANSACTIONAL_ID_NOT_FOUND
    running.close()


def test_metrics(tmp_path: Path) -> None:
    running = TransactionBroker(tmp_path / "measured")
    running.settings["fastlog.http.port"] = "0"
    running.start()
    with running.connect() as client:
        make_topic(client, "a")
        producers = [Producer(client, f"m-{number}") for number in range(3)]
        identities = [producer.initialized() for producer in producers]
        for producer, identity in zip(producers[:2], identities, strict=False):
            producer.added(identity, A)
        running.hold()
        producers[0].end(identities[0])
        endpoint = running.broker.http_endpoint
        assert endpoint is not None
        found = scrape(endpoint[1])
        running.release()
        producers[0].wait_for("CompleteCommit")
    assert found.get("fastlog_transactional_ids", state="Ongoing") == 1
    assert found.get("fastlog_transactional_ids", state="PrepareCommit") == 1
    assert found.get("fastlog_transactional_ids", state="Empty") == 1
    assert found.get("fastlog_transactions_without_markers") == 1
    assert found.get("fastlog_transaction_oldest_open_seconds") >= 0
    assert found.get("fastlog_transactions_timed_out_total") == 0
    assert found.get("fastlog_transaction_partitions", state="loading") == 0
    running.close()
