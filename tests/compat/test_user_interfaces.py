"""What Kafdrop, AKHQ and kafka-ui ask, to Apache Kafka and to us: they are to show the same.

None of them comes as a package: `UserInterface.java` has the calls of their sources, with Kafka's Java
client. Topics and groups are listed and described, records are browsed, offsets are reset, topics are made
and changed.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.harness.app_process import java_command
from tests.harness.broker_process import BrokerProcess
from tests.peers.apache_kafka import ApacheKafka
from tests.peers.log_tools import log4j_class_path
from tests.peers.maven import compiled, java

pytestmark = [pytest.mark.java, pytest.mark.slow, pytest.mark.whole, pytest.mark.timeout(240)]

PARTITIONS: Final = 3
RECORDS: Final = 30
BEGIN: Final = 1_700_000_000_000
"""Timestamp of the first record; the others follow by a second each."""
SOURCE: Final = Path(__file__).parent / "clients" / "UserInterface.java"
SETTINGS: Final = {
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "2",
    "log.retention.ms": "-1",
    "node.id": "1",
}


@pytest.fixture(scope="module")
def bootstraps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Kafka's, ours."""
    directory = tmp_path_factory.mktemp("interfaces")
    with (
        ApacheKafka(directory / "kafka", settings=SETTINGS, heap="384m", quick=True) as kafka,
        BrokerProcess(directory / "fastlog", settings=SETTINGS) as fastlog,
    ):
        yield kafka.bootstrap, fastlog.bootstrap
        assert "Traceback" not in fastlog.log_text, fastlog.log_text[-4000:]


def fill(bootstrap: str, topic: str, group: str) -> None:
    """Records in all partitions, and a group without members that has read half of them."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "log_level": 2})
    for number in range(RECORDS):
        key, value = b"key %d" % number, b"%d" % number
        producer.produce(topic, value, key, number % PARTITIONS, timestamp=BEGIN + number * 1000)
    assert producer.flush(60) == 0
    settings = {"bootstrap.servers": bootstrap, "group.id": group, "log_level": 2}
    consumer = Consumer({**settings, "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.subscribe([topic])
    found = 0
    while found < RECORDS:
        messages = consumer.consume(RECORDS, timeout=1)
        assert not any(message.error() for message in messages)
        found += len(messages)
    half = RECORDS // PARTITIONS // 2
    consumer.commit(
        offsets=[TopicPartition(topic, number, half) for number in range(PARTITIONS)], asynchronous=False
    )
    consumer.close()


def shown(bootstrap: str, interface: str) -> list[str]:
    """What its program says, line by line."""
    topic, group = f"orders-{interface}", f"shop-{interface}"
    fill(bootstrap, topic, group)
    classes = compiled(SOURCE, log4j_class_path())
    middle = str(BEGIN + RECORDS // 2 * 1000)
    command = java_command(java(), classes, SOURCE.stem, bootstrap, interface, topic, group, middle)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout.splitlines()


@pytest.mark.parametrize("interface", ["kafdrop", "akhq", "kafka-ui"])
def test_same_answers(bootstraps: tuple[str, str], interface: str) -> None:
    """Listed, browsed and reset the same."""
    theirs, ours = (shown(bootstrap, interface) for bootstrap in bootstraps)
    assert ours == theirs
    assert ours[-1] == "done"
