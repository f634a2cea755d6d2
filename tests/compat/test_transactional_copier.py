"""Kafka's TransactionalMessageCopier: it consumes, produces and commits in one transaction.

Kafka's own system tests do the same with it: copiers of one group abort a third of their transactions, and
they and the broker are killed at work.
"""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka import Producer

from tests.compat.careless_broker import HOW, SAID
from tests.compat.exactly_once import NEW, OLD, Committed, ExactlyOnceBroker
from tests.harness.app_process import AppProcess, java_command
from tests.peers.apache_kafka import KAFKA_3, KAFKA_4, JavaTools

pytestmark = [pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(600)]

PARTITIONS: Final = 2
MESSAGES: Final = 6000
MAIN: Final = "org.apache.kafka.tools.TransactionalMessageCopier"


class Copiers:
    """Messages in one topic, and copiers of one group that copy them to another."""

    def __init__(self, broker: ExactlyOnceBroker, version: str) -> None:
        self._broker = broker
        self._tools = JavaTools(version)
        self._starts = 0
        for topic in ("in", "out"):
            broker.create(topic, PARTITIONS)
        producer = Producer({"bootstrap.servers": broker.address, "log_level": 2})
        for number in range(MESSAGES):
            producer.produce("in", b"%d" % number, partition=number % PARTITIONS)
        assert producer.flush(60) == 0
        self.out = Committed(broker.address, "out", PARTITIONS)

    def start(self, name: str) -> AppProcess:
        """One copier, with a transactional id of its own. It ends when all is copied."""
        self._starts += 1
        arguments = {
            "--broker-list": self._broker.address,
            "--input-topic": "in",
            "--input-partition": "-1",
            "--output-topic": "out",
            "--consumer-group": "copiers",
            "--transactional-id": name,
            "--transaction-size": "50",
            "--transaction-timeout": "10000",
        }
        flags = ("--group-mode", "--use-group-metadata", "--enable-random-aborts")
        words = [word for pair in arguments.items() for word in pair]
        command = java_command(self._tools.java, self._tools.class_path, MAIN, *words, *flags)
        return AppProcess(command, self._broker.directory / f"{name}-{self._starts}.log")

    def check(self) -> None:
        """Each message of a partition is there once, in order."""
        for partition, found in enumerate(self.out.close()):
            numbers = [int(value or b"") for _, value in found]
            expected = list(range(partition, MESSAGES, PARTITIONS))
            assert numbers == expected, differences(numbers, expected)


def differences(found: list[int], expected: list[int]) -> str:
    """What is missing and what is there twice."""
    missing = sorted(set(expected) - set(found))
    twice = sorted({number for number in found if found.count(number) > 1})
    return f"{len(missing)} missing: {missing[:5]}, {len(twice)} more than once: {twice[:5]}"


def run(broker: ExactlyOnceBroker, version: str, seconds: float = 180) -> Copiers:
    """Two copiers at work; one of them is killed, started again, then the broker is killed."""
    copiers = Copiers(broker, version)
    with ExitStack() as stack:

        def start(name: str) -> AppProcess:
            return stack.enter_context(copiers.start(name))

        one, two = start("one"), start("two")
        copiers.out.wait(1, lambda: f"{one.text[-2000:]}\n{two.text[-2000:]}")
        broker.stop_at_work(one, "out", lambda: None)
        one.kill()
        again = start("one")
        seen = copiers.out.follow()
        copiers.out.wait(seen + 200, lambda: f"{again.text[-2000:]}\n{two.text[-2000:]}")
        broker.restart_at_work("out", lambda: None)
        copiers.out.wait(MESSAGES, lambda: f"{again.text[-2000:]}\n{two.text[-2000:]}", seconds=seconds)
        for copier in (again, two):
            assert copier.process.wait(60) == 0, copier.text[-4000:]
            assert json.loads(copier.text.splitlines()[-1])["remaining"] == 0
    return copiers


@pytest.mark.parametrize(
    ("version", "level"),
    [
        pytest.param(KAFKA_3, NEW),
        pytest.param(KAFKA_4, NEW, marks=pytest.mark.whole),
        pytest.param(KAFKA_4, OLD, marks=pytest.mark.whole),
    ],
)
def test_each_message_is_copied_once(tmp_path: Path, version: str, level: int) -> None:
    with ExactlyOnceBroker(tmp_path, level) as broker:
        copiers = run(broker, version)
        broker.check_nothing_is_open("out")
        copiers.check()
        broker.check_something_is_hidden("out", copiers.out.found)
        broker.check_protocol(new=level == NEW and version == KAFKA_4)


@pytest.mark.whole
@pytest.mark.parametrize("careless", HOW)
def test_the_checks_see_what_a_careless_broker_does(tmp_path: Path, careless: str) -> None:
    with ExactlyOnceBroker(tmp_path, careless=careless) as broker, pytest.raises(AssertionError) as failure:
        run(broker, KAFKA_4, seconds=60).check()
    assert re.search(SAID[careless], str(failure.value)), failure.value
