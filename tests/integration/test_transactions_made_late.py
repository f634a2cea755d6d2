"""A broker without transactional producers has no coordinator; one that needs it gets it."""

from __future__ import annotations

from pathlib import Path

from fastlog.server.observability.exposition import Format
from fastlog.server.observability.transaction_families import transaction_families
from fastlog.server.transactions import Transactions
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest
from tests.harness.waiting import wait_until
from tests.integration.running import RunningBroker
from tests.integration.transaction_broker import Producer, TransactionBroker


def late(running: RunningBroker) -> Transactions:
    found = running.broker.services.transactions
    assert found is not None
    return found


def test_the_first_id_makes_the_coordinator_and_so_does_its_topic_after_a_restart(tmp_path: Path) -> None:
    running = TransactionBroker(tmp_path / "late")
    running.start()
    with running.connect() as client:
        client.ask(FindCoordinatorRequest(key_type=0, coordinator_keys=["group"]), 4)
        assert client.ask(InitProducerIdRequest(None, 0), 4).error_code == 0
        assert late(running).made is None
        identity = Producer(client, "t").initialized()
        assert late(running).made is not None
    assert running.stop()
    running.start()
    wait_until(lambda: late(running).made is not None, "the coordinator is there", seconds=20)
    with running.connect() as client:
        assert Producer(client, "t").initialized() == (identity[0], identity[1] + 1)
    running.close()


def test_metrics_are_the_same_with_a_coordinator_and_without(tmp_path: Path) -> None:
    def names(running: RunningBroker) -> list[str]:
        made = late(running).made
        families = transaction_families(made, 0)
        return [line for family in families for line in family.lines(Format.TEXT)]

    running = TransactionBroker(tmp_path / "metrics")
    running.start()
    before = names(running)
    assert before
    values = [line.rpartition(" ")[2] for text in before for line in text.splitlines() if line[0] != "#"]
    assert {float(value) for value in values} == {0}
    running.run(late(running).get())
    assert names(running) == before
    running.close()
