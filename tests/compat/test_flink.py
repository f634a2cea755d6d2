"""Flink's KafkaSource and its exactly-once KafkaSink: checkpoint, kill -9, resume.

A checkpoint decides what is committed; the sink commits when it hears of it. A job that dies in between
commits as it resumes, as a producer that it makes up from the id and the epoch in the checkpoint. Here it
dies twice just there: before the request has arrived, and after it was answered.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka import Producer

from fastlog.wire import ApiKey
from tests.compat.careless_broker import HOW, SAID
from tests.compat.exactly_once import NEW, OLD, Committed, ExactlyOnceBroker
from tests.compat.exactly_once_cluster import ExactlyOnceCluster
from tests.compat.tool_broker import Tally
from tests.compat.tool_places import ONE_AND_THREE_TRANSACTIONAL, Transactional
from tests.harness.app_process import AppProcess, java_command
from tests.harness.waiting import wait_until
from tests.peers.flink import FLINK_1, FLINK_2, Flink, flink_class_path
from tests.peers.maven import compiled, java

pytestmark = [pytest.mark.counted, pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(600)]

PARTITIONS: Final = 2
BLOCK: Final = 1000
"""Records of one step."""
SOURCE: Final = Path(__file__).parent / "clients" / "FlinkCopy.java"


class Copy:
    """Numbers in one topic, and the job that copies them to another."""

    def __init__(self, broker: Transactional, flink: Flink, naming: str) -> None:
        self._broker = broker
        self._class_path = compiled(SOURCE, flink_class_path(flink))
        self._settings = [f"naming={naming}"]
        self._producer = Producer({"bootstrap.servers": broker.address, "log_level": 2})
        self._checkpoints = broker.directory / "checkpoints"
        self._starts = 0
        self.sent = 0
        for topic in ("in", "out"):
            broker.create(topic, PARTITIONS)
        self.out = Committed(broker.address, "out", PARTITIONS)

    def send(self) -> None:
        """A block more."""
        for number in range(self.sent, self.sent + BLOCK):
            self._producer.produce("in", b"%d" % number, partition=number % PARTITIONS)
        assert self._producer.flush(60) == 0
        self.sent += BLOCK

    def start(self) -> AppProcess:
        """The job, from its last checkpoint if there is one."""
        self._starts += 1
        last = self.last_checkpoint()
        resume = [] if last is None else [f"execution.state-recovery.path=file://{last}"]
        command = java_command(
            java(),
            self._class_path,
            SOURCE.stem,
            *(self._broker.address, "in", "out", str(self._checkpoints)),
            *(*self._settings, *resume),
            flags=("--add-opens=java.base/java.util=ALL-UNNAMED",),
        )
        return AppProcess(command, self._broker.directory / f"flink-{self._starts}.log")

    def last_checkpoint(self) -> Path | None:
        """The directory of the last one that is whole."""
        whole = self._checkpoints.glob("*/chk-*/_metadata")
        return max((file.parent for file in whole), key=lambda path: path.stat().st_mtime_ns, default=None)

    def wait(self, job: AppProcess) -> None:
        """Until all that was sent has been committed."""
        self.out.wait(self.sent, lambda: job.text[-4000:])

    def check(self) -> None:
        """Nothing is lost or there twice."""
        found = sorted(int(value or b"") for part in self.out.close() for _, value in part)
        assert found == list(range(self.sent)), differences(found, self.sent)


def differences(found: list[int], count: int) -> str:
    """What is missing and what is there twice."""
    missing = sorted(set(range(count)) - set(found))
    twice = sorted({number for at, number in enumerate(found) if at and found[at - 1] == number})
    return f"{len(missing)} missing: {missing[:5]}, {len(twice)} more than once: {twice[:5]}"


def run(broker: Transactional, flink: Flink, naming: str) -> Copy:
    """The job is killed between checkpoint and commit, twice, and in a transaction; so is the broker."""
    copy = Copy(broker, flink, naming)
    copy.send()
    with copy.start() as job:
        copy.wait(job)
        broker.proxy.hold_requests(ApiKey.END_TXN)
        _kill_between(broker, copy, job)
    with copy.start() as job:
        # What was decided becomes visible, though nothing more comes in.
        copy.wait(job)
        broker.restart_at_work("out", copy.send)
        copy.wait(job)
        broker.proxy.hold_answers(ApiKey.END_TXN)
        _kill_between(broker, copy, job)
    with copy.start() as job:
        copy.wait(job)
        broker.stop_at_work(job, "out", copy.send)
    with copy.start() as job:
        copy.wait(job)
    return copy


def _kill_between(broker: Transactional, copy: Copy, job: AppProcess) -> None:
    """kill -9 between checkpoint and commit: the sink ends a transaction when the checkpoint is whole."""
    copy.send()
    wait_until(lambda: broker.proxy.held, lambda: f"no commit:\n{job.text[-4000:]}", seconds=60)
    job.kill()
    broker.proxy.release()


@pytest.mark.parametrize(
    ("brokers", "flink", "level", "naming"),
    [
        pytest.param(ExactlyOnceBroker, FLINK_2, NEW, "POOLING"),
        pytest.param(ExactlyOnceBroker, FLINK_2, NEW, "INCREMENTING", marks=pytest.mark.whole),
        pytest.param(ExactlyOnceBroker, FLINK_2, OLD, "INCREMENTING", marks=pytest.mark.whole),
        pytest.param(ExactlyOnceBroker, FLINK_1, NEW, "", marks=pytest.mark.whole),
        pytest.param(ExactlyOnceCluster, FLINK_2, NEW, "POOLING", marks=pytest.mark.whole),
    ],
)
def test_exactly_once(
    tmp_path: Path, tally: Tally, brokers: type[Transactional], flink: Flink, level: int, naming: str
) -> None:
    with brokers(tmp_path, level) as broker:
        copy = run(broker, flink, naming)
        copy.check()
        copy.out.tell(tally, f"Flink {flink.version}, exactly once {naming.lower()}".strip(), copy.sent)
        broker.check_something_is_hidden("out", copy.out.found)
        broker.check_protocol(new=level == NEW and flink is FLINK_2)


@pytest.mark.whole
@ONE_AND_THREE_TRANSACTIONAL
@pytest.mark.parametrize("careless", HOW)
def test_the_checks_see_what_a_careless_broker_does(
    tmp_path: Path, careless: str, brokers: type[Transactional]
) -> None:
    with brokers(tmp_path, careless=careless) as broker, pytest.raises(AssertionError) as failure:
        copy = run(broker, FLINK_2, "INCREMENTING")
        copy.check()
    assert re.search(SAID[careless], str(failure.value)), failure.value
