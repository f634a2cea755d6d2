"""Kafka Streams with processing.guarantee=exactly_once_v2: what a word count says is said once for each word.

Without a cache an instance writes each count of a word: 1, 2, 3 and so on. A reader of what is committed is
given these numbers, each once and in order, though an instance is killed at work and its state lost, the
broker is killed, and an instance is held up until others have its tasks.
"""

from __future__ import annotations

import collections
import re
import shutil
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.compat.careless_broker import HOW, SAID
from tests.compat.exactly_once import NEW, OLD, Committed, ExactlyOnceBroker, Record
from tests.compat.exactly_once_cluster import ExactlyOnceCluster
from tests.compat.test_streams import APPLICATION, Application, Text
from tests.compat.tool_broker import Tally
from tests.compat.tool_places import ONE_AND_THREE_TRANSACTIONAL, Transactional
from tests.harness.app_process import AppProcess
from tests.peers.apache_kafka import KAFKA_3, KAFKA_4

pytestmark = [pytest.mark.counted, pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(1500)]

PARTITIONS: Final = 4
LINES: Final = 500
"""Of one step; each has ten words."""
_MOST_KILLS: Final = 5
"""What is open when an instance is stopped may be of the other one, which commits it."""
SETTINGS: Final = {
    "processing.guarantee": "exactly_once_v2",
    "statestore.cache.max.bytes": "0",
    # What an instance that never comes back has left open holds its partitions up for so long.
    "producer.transaction.timeout.ms": "6000",
}


class WordCounts:
    """Lines, the instances that count their words, and the counts."""

    def __init__(self, broker: Transactional, version: str, stack: ExitStack) -> None:
        for topic in ("lines", "counts"):
            broker.create(topic, PARTITIONS)
        self._application = Application(version, broker.address, broker.directory)
        self._settings = {**SETTINGS, "replication.factor": str(broker.replicas)}
        self._stack = stack
        self._instances: list[AppProcess] = []
        self._text = Text(broker.address)
        self.counts = Committed(broker.address, "counts", PARTITIONS)

    def start(self, name: str, *, anew: bool = False) -> AppProcess:
        """An instance, with the state that one of this name has left, or without."""
        if anew:
            shutil.rmtree(self._application.state_of(name))
        instance = self._stack.enter_context(self._application.start(name, self._settings))
        self._instances.append(instance)
        return instance

    def send(self) -> None:
        """Some more lines."""
        self._text.send(LINES)

    def sent(self) -> int:
        """How many words there are in the lines."""
        return sum(self._text.counts.values())

    def wait(self, *, seconds: float = 180) -> None:
        """Until there are as many counts as words."""
        self.counts.wait(self.sent(), self.words, seconds=seconds)

    def words(self) -> str:
        """The last ones of all instances."""
        return "\n".join(instance.text[-1500:] for instance in self._instances)

    def check(self) -> None:
        """Each count of each word is there once, in order, and what was counted before is what was kept."""
        for instance in self._instances:
            assert instance.lines("FAILED ") == []
        differences = differing(self.counts.close(), self._text.counts)
        assert not differences, f"{len(differences)} words differ: {differences[:5]}"


def differing(found: list[list[Record]], words: collections.Counter[str]) -> list[tuple[str, str]]:
    """Each word whose counts are not "1 1", "2 2" and so on, with the first wrong one."""
    told: dict[str, list[str]] = {word: [] for word in words}
    for key, value in (record for part in found for record in part):
        told[(key or b"").decode()].append((value or b"").decode())
    expected = {word: [f"{number} {number}" for number in range(1, last + 1)] for word, last in words.items()}
    return [
        (word, f"{len(told[word])} of {len(expected[word])}, {_first_difference(told[word], expected[word])}")
        for word in expected
        if told[word] != expected[word]
    ]


def _first_difference(found: list[str], expected: list[str]) -> str:
    pairs = zip(found, expected, strict=False)
    return next((f"{one} for {other}" for one, other in pairs if one != other), "cut off")


def run(broker: Transactional, version: str, *, zombies: bool, seconds: float = 180) -> WordCounts:
    """Two instances at work; the broker is killed, then one of them, which loses its state."""
    with ExitStack() as stack:
        application = WordCounts(broker, version, stack)
        application.send()
        one, two = application.start("one"), application.start("two")
        application.wait(seconds=seconds)
        broker.restart_at_work("counts", application.send)
        application.wait(seconds=seconds)
        for _ in range(_MOST_KILLS):
            broker.stop_at_work(one, "counts", application.send)
            one.kill()
            one = application.start("one", anew=True)
            application.wait(seconds=seconds)
            if broker.hidden("counts", application.counts.found):
                break
        if zombies:
            _hold_up(broker, application, two)
        assert one.close_input() == 0
        assert two.close_input() == 0
    return application


def _hold_up(broker: Transactional, application: WordCounts, instance: AppProcess) -> None:
    """An instance stands still at work, and goes on when its session is over and others have its tasks."""
    broker.stop_at_work(instance, "counts", application.send)
    application.send()
    application.wait()
    instance.process.send_signal(signal.SIGCONT)
    application.send()
    application.wait()


@pytest.mark.parametrize(
    ("brokers", "version", "level", "zombies"),
    [
        pytest.param(ExactlyOnceBroker, KAFKA_4, NEW, False),
        pytest.param(ExactlyOnceBroker, KAFKA_4, NEW, True, marks=pytest.mark.whole),
        pytest.param(ExactlyOnceBroker, KAFKA_4, OLD, True, marks=pytest.mark.whole),
        pytest.param(ExactlyOnceBroker, KAFKA_3, NEW, True, marks=pytest.mark.whole),
        pytest.param(ExactlyOnceCluster, KAFKA_4, NEW, True, marks=pytest.mark.whole),
    ],
)
def test_each_result_is_there_once(
    tmp_path: Path, tally: Tally, brokers: type[Transactional], version: str, level: int, zombies: bool
) -> None:
    with brokers(tmp_path, level) as broker:
        application = run(broker, version, zombies=zombies)
        broker.check_nothing_is_open("counts", f"{APPLICATION}-totals-changelog")
        application.check()
        application.counts.tell(tally, f"Kafka Streams {version}, exactly_once_v2", application.sent())
        broker.check_something_is_hidden("counts", application.counts.found)
        broker.check_protocol(new=level == NEW and version == KAFKA_4)


@pytest.mark.whole
@ONE_AND_THREE_TRANSACTIONAL
@pytest.mark.parametrize("careless", HOW)
def test_the_checks_see_what_a_careless_broker_does(
    tmp_path: Path, careless: str, brokers: type[Transactional]
) -> None:
    with brokers(tmp_path, careless=careless) as broker, pytest.raises(AssertionError) as failure:
        run(broker, KAFKA_4, zombies=False, seconds=90).check()
    assert re.search(SAID[careless], str(failure.value)), failure.value
