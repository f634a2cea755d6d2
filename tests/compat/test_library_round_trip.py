"""The library with every other client, record by record, on fastlog and on Apache Kafka 2.8, 3.9 and 4.

What the library sends all others read, and what they send it reads, as records and as columns: in order, with
nulls, headers, empty and 1 MB records, in every codec, a million records each way on every broker.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.compat.client_programs import (
    AIOKAFKA,
    CODECS,
    CONFLUENT,
    FASTLOG,
    FASTLOG_COLUMNS,
    JAVA_3,
    JAVA_4,
    KAFKA_PYTHON_3_CLIENT,
    ClientProgram,
)
from tests.harness.broker_process import BrokerProcess
from tests.harness.dataset import first_difference, records, write_file
from tests.peers.apache_kafka import KAFKA_2, KAFKA_3, KAFKA_4, ApacheKafka, KafkaOnZooKeeper
from tests.peers.zookeeper import ZooKeeperServer

BOTH = {"rows": FASTLOG, "columns": FASTLOG_COLUMNS}
# Records per codec; with five codecs a million in all.
OTHERS: dict[str, tuple[ClientProgram, int]] = {
    "confluent": (CONFLUENT, 80_000),
    "java-3": (JAVA_3, 50_000),
    "java-4": (JAVA_4, 40_000),
    "kafka-python": (KAFKA_PYTHON_3_CLIENT, 15_000),
    "aiokafka": (AIOKAFKA, 15_000),
}
MILLION = 1_000_000

pytestmark = [pytest.mark.timeout(1200), pytest.mark.java, pytest.mark.whole]

BROKERS = [
    pytest.param("fastlog", id="fastlog"),
    pytest.param(KAFKA_2, id="kafka-2"),
    pytest.param(KAFKA_3, id="kafka-3"),
    pytest.param(KAFKA_4, id="kafka-4"),
]


@pytest.fixture(scope="module", params=BROKERS)
def servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory: Path = tmp_path_factory.mktemp("library-round-trip")
    # The records carry timestamps of years ago.
    settings = {"log.retention.ms": "-1", "num.partitions": "1"}
    with ExitStack() as ending:
        broker: BrokerProcess | ApacheKafka
        if request.param == "fastlog":
            broker = BrokerProcess(directory, settings=settings)
        elif request.param == KAFKA_2:
            zookeeper = ending.enter_context(ZooKeeperServer(directory / "zookeeper"))
            broker = KafkaOnZooKeeper(
                directory / "kafka", zookeeper.address, version=KAFKA_2, settings=settings
            )
        else:
            broker = ApacheKafka(directory, version=request.param, settings=settings, heap="512m")
        ending.enter_context(broker)
        yield broker.bootstrap


def test_a_million_records_in_all() -> None:
    """The table above keeps the promise of this module."""
    assert sum(count for _, count in OTHERS.values()) * len(CODECS) == MILLION


@pytest.mark.parametrize("way", BOTH)
@pytest.mark.parametrize("codec", CODECS)
def test_what_the_library_sends_all_others_read(servers: str, codec: str, way: str, tmp_path: Path) -> None:
    """All of them."""
    count = MILLION // len(CODECS) // len(BOTH)
    topic = f"sent-{way}-{codec}"
    sent = send(BOTH[way], servers, topic, codec, count, tmp_path)
    for reader, _ in OTHERS.values():
        check(reader, servers, topic, codec, count, sent)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("name", OTHERS)
def test_what_others_send_the_library_reads(servers: str, name: str, codec: str, tmp_path: Path) -> None:
    """As records and as columns."""
    sender, count = OTHERS[name]
    topic = f"read-{name}-{codec}"
    sent = send(sender, servers, topic, codec, count, tmp_path)
    for reader in BOTH.values():
        check(reader, servers, topic, codec, count, sent)


def send(client: ClientProgram, servers: str, topic: str, codec: str, count: int, directory: Path) -> Path:
    """Sends records, of which one of the first is of 1 MB; the file of them."""
    sent = directory / "sent"
    start = CODECS.index(codec) * 1000 + 15_000
    write_file(sent, records(count, start=start, every_null=client.every_null))
    client.run("produce", sent, bootstrap=servers, topic=topic, codec=codec, count=count, timeout=300)
    return sent


def check(client: ClientProgram, servers: str, topic: str, codec: str, count: int, sent: Path) -> None:
    """Has a client read them all."""
    got = sent.with_name("got")
    client.run("consume", got, bootstrap=servers, topic=topic, codec=codec, count=count, timeout=300)
    difference = first_difference(sent, got)
    assert difference is None, f"{client.name} read {topic}: {difference}"
