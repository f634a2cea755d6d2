"""Kafka's own tools run the same script against Apache Kafka and fastlog: every line of output is the same.

Only what cannot be the same is evened out: addresses, ids, paths, moments, and the words in which a broker
explains an error. That an error is one, its class where the tool prints it, and the exit status are compared.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.compat.tool_script import FIRST_TIME, Step, records_and_offsets, running_group, settings, topics
from tests.compat.tool_session import ToolSession
from tests.harness.broker_process import BrokerProcess
from tests.peers.apache_kafka import CONSUMER_GROUPS, KAFKA_3, ApacheKafka
from tests.peers.kcat import kcat

pytestmark = [pytest.mark.java, pytest.mark.timeout(180)]

SETTINGS = {"offsets.topic.num.partitions": "1", "group.initial.rebalance.delay.ms": "0"}
# Traces, loggers, and a setting of our own.
_NOISE = re.compile(r"\s*(at |\.\.\. \d+ more|SLF4J|log4j:|fastlog\.durability=)|\s*$")
_EVENED = (
    (re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\]"), "[TIME]"),
    (re.compile(r"(TopicId: )\S+"), r"\1ID"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "UUID"),
    (re.compile(r"(Error while executing [\w-]+ command ?:) .*"), r"\1 TEXT"),
    (re.compile(r"(org\.apache\.kafka\.(?:\w+\.)+\w+Exception):? .*"), r"\1"),
    (re.compile(r'"size":[1-9]\d*'), '"size":SOME'),
    (re.compile(r" {2,}"), "  "),
)


@dataclass
class Pair:
    """The two brokers, and the tools of one release."""

    tools: ToolSession
    kafka: ApacheKafka
    fastlog: BrokerProcess

    @property
    def both(self) -> tuple[ApacheKafka | BrokerProcess, ...]:
        """Kafka first."""
        return self.kafka, self.fastlog

    def compare(self, steps: Sequence[Step]) -> None:
        """Runs every step against both; shows all differences at once."""
        different = []
        for step in steps:
            kafka, fastlog = (self.outcome(step, broker) for broker in self.both)
            if kafka != fastlog:
                different.append(f"{step}\n  Kafka:   {kafka}\n  fastlog: {fastlog}")
        assert not different, "\n".join(different)

    def outcome(self, step: Step, broker: ApacheKafka | BrokerProcess) -> tuple[int, list[str], list[str]]:
        """(exit status, lines of stdout, of stderr), evened out. Tables may list their rows in any order."""
        # Five seconds are little on a machine that has much to do.
        patient = ("--timeout", "60000") if step.tool == CONSUMER_GROUPS else ()
        result = self.tools.run(step.tool, "--bootstrap-server", broker.bootstrap, *step.words, *patient)

        def lines(text: str) -> list[str]:
            evened = (even(line, broker) for line in text.splitlines())
            return sorted(line for line in evened if not _NOISE.match(line))

        return result.status, lines(result.out), lines(result.err)


def even(text: str, broker: ApacheKafka | BrokerProcess) -> str:
    """Without what belongs to this one broker."""
    text = text.replace(broker.bootstrap, "BROKER").replace(str(broker.data_dir), "DATA")
    text = re.sub(rf"\b{broker.port}\b", "PORT", text)
    for pattern, replacement in _EVENED:
        text = pattern.sub(replacement, text)
    if text.startswith('{"brokers"'):
        # Log directories list their partitions in any order.
        return "".join(sorted(re.split(r'(?=\{"partition")|,(?=\{"partition")|(?=\])', text)))
    return text


@pytest.fixture(scope="module", params=[KAFKA_3])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A Kafka, a fastlog with the same settings, and the tools of Kafka's release."""
    version: str = request.param
    directory = tmp_path_factory.mktemp(f"tools-{version}")
    kafka = ApacheKafka(directory / "kafka", version=version, settings=SETTINGS, heap="256m")
    # The JVM of the tools starts meanwhile.
    with ToolSession(version) as tools, BrokerProcess(directory / "fastlog", settings=SETTINGS) as fastlog:
        try:
            kafka.start()
            yield Pair(tools, kafka, fastlog)
        finally:
            kafka.kill()


def test_topics(pair: Pair) -> None:
    """The later tests use the topics of this one, as a user would."""
    pair.compare(topics())


def test_configs(pair: Pair) -> None:
    """Of topics, of a broker, and of all brokers."""
    pair.compare(settings())


def test_records_and_offsets(pair: Pair, tmp_path: Path) -> None:
    """Ten records in each partition; some are deleted."""
    for broker in pair.both:
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        for partition in (0, 1, 2):
            for index in range(10):
                moment = FIRST_TIME + 1000 * index
                producer.produce("clicks", f"value {index}", partition=partition, timestamp=moment)
        assert producer.flush(30) == 0
    pair.compare(records_and_offsets(tmp_path))


def test_groups(pair: Pair, tmp_path: Path) -> None:
    """A group with a member, and one without."""
    consumers = []
    try:
        for broker in pair.both:
            consumer = Consumer(
                {
                    "bootstrap.servers": broker.bootstrap,
                    "group.id": "active",
                    "client.id": "reader",
                    "auto.offset.reset": "earliest",
                    "enable.auto.commit": False,
                    "partition.assignment.strategy": "range",
                }
            )
            consumers.append(consumer)
            consumer.subscribe(["clicks"])
            assert consumer.consume(1, timeout=60), "it has joined"
            # What comes first is chance; what is committed is not.
            positions = [TopicPartition("clicks", 0, 7), TopicPartition("clicks", 2, 3)]
            consumer.commit(offsets=positions, asynchronous=False)
        pair.compare(running_group(tmp_path))
    finally:
        for consumer in consumers:
            consumer.close()


@pytest.mark.parametrize("words", [[], ["-t", "clicks"], ["-t", "never"], ["-J"]])
def test_kcat_lists_the_same(pair: Pair, words: list[str]) -> None:
    command, environment = kcat()
    listings = []
    for broker in pair.both:
        done = subprocess.run(
            [command, "-b", broker.bootstrap, "-L", "-X", "allow.auto.create.topics=false", *words],
            capture_output=True,
            text=True,
            env=environment,
            timeout=60,
            check=False,
        )
        listings.append((done.returncode, listing(even(done.stdout, broker))))
    assert listings[1] == listings[0]
    assert listings[0][1]


def listing(text: str) -> list[str]:
    """The lines of a listing in a fixed order; JSON is taken apart, as its topics come in any order."""
    pieces = re.split(r'(?=\{"topic")', text) if text.startswith("{") else text.splitlines()
    return sorted(re.sub(r"\]\}$|,$", "", re.sub(r"\d+ms|from broker \S+ .*", "", piece)) for piece in pieces)
