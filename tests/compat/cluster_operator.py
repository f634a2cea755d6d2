"""What an operator and applications do to a broker, and all that it then tells of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
)

from fastlog.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)
from tests.harness.link import Link
from tests.harness.waiting import wait_until

RECORDS: Final = 100
TOPIC: Final = ConfigResource.Type.TOPIC
BROKER: Final = ConfigResource.Type.BROKER
GROUP: Final = ConfigResource.Type.GROUP
BROKER_RESOURCE: Final = 4
"""On the wire."""
_DYNAMIC: Final = {
    TOPIC: {ConfigSource.DYNAMIC_TOPIC_CONFIG.value},
    BROKER: {
        ConfigSource.DYNAMIC_BROKER_CONFIG.value,
        ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG.value,
    },
    GROUP: {ConfigSource.GROUP_CONFIG.value},
}


class Operator:
    """Works on the broker at `bootstrap`."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})

    def create(self, *topics: NewTopic, seconds: float = 30) -> None:
        """Makes topics. Raises KafkaException."""
        wait_for(self.admin.create_topics([*topics], request_timeout=seconds), seconds)

    def delete(self, *names: str) -> None:
        """Deletes topics."""
        wait_for(self.admin.delete_topics([*names]))

    def grow(self, name: str, total: int) -> None:
        """Gives a topic more partitions."""
        wait_for(self.admin.create_partitions([NewPartitions(name, total)]))

    def alter(self, kind: ConfigResource.Type, name: str, key: str, value: str | None) -> None:
        """Sets an override, or (None) removes it."""
        if not name:
            self._alter_all_brokers(key, value)
            return
        op = AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
        entry = ConfigEntry(key, value or "", incremental_operation=op)
        resource = ConfigResource(kind, name, incremental_configs=[entry])
        wait_for(self.admin.incremental_alter_configs([resource]))

    def _alter_all_brokers(self, key: str, value: str | None) -> None:
        """The same for <default>, which librdkafka has no name for."""
        change = AlterableConfig(name=key, config_operation=value is None, value=value)
        resource = AlterConfigsResource(BROKER_RESOURCE, "", [change])
        request = IncrementalAlterConfigsRequest(resources=[resource])
        with Link(int(self.bootstrap.rsplit(":", 1)[1])) as link:
            answer = link.call(request, 1)
        assert isinstance(answer, IncrementalAlterConfigsResponse)
        assert [row.error_code for row in answer.responses] == [0]

    def topics(self) -> set[str]:
        """Their names."""
        return set(self.admin.list_topics(timeout=30).topics)

    def wait_until_it_serves(self, seconds: float = 60) -> None:
        """Returns when it answers."""

        def look() -> bool:
            try:
                self.admin.list_topics(timeout=2)
            except Exception:  # noqa: BLE001 - whatever librdkafka says meanwhile
                return False
            return True

        wait_until(look, f"{self.bootstrap} does not answer", seconds=seconds)

    def produce(self, topic: str, count: int = RECORDS, **settings: object) -> None:
        """Appends `count` records."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "acks": "all", **settings})
        failures: list[object] = []
        for number in range(count):
            producer.produce(
                topic,
                str(number).encode(),
                key=str(number).encode(),
                on_delivery=lambda error, _: failures.append(error) if error else None,
            )
        assert producer.flush(60) == 0
        assert failures == []

    def consume(self, topic: str, group: str, count: int = RECORDS) -> None:
        """Reads `count` records from where the group is, and commits."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        consumer.subscribe([topic])
        seen = 0
        try:
            while seen < count:
                messages = consumer.consume(count - seen, 30.0)
                assert messages, f"{seen} records of {count}"
                assert [message.error() for message in messages if message.error()] == []
                seen += len(messages)
            consumer.commit(asynchronous=False)
        finally:
            consumer.close()

    def described(self) -> dict[str, Any]:
        """Topics, their ids, partitions and configs; configs of brokers and groups; commits; end offsets."""
        names = sorted(self.topics())
        topics: dict[str, Any] = {}
        if names:
            for name, future in self.admin.describe_topics(TopicCollection(names)).items():
                told = future.result(30)
                partitions = [
                    (
                        entry.id,
                        entry.leader.id,
                        [node.id for node in entry.replicas],
                        [node.id for node in entry.isr],
                    )
                    for entry in told.partitions
                ]
                topics[name] = (str(told.topic_id), partitions)
        groups = sorted(group.group_id for group in self.admin.list_consumer_groups().result(30).valid)
        return {
            "topics": topics,
            "topic configs": {name: self.overrides(TOPIC, name) for name in names},
            "broker configs": self.overrides(BROKER, "1"),
            "group configs": {name: self.overrides(GROUP, name) for name in groups},
            "commits": {name: self._commits(name) for name in groups},
            "ends": {name: self._ends(name, len(topics[name][1])) for name in names},
        }

    def overrides(self, kind: ConfigResource.Type, name: str) -> dict[str, object]:
        """What is set at run time of one resource."""
        (future,) = self.admin.describe_configs([ConfigResource(kind, name)]).values()
        return {
            entry.name: entry.value
            for entry in sorted(future.result(30).values(), key=lambda entry: entry.name)
            if entry.source in _DYNAMIC[kind]
        }

    def _commits(self, group: str) -> list[tuple[str, int, int]]:
        (future,) = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]).values()
        return sorted(
            (entry.topic, entry.partition, entry.offset) for entry in future.result(30).topic_partitions
        )

    def _ends(self, topic: str, partitions: int) -> list[tuple[int, int]]:
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "nobody"})
        try:
            return [
                consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=30)
                for number in range(partitions)
            ]
        finally:
            consumer.close()


def wait_for(futures: Mapping[Any, Any], seconds: float = 60) -> None:
    """Raises what any of them raises."""
    for future in futures.values():
        future.result(seconds)


def change_everything(operator: Operator) -> None:
    """One of each kind of change; afterwards everything that can be stored is."""
    operator.create(*(NewTopic(name, 2, 1) for name in ("kept", "grown", "gone")))
    operator.create(NewTopic("settings", 1, 1, config={"retention.ms": "5000000"}))
    operator.grow("grown", 4)
    operator.alter(TOPIC, "kept", "cleanup.policy", "compact")
    operator.alter(TOPIC, "settings", "segment.ms", "7000000")
    operator.alter(BROKER, "1", "log.cleaner.threads", "2")
    operator.alter(BROKER, "", "log.retention.ms", "90000000")
    operator.alter(GROUP, "of-grown", "consumer.session.timeout.ms", "50000")
    operator.delete("gone")
    operator.produce("grown")
    operator.produce("kept", **{"enable.idempotence": True})
    operator.consume("grown", "of-grown", RECORDS // 2)
