"""Three brokers on a real ZooKeeper server: one of them is the controller, each record is on two of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.harness.broker_process import BrokerProcess
from tests.harness.waiting import wait_until
from tests.peers.zookeeper import ZooKeeperServer

pytestmark = [pytest.mark.java, pytest.mark.timeout(300)]
IDS: Final = (1, 2, 3)
RECORDS: Final = 300
SETTINGS: Final = {
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "6",
    "offsets.topic.replication.factor": "3",
    "default.replication.factor": "2",
    "zookeeper.session.timeout.ms": "6000",
    # A busy machine starts a session slowly.
    "zookeeper.connection.timeout.ms": "60000",
    # On a busy machine a follower may well be three seconds late; a leader that is then killed, as the only
    # one in sync, has no successor.
    "replica.lag.time.max.ms": "15000",
    "controlled.shutdown.retry.backoff.ms": "500",
}


class Cluster:
    """The brokers by id."""

    def __init__(self, connect: str, directory: Path) -> None:
        self.connect = connect
        self.brokers = {
            node: BrokerProcess(
                directory / f"broker-{node}",
                settings={"broker.id": str(node), "zookeeper.connect": connect, **SETTINGS},
            )
            for node in IDS
        }

    @property
    def bootstrap(self) -> str:
        """All of them."""
        return ",".join(broker.bootstrap for broker in self.brokers.values())

    def seen(self, node: int) -> Any:
        """The cluster's metadata as one broker has it."""
        return AdminClient({"bootstrap.servers": self.brokers[node].bootstrap}).list_topics(timeout=30)

    def controller(self, node: int) -> int:
        """Who it is, as one broker has it."""
        found: int = self.seen(node).controller_id
        return found

    def states(self, node: int, topic: str) -> list[tuple[int, list[int]]]:
        """(leader, in-sync replicas) of each partition, as one broker has it."""
        found = self.seen(node).topics.get(topic)
        if found is None or found.error is not None:
            return []
        return [(part.leader, sorted(part.isrs)) for _, part in sorted(found.partitions.items())]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("cluster")
    with ZooKeeperServer(directory / "zookeeper") as server:
        cluster = Cluster(f"{server.address}/chroot", directory)
        try:
            for broker in cluster.brokers.values():
                broker.start(timeout=60)
            for node in IDS:
                until(
                    lambda node=node: len(cluster.seen(node).brokers) == len(IDS),
                    f"broker {node}: who is there",
                )
            yield cluster
        finally:
            for broker in cluster.brokers.values():
                broker.__exit__(None, None, None)
        for broker in cluster.brokers.values():
            assert "Traceback" not in broker.log_text


def until(condition: Callable[[], object], what: str) -> None:
    wait_until(condition, what, seconds=60)


def create(cluster: Cluster, topic: str, partitions: int, replication: int) -> None:
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})

    def tried() -> bool:
        try:
            (future,) = admin.create_topics([NewTopic(topic, partitions, replication)]).values()
            future.result(30)
        except KafkaException as error:
            # After an election a client may still ask the former controller.
            print(error)
            return "ALREADY_EXISTS" in str(error)
        return True

    until(tried, f"{topic} cannot be made")


def produce(cluster: Cluster, topic: str, first: int, count: int = RECORDS) -> None:
    """With idempotence and acks=all, over all partitions."""
    producer = Producer({"bootstrap.servers": cluster.bootstrap, "enable.idempotence": True})
    failed: list[Any] = []
    for number in range(first, first + count):
        producer.produce(topic, str(number).encode(), on_delivery=lambda error, _: failed.append(error))
    assert producer.flush(90) == 0
    assert [error for error in failed if error is not None] == []


def consume(cluster: Cluster, topic: str, group: str, count: int) -> list[int]:
    """What a group gets until it has so many, sorted; it commits."""
    consumer = Consumer(
        {
            "bootstrap.servers": cluster.bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            # A coordinator that is killed may take the word that a member has left with it.
            "session.timeout.ms": "6000",
        }
    )
    consumer.subscribe([topic])
    values: list[int] = []

    def enough() -> bool:
        values.extend(int(message.value()) for message in consumer.consume(count, 1.0) if not message.error())
        return len(values) >= count

    wait_until(enough, lambda: f"{len(values)} of {count} records", seconds=90)
    consumer.commit(asynchronous=False)
    consumer.close()
    return sorted(values)


def in_sync(cluster: Cluster, topic: str, replicas: int) -> None:
    def is_so() -> bool:
        states = cluster.states(1, topic)
        return bool(states) and all(len(isr) == replicas for _, isr in states)

    wait_until(is_so, lambda: f"not in sync: {cluster.states(1, topic)}", seconds=60)


def test_records_are_on_two_brokers_and_survive_the_kill_of_one(cluster: Cluster) -> None:
    create(cluster, "kept", 6, 2)
    for node in IDS:
        until(lambda node=node: len(cluster.states(node, "kept")) == 6, "not seen")
    assert {leader for leader, _ in cluster.states(1, "kept")} == set(IDS)
    produce(cluster, "kept", 0)
    in_sync(cluster, "kept", 2)
    assert consume(cluster, "kept", "readers", RECORDS) == [*range(RECORDS)]
    for topic, replicas in (("kept", 2), ("__consumer_offsets", 3)):
        in_sync(cluster, topic, replicas)
    cluster.brokers[3].kill()
    until(lambda: all(leader in (1, 2) for leader, _ in cluster.states(1, "kept")), "no other leads")
    produce(cluster, "kept", RECORDS)
    # The group goes on where it was, wherever its coordinator is now.
    assert consume(cluster, "kept", "readers", RECORDS) == [*range(RECORDS, 2 * RECORDS)]
    assert consume(cluster, "kept", "all", 2 * RECORDS) == [*range(2 * RECORDS)]
    cluster.brokers[3].start(timeout=60)
    in_sync(cluster, "kept", 2)


def test_a_broker_that_is_stopped_hands_over_first(cluster: Cluster) -> None:
    create(cluster, "moved", 6, 2)
    produce(cluster, "moved", 0)
    in_sync(cluster, "moved", 2)
    broker = cluster.brokers[2]
    assert broker.stop(timeout=60) == 0
    assert "what others can lead is handed over" in broker.log_text
    assert all(leader in (1, 3) for leader, _ in cluster.states(1, "moved"))
    produce(cluster, "moved", RECORDS)
    broker.start(timeout=60)
    in_sync(cluster, "moved", 2)
    assert consume(cluster, "moved", "movers", 2 * RECORDS) == [*range(2 * RECORDS)]


def test_another_broker_becomes_the_controller(cluster: Cluster) -> None:
    former = cluster.controller(1)
    cluster.brokers[former].kill()
    others = [node for node in IDS if node != former]
    for node in others:
        until(lambda node=node: cluster.controller(node) in others, "no other controller")
    create(cluster, "afterwards", 4, 2)
    produce(cluster, "afterwards", 0)
    assert consume(cluster, "afterwards", "later", RECORDS) == [*range(RECORDS)]
    cluster.brokers[former].start(timeout=60)
    until(lambda: len(cluster.seen(others[0]).brokers) == len(IDS), "it does not come back")
    in_sync(cluster, "kept", 2)


@pytest.mark.parametrize("is_controller", [True, False])
def test_the_first_answer_of_a_broker_that_starts_has_all_topics(
    is_controller: bool, cluster: Cluster
) -> None:
    """Whoever is the controller: clients give up what they have for a topic that a broker does not know."""
    create(cluster, "known", 3, 3)
    in_sync(cluster, "known", 3)
    controller = cluster.controller(1)
    node = next(node for node in IDS if (node == controller) is is_controller)
    broker = cluster.brokers[node]
    broker.kill()
    broker.start(timeout=60)
    found = AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=90).topics
    assert "known" in found
    assert len(found["known"].partitions) == 3
    in_sync(cluster, "known", 3)


def test_a_topic_comes_into_being_at_any_broker(cluster: Cluster) -> None:
    controller = cluster.controller(1)
    other = next(node for node in IDS if node != controller)
    producer = Producer(
        {"bootstrap.servers": cluster.brokers[other].bootstrap, "allow.auto.create.topics": True}
    )
    producer.produce("by-itself", b"0")
    assert producer.flush(60) == 0
    assert [len(isr) for _, isr in cluster.states(other, "by-itself")] == [2]
    assert consume(cluster, "by-itself", "itself", 1) == [0]


def test_a_topic_is_deleted_everywhere(cluster: Cluster) -> None:
    create(cluster, "gone", 6, 3)
    produce(cluster, "gone", 0)
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    (future,) = admin.delete_topics(["gone"]).values()
    future.result(60)
    for node, broker in cluster.brokers.items():
        until(lambda node=node: cluster.states(node, "gone") == [], f"broker {node} shows it")
        until(
            lambda broker=broker: all(
                path.name.endswith("-delete") for path in broker.data_dir.glob("gone-*")
            ),
            f"broker {node} keeps it",
        )
