"""`fastlog produce` and `consume` against Apache Kafka 3.9 and 4.3 and against fastlog, beside kcat."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Producer as ConfluentProducer

from fastlog.client import Cluster
from fastlog.client.consumer import BEGINNING, END, Reader
from fastlog.client.metadata import TopicPartition
from fastlog.client.partitioner import partition_of_key
from fastlog.client.producer import AsyncProducer, ProducerConfig
from tests.compat.client_programs import CODECS
from tests.harness.broker_process import BrokerProcess
from tests.harness.cli import fastlog
from tests.harness.dataset import Record, records
from tests.peers.apache_kafka import KAFKA_3, KAFKA_4, ApacheKafka
from tests.peers.kcat import kcat

pytestmark = [pytest.mark.timeout(180)]

FORMAT = r"%t|%p|%o|%T|%k|%K|%s|%S|%h|%R|%%\n"
LINES = b"".join(b"key%d:value %d\n" % (number % 17, number) for number in range(3000))


@dataclass
class Peer:
    """A broker of some kind."""

    bootstrap: str


KAFKAS = [
    pytest.param(KAFKA_3, id="kafka-3", marks=[pytest.mark.java, pytest.mark.whole]),
    pytest.param(KAFKA_4, id="kafka-4", marks=pytest.mark.java),
]
# fastlog serves no transactional producers yet.
serves_transactions = pytest.mark.parametrize("peer", KAFKAS, indirect=True)


@pytest.fixture(scope="module", params=[pytest.param("fastlog", id="fastlog"), *KAFKAS])
def peer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    directory: Path = tmp_path_factory.mktemp("produce-consume")
    # The data set carries timestamps of years ago, and a record of 1 MB.
    settings = {"num.partitions": "3", "log.retention.ms": "-1", "message.max.bytes": "2000000"}
    if request.param == "fastlog":
        with BrokerProcess(directory, settings=settings) as broker:
            yield Peer(broker.bootstrap)
    else:
        with ApacheKafka(directory, version=request.param, settings=settings, heap="400m") as kafka:
            yield Peer(kafka.bootstrap)


def run_kcat(peer: Peer, *args: str, stdin: bytes = b"") -> bytes:
    command, environment = kcat()
    done = subprocess.run(
        [command, "-b", peer.bootstrap, "-q", *args],
        input=stdin,
        env=environment,
        capture_output=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def by_line(data: bytes) -> list[bytes]:
    """Partitions come in any order."""
    return sorted(data.split(b"\n"))


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_kcat_and_fastlog_read_what_fastlog_sent_alike(peer: Peer, codec: str) -> None:
    topic = f"sent-by-fastlog-{codec}"
    args = ["-K", ":", "-H", "name=value", "-H", "null", "-z", codec]
    fastlog("produce", topic, *args, stdin=LINES, bootstrap=peer.bootstrap)
    ours = fastlog("consume", topic, "-e", "-f", FORMAT, bootstrap=peer.bootstrap).stdout
    theirs = run_kcat(peer, "-C", "-t", topic, "-e", "-f", FORMAT)
    assert by_line(ours) == by_line(theirs)
    assert ours.count(b"|%\n") == 3000
    plain = fastlog("consume", topic, "-e", "-K", ":", bootstrap=peer.bootstrap).stdout
    assert by_line(plain) == by_line(LINES)


@pytest.mark.parametrize("codec", CODECS)
async def test_reads_what_kcat_sent_and_puts_keys_into_the_same_partitions(peer: Peer, codec: str) -> None:
    topic = f"sent-by-kcat-{codec}"
    # librdkafka's own default for keys is another hash; this one is the Java client's.
    how = ["-K", ":", "-z", codec, "-X", "topic.partitioner=murmur2_random"]
    run_kcat(peer, "-P", "-t", topic, *how, stdin=LINES)
    async with Cluster(peer.bootstrap) as cluster, Reader(cluster) as consumer:
        await consumer.assign({TopicPartition(topic, index): BEGINNING for index in range(3)}, until=END)
        got = [record async for record in consumer]
    assert sorted(b"%s:%s" % (record.key, record.value) for record in got) == sorted(LINES.splitlines())
    assert {record.partition for record in got} == {0, 1, 2}
    for record in got:
        assert record.partition == partition_of_key(record.key or b"", 3)


@pytest.mark.parametrize("codec", CODECS)
async def test_nulls_headers_large_records_and_times_come_back_as_they_were(peer: Peer, codec: str) -> None:
    topic = f"dataset-{codec}"
    sent = list(records(300, start=19_800))
    async with Cluster(peer.bootstrap) as cluster:
        config = ProducerConfig(compression_type=codec, max_request_size=1 << 21)
        async with AsyncProducer.of(config, cluster) as producer:
            for item in sent:
                await producer.enqueue(
                    topic,
                    item.value,
                    key=item.key,
                    headers=item.headers,
                    timestamp_ms=item.timestamp,
                    partition=0,
                )
        async with Reader(cluster) as consumer:
            await consumer.assign({TopicPartition(topic, 0): BEGINNING}, until=END)
            got = [record async for record in consumer]
    assert [Record(item.timestamp, item.key, item.value, item.headers) for item in got] == sent
    assert [item.offset for item in got] == list(range(300))
    lengths = run_kcat(peer, "-C", "-t", topic, "-e", "-f", r"%T %K %S\n")
    assert lengths.split() == [
        b"%d" % number
        for item in sent
        for number in (item.timestamp, *(-1 if part is None else len(part) for part in item[1:3]))
    ]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (["-O", "-4"], ["-o", "-4"]),
        (["-O", "7"], ["-o", "7"]),
        (["-O", "end"], ["-o", "end"]),
        (["-O", "@1700000000005"], ["-o", "s@1700000000005"]),
        (
            ["-O", "s@1700000000003", "-O", "e@1700000000008"],
            ["-o", "s@1700000000003", "-o", "e@1700000000008"],
        ),
        (["-c", "5"], ["-c", "5"]),
    ],
    ids=lambda value: " ".join(value),
)
async def test_positions_mean_what_they_mean_to_kcat(peer: Peer, ours: list[str], theirs: list[str]) -> None:
    topic = "positions"
    async with Cluster(peer.bootstrap) as cluster:
        metadata = await cluster.metadata([topic])
        if not metadata.topics[topic].partitions:
            async with AsyncProducer.of(ProducerConfig(batch_size=200), cluster) as producer:
                for number in range(10):
                    producer.send(topic, b"%d" % number, partition=0, timestamp_ms=1_700_000_000_000 + number)
    here = ["consume", topic, "-p", "0", "-f", r"%o %T %s\n", *ours]
    if not any("e@" in text for text in ours):
        here.append("-e")
    there = ["-C", "-t", topic, "-p", "0", "-e", "-f", r"%o %T %s\n", *theirs]
    assert fastlog(*here, bootstrap=peer.bootstrap).stdout == run_kcat(peer, *there)


def test_tombstones_and_empty_values(peer: Peer) -> None:
    fastlog("produce", "tombs", "-K", ":", "-Z", "-p", "1", stdin=b"a:1\na:\n", bootstrap=peer.bootstrap)
    fastlog("produce", "tombs", "-K", ":", "-p", "1", stdin=b"b:\n", bootstrap=peer.bootstrap)
    for reader in (
        lambda *args: run_kcat(peer, "-C", "-t", "tombs", *args),
        lambda *args: fastlog("consume", "tombs", *args, bootstrap=peer.bootstrap).stdout,
    ):
        assert reader("-e", "-f", r"%k=%s %S\n") == b"a=1 1\na= -1\nb= 0\n"


@serves_transactions
def test_records_of_aborted_transactions_are_left_out_when_asked(peer: Peer) -> None:
    topic = "transactions"
    fastlog("produce", topic, "-p", "0", stdin=b"before\n", bootstrap=peer.bootstrap)
    producer = ConfluentProducer(
        {"bootstrap.servers": peer.bootstrap, "transactional.id": "writer", "linger.ms": 0}
    )
    producer.init_transactions(30)

    def transaction(end: Callable[[float], None], *values: bytes) -> None:
        producer.begin_transaction()
        for value in values:
            producer.produce(topic, value, partition=0)
            producer.flush(30)
        end(30)

    transaction(producer.commit_transaction, b"committed 1", b"committed 2")
    transaction(producer.abort_transaction, b"aborted 1", b"aborted 2")
    transaction(producer.commit_transaction, b"committed 3")
    transaction(producer.abort_transaction, b"aborted 3")
    fastlog("produce", topic, "-p", "0", stdin=b"after\n", bootstrap=peer.bootstrap)
    args = ["consume", topic, "-e", "-p", "0"]
    committed = fastlog(*args, "--isolation", "read_committed", bootstrap=peer.bootstrap).stdout
    assert committed.split(b"\n")[:-1] == [
        b"before",
        b"committed 1",
        b"committed 2",
        b"committed 3",
        b"after",
    ]
    # From the middle of an aborted transaction, whose start the reader never sees.
    late = fastlog(*args, "-O", "5", "--isolation", "read_committed", bootstrap=peer.bootstrap).stdout
    assert late.split(b"\n")[:-1] == [b"committed 3", b"after"]
    everything = fastlog(*args, bootstrap=peer.bootstrap).stdout
    assert everything.split() == (
        b"before committed 1 committed 2 aborted 1 aborted 2 committed 3 aborted 3 after".split()
    )


@serves_transactions
def test_an_open_transaction_hides_what_is_behind_it(peer: Peer) -> None:
    topic = "open-transaction"
    fastlog("produce", topic, "-p", "0", stdin=b"before\n", bootstrap=peer.bootstrap)
    producer = ConfluentProducer({"bootstrap.servers": peer.bootstrap, "transactional.id": "opener"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, b"open", partition=0)
    producer.flush(30)
    fastlog("produce", topic, "-p", "0", stdin=b"after\n", bootstrap=peer.bootstrap)
    args = ["consume", topic, "-e", "-p", "0"]
    committed = fastlog(*args, "--isolation", "read_committed", bootstrap=peer.bootstrap).stdout
    assert committed == b"before\n"
    producer.commit_transaction(30)
    committed = fastlog(*args, "--isolation", "read_committed", bootstrap=peer.bootstrap).stdout
    assert committed == b"before\nopen\nafter\n"
