"""Three brokers with stand-ins for the leaders' side of markers: who coordinates, and where markers go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastlog.coordination.transactions.completions import Marker
from fastlog.errors import ErrorCode as E
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.topics import CreatableReplicaAssignment, CreatableTopic, CreateTopicsRequest
from tests.harness.keeper_process import KeeperProcess
from tests.harness.waiting import wait_until
from tests.integration.running import RawClient
from tests.integration.transaction_broker import Producer, TransactionBroker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
PARTITIONS = [("a", number) for number in range(3)]
SETTINGS = {
    "transaction.state.log.num.partitions": "3",
    "transaction.state.log.replication.factor": "3",
    "zookeeper.session.timeout.ms": "6000",
    "fastlog.shutdown.timeout.ms": "1000",
}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[dict[int, TransactionBroker]]:
    """Brokers 1 to 3; partition N-1 of topic `a` is led by broker N."""
    brokers: dict[int, TransactionBroker] = {}
    with KeeperProcess(tmp_path / "keeper", tick_ms=500) as keeper:
        for number in (1, 2, 3):
            place = {"broker.id": str(number), "zookeeper.connect": keeper.address}
            brokers[number] = TransactionBroker(tmp_path / f"broker-{number}", {**SETTINGS, **place})
        for broker in brokers.values():
            broker.start()
        wait_until(
            lambda: all(len(one.broker.services.cluster.brokers()) == 3 for one in brokers.values()),
            "all are known to all",
            seconds=60,
        )
        replicas = [[1, 2, 3], [2, 3, 1], [3, 1, 2]]
        topic = CreatableTopic(
            "a",
            -1,
            -1,
            assignments=[CreatableReplicaAssignment(at, wanted) for at, wanted in enumerate(replicas)],
        )
        with brokers[1].connect(timeout=60) as client:
            (made,) = client.ask(CreateTopicsRequest(topics=[topic], timeout_ms=60_000), 5).topics
            assert made.error_code == 0, made
        try:
            yield brokers
        finally:
            for broker in brokers.values():
                broker.close()


def coordinator_of(client: RawClient, name: str) -> int:
    """Who coordinates an id, once somebody does."""

    def look() -> Any:
        (found,) = client.ask(FindCoordinatorRequest(key_type=1, coordinator_keys=[name]), 4).coordinators
        return None if found.error_code else (found.node_id,)

    return int(wait_until(look, f"nobody coordinates {name}", seconds=60)[0])


def ask_until_served(producer: Producer, what: Any) -> Any:
    """An answer that is not about who coordinates."""
    found: list[Any] = []

    def is_served() -> bool:
        found[:] = [what(producer)]
        return found[0][0] not in (
            E.NOT_COORDINATOR,
            E.COORDINATOR_NOT_AVAILABLE,
            E.COORDINATOR_LOAD_IN_PROGRESS,
            E.CONCURRENT_TRANSACTIONS,
        )

    wait_until(is_served, lambda: f"not served: {found}", seconds=60)
    return found[0]


def markers_of(brokers: dict[int, TransactionBroker], producer_id: int) -> dict[int, list[Marker]]:
    """What each broker was told to write of a producer."""
    return {
        number: [marker for marker in broker.markers.written if marker.producer_id == producer_id]
        for number, broker in brokers.items()
    }


def test_markers_go_to_the_leaders_and_another_coordinator_goes_on(
    cluster: dict[int, TransactionBroker],
) -> None:
    with cluster[1].connect(timeout=60) as client:
        first = coordinator_of(client, "t")
    with cluster[first].connect(timeout=60) as client:
        producer = Producer(client, "t")
        code, producer_id, epoch = ask_until_served(producer, lambda one: one.init())
        assert (code, epoch) == (0, 0)
        # Leaders ask the coordinator, wherever it is.
        added: set[tuple[str, int]] = set()
        for broker, partition in zip(cluster.values(), PARTITIONS, strict=True):
            transactions = broker.broker.services.transactions
            assert transactions is not None
            verifier = broker.run(transactions.get()).verifier
            asked = broker.run(verifier.verify("t", (producer_id, 0), frozenset(PARTITIONS)))
            assert asked == {one: 0 if one in added else E.TRANSACTION_ABORTABLE for one in PARTITIONS}
            adding = verifier.verify("t", (producer_id, 0), frozenset({partition}), adds=True)
            assert broker.run(adding) == {partition: E.NONE}
            added.add(partition)
        producer.added((producer_id, 0), *PARTITIONS)
        assert producer.end((producer_id, 0), version=5) == (0, producer_id, 1)
        producer.wait_for("CompleteCommit")
        found = markers_of(cluster, producer_id)
        assert {number: [one.partitions for one in told] for number, told in found.items()} == {
            number: [(("a", number - 1),)] for number in (1, 2, 3)
        }
        told = {one for markers in found.values() for one in markers}
        assert {(one.epoch, one.commits, one.version) for one in told} == {(1, True, 2)}
        (coordinator_epoch,) = {one.coordinator_epoch for one in told}
        # Somebody else is asked: it is not its matter.
        other = next(number for number in cluster if number != first)
        with cluster[other].connect(timeout=60) as elsewhere:
            assert Producer(elsewhere, "t").init()[0] == E.NOT_COORDINATOR
        # Decided, and no marker written when the coordinator goes.
        producer.added((producer_id, 1), *PARTITIONS)
        for broker in cluster.values():
            broker.hold()
        assert producer.end((producer_id, 1), commits=False, version=5) == (0, producer_id, 2)
    gone = cluster.pop(first)
    gone.close()
    for broker in cluster.values():
        broker.markers.written.clear()
        broker.release()
    with cluster[other].connect(timeout=60) as client:
        wait_until(lambda: coordinator_of(client, "t") != first, "another one coordinates", seconds=60)
        second = coordinator_of(client, "t")
    with cluster[second].connect(timeout=60) as client:
        producer = Producer(client, "t")
        # The answer was lost: it is given again.
        answer = ask_until_served(producer, lambda one: one.end((producer_id, 1), commits=False, version=5))
        assert answer == (0, producer_id, 2)
        producer.wait_for("CompleteAbort")
        written = [one for told in markers_of(cluster, producer_id).values() for one in told]
        resent = [one for one in written if one.coordinator_epoch > coordinator_epoch]
        assert sorted({key for one in resent for key in one.partitions}) == PARTITIONS
        assert {(one.epoch, one.commits) for one in written} == {(2, False)}
        producer.added((producer_id, 2), *PARTITIONS)
