"""A broker that joins a real Apache Kafka 3.9 cluster in ZooKeeper mode: the controller is Kafka's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
)

from tests.harness.broker_process import BrokerProcess
from tests.harness.tree import tree_at
from tests.harness.waiting import wait_until
from tests.peers.apache_kafka import KafkaOnZooKeeper
from tests.peers.zookeeper import ZooKeeperServer

pytestmark = [pytest.mark.java, pytest.mark.timeout(240)]
KAFKA: Final = 1
MEMBER: Final = 2
RECORDS: Final = 200


class Cluster(NamedTuple):
    """Two brokers: Kafka's, which is the controller, and the member."""

    connect: str
    kafka: KafkaOnZooKeeper
    member: BrokerProcess
    admin: AdminClient
    """A client of Kafka's broker."""

    def create(self, topic: str, *leaders: int, configs: dict[str, str] | None = None) -> None:
        """A topic of partitions without other replicas; returns when the member shows them led."""
        assignment = [[leader] for leader in leaders]
        new = NewTopic(topic, len(leaders), replica_assignment=assignment, config=configs or {})
        wait_for(self.admin.create_topics([new]))
        wait_until(
            lambda: self.leaders(topic) == [*leaders], lambda: f"not led: {self.leaders(topic)}", seconds=30
        )

    def leaders(self, topic: str) -> list[int] | None:
        """Who leads, as the member says; None while it does not know the topic."""
        return leaders_at(self.member.bootstrap, topic)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with ZooKeeperServer(tmp_path_factory.mktemp("zookeeper")) as server:
        connect = f"{server.address}/cluster"
        settings = {
            "group.initial.rebalance.delay.ms": "0",
            "offsets.topic.replication.factor": "1",
            "broker.rack": "here",
        }
        with KafkaOnZooKeeper(tmp_path_factory.mktemp("kafka"), connect, settings=settings) as kafka:
            wait_until(lambda: controller_at(kafka.bootstrap) == KAFKA, "there is no controller", seconds=60)
            member = BrokerProcess(
                tmp_path_factory.mktemp("member"),
                settings={
                    "broker.id": str(MEMBER),
                    "zookeeper.connect": connect,
                    "broker.rack": "here",
                    **settings,
                },
            )
            with member:
                yield Cluster(connect, kafka, member, AdminClient({"bootstrap.servers": kafka.bootstrap}))
            assert "Traceback" not in member.log_text


def wait_for(futures: dict[Any, Any]) -> None:
    for future in futures.values():
        future.result(60)


def metadata_at(bootstrap: str) -> Any:
    return AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=30)


def controller_at(bootstrap: str) -> int:
    found: int = metadata_at(bootstrap).controller_id
    return found


def leaders_at(bootstrap: str, topic: str) -> list[int] | None:
    found = metadata_at(bootstrap).topics.get(topic)
    if found is None or found.error is not None:
        return None
    return [partition.leader for _, partition in sorted(found.partitions.items())]


def produce(bootstrap: str, topic: str, partition: int, *, acks: str = "all") -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "acks": acks})
    failed: list[Any] = []
    for number in range(RECORDS):
        producer.produce(
            topic,
            str(number).encode(),
            partition=partition,
            on_delivery=lambda error, _: failed.append(error),
        )
    assert producer.flush(60) == 0
    assert [error for error in failed if error is not None] == []


def consume(bootstrap: str, topic: str, partition: int, count: int = RECORDS) -> list[int]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, partition, 0)])
    values: list[int] = []

    def enough() -> bool:
        values.extend(int(message.value()) for message in consumer.consume(count, 1.0) if not message.error())
        return len(values) >= count

    wait_until(enough, lambda: f"{len(values)} records of {topic}-{partition}", seconds=30)
    consumer.close()
    return values


def test_it_registers_and_shows_the_cluster(cluster: Cluster) -> None:
    node = tree_at(cluster.connect, f"/brokers/ids/{MEMBER}")[f"/brokers/ids/{MEMBER}"]
    assert node.stat.version == 1
    told = json.loads(node.data or b"")
    assert (told["version"], told["rack"]) == (5, "here")
    # Kafka 3.9 has it in its unstable features only (`unstable.feature.versions.enable`).
    assert told["features"].keys() == {"transaction.version"}
    assert told["endpoints"] == [f"PLAINTEXT://{cluster.member.bootstrap}"]
    for bootstrap in (cluster.kafka.bootstrap, cluster.member.bootstrap):
        wait_until(lambda at=bootstrap: len(metadata_at(at).brokers) == 2, "a broker is missing", seconds=30)
        found = metadata_at(bootstrap)
        assert found.controller_id == KAFKA
        assert {(broker.id, broker.port) for broker in found.brokers.values()} == {
            (KAFKA, cluster.kafka.port),
            (MEMBER, cluster.member.port),
        }
    admin = AdminClient({"bootstrap.servers": cluster.member.bootstrap})
    one = admin.describe_cluster().result(30)
    assert one.controller.id == KAFKA


def test_it_leads_what_the_controller_gives_it(cluster: Cluster) -> None:
    cluster.create("led", MEMBER, KAFKA, MEMBER)
    for partition in range(3):
        produce(cluster.member.bootstrap, "led", partition)
        assert consume(cluster.kafka.bootstrap, "led", partition) == [*range(RECORDS)]
    found = {path.name for path in cluster.member.data_dir.iterdir() if path.name.startswith("led-")}
    assert found == {"led-0", "led-2"}
    state = tree_at(cluster.connect, "/brokers/topics/led/partitions/0/state")
    assert json.loads(state["/brokers/topics/led/partitions/0/state"].data or b"")["leader"] == MEMBER


def test_a_topic_grows_and_is_deleted(cluster: Cluster) -> None:
    cluster.create("gone", MEMBER)
    produce(cluster.member.bootstrap, "gone", 0)
    wait_for(
        cluster.admin.create_partitions([NewPartitions("gone", 3, replica_assignment=[[MEMBER], [KAFKA]])])
    )
    wait_until(lambda: cluster.leaders("gone") == [MEMBER, MEMBER, KAFKA], "it does not grow", seconds=30)
    wait_for(cluster.admin.delete_topics(["gone"]))
    wait_until(lambda: cluster.leaders("gone") is None, "it is still shown", seconds=30)
    wait_until(
        lambda: "/brokers/topics/gone" not in tree_at(cluster.connect, "/brokers/topics"),
        "the controller does not hear that it is deleted",
        seconds=30,
    )
    assert [
        path for path in cluster.member.data_dir.glob("gone-*") if not path.name.endswith("-delete")
    ] == []
    # Another one of its name is another one.
    cluster.create("gone", MEMBER)
    produce(cluster.member.bootstrap, "gone", 0)
    assert consume(cluster.kafka.bootstrap, "gone", 0) == [*range(RECORDS)]


def test_what_it_leads_is_there_after_a_kill(cluster: Cluster) -> None:
    cluster.create("kept", MEMBER)
    produce(cluster.member.bootstrap, "kept", 0)
    cluster.member.kill()
    cluster.member.start(timeout=60)
    wait_until(lambda: cluster.leaders("kept") == [MEMBER], "it is not led again", seconds=60)
    produce(cluster.member.bootstrap, "kept", 0)
    assert consume(cluster.kafka.bootstrap, "kept", 0, 2 * RECORDS) == [*range(RECORDS)] * 2


def test_settings_that_others_change_are_in_force(cluster: Cluster) -> None:
    cluster.create("settings", MEMBER, configs={"retention.ms": "5000000"})

    def described() -> dict[str, str]:
        resource = ConfigResource(ConfigResource.Type.TOPIC, "settings")
        admin = AdminClient({"bootstrap.servers": cluster.member.bootstrap})
        (future,) = admin.describe_configs([resource]).values()
        return {name: entry.value for name, entry in future.result(30).items()}

    assert described()["retention.ms"] == "5000000"
    entry = ConfigEntry("max.message.bytes", "100", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, "settings", incremental_configs=[entry])
    wait_for(cluster.admin.incremental_alter_configs([resource]))
    wait_until(lambda: described()["max.message.bytes"] == "100", "the change is not seen", seconds=30)
    producer = Producer({"bootstrap.servers": cluster.member.bootstrap})
    codes: list[str] = []
    producer.produce("settings", bytes(1000), on_delivery=lambda error, _: codes.append(error.name()))
    producer.flush(30)
    assert codes == ["MSG_SIZE_TOO_LARGE"]
