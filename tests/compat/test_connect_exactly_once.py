"""Kafka Connect with exactly.once.source.support=enabled: each line of a file is in the topic once, in order.

A task writes its records and the position in the file in one transaction. When its worker is gone, the next
one starts with the same transactional id, which ends what the former has begun.
"""

from __future__ import annotations

import re
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import KafkaException, Producer

from fastlog.wire import ApiKey
from tests.compat.careless_broker import HOW, SAID
from tests.compat.connect_worker import Worker
from tests.compat.exactly_once import NEW, OLD, Committed, ExactlyOnceBroker
from tests.compat.exactly_once_cluster import ExactlyOnceCluster
from tests.compat.tool_broker import Tally
from tests.compat.tool_places import ONE_AND_THREE_TRANSACTIONAL, Transactional
from tests.harness.waiting import wait_until
from tests.peers.apache_kafka import KAFKA_3, KAFKA_4

pytestmark = [pytest.mark.counted, pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(600)]

LINES: Final = 1500
"""Of one step."""
SETTINGS: Final = {
    "exactly.once.source.support": "enabled",
    "offset.flush.interval.ms": "300",
    # A task that starts while the broker is away for longer than that fails, and stays so.
    "worker.sync.timeout.ms": "30000",
}
TASK_ID: Final = "connect-source-0"
"""The transactional id of the only task: group, connector, number."""


class Lines:
    """A file, workers of a cluster, and the topic into which they write its lines."""

    def __init__(self, broker: Transactional, version: str, stack: ExitStack) -> None:
        self._broker = broker
        self._version = version
        self._stack = stack
        self._file = broker.directory / "source.txt"
        self._file.touch()
        self.written = 0
        self.workers: list[Worker] = []
        broker.create("through", 1)
        self.through = Committed(broker.address, "through", 1)

    def start(self, name: str) -> Worker:
        """One worker more."""
        broker = self._broker
        place = (name, broker.directory, broker.address, self._version)
        worker = Worker(*place, settings=SETTINGS, replicas=broker.replicas)
        self._stack.callback(worker.kill)
        self.workers.append(worker)
        return worker

    def connect(self, worker: Worker) -> None:
        """Has the file read. Its transactions are as long as half a second."""
        config = {
            "connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector",
            "tasks.max": "1",
            "file": str(self._file),
            "topic": "through",
            "batch.size": "20",
            "exactly.once.support": "required",
            "transaction.boundary": "interval",
            "transaction.boundary.interval.ms": "500",
        }
        worker.insist("PUT", "/connectors/source/config", config)

    def write(self, count: int = LINES) -> None:
        """Some lines more."""
        with self._file.open("a") as out:
            for number in range(self.written, self.written + count):
                out.write(f"line {number}\n")
        self.written += count

    def wait(self, *, seconds: float = 180) -> None:
        """Until all lines are in the topic, but for some that come meanwhile.

        A task looks at the time only when records come: the last ones are not committed without others.
        """
        wanted = self.written

        def there() -> bool:
            if self.through.follow() >= wanted:
                return True
            self.write(1)
            return False

        wait_until(
            there,
            lambda: f"{self.through.count} of {wanted} records in through\n{self.words()}",
            seconds=seconds,
            pause=0.2,
        )

    def finish(self, worker: Worker, *, seconds: float) -> None:
        """Stops the connector, which commits what is left, and waits for that."""
        wait_until(
            lambda: worker.ask("PUT", "/connectors/source/stop") is not None,
            self.words,
            seconds=30,
            pause=0.3,
        )
        self.through.wait(self.written, self.words, seconds=seconds)

    def words(self) -> str:
        """The last ones of all workers."""
        return "\n".join(worker.app.text[-2000:] for worker in self.workers)

    def at_work(self) -> Worker:
        """The worker that has the task."""
        alive = [worker for worker in self.workers if worker.app.process.poll() is None]

        def found() -> Worker | None:
            state: Any = alive[0].ask("GET", "/connectors/source/status")
            tasks = state["tasks"] if state else []
            if [task["state"] for task in tasks] != ["RUNNING"]:
                return None
            (url,) = (f"http://{task['worker_id']}" for task in tasks)
            return next((worker for worker in alive if worker.url == url), None)

        return wait_until(found, self.words, seconds=180, pause=0.3)

    def check(self) -> None:
        """Each line is there once, in order."""
        (found,) = self.through.close()
        lines = [(value or b"").decode() for _, value in found]
        expected = [f"line {number}" for number in range(self.written)]
        wrong = next(
            (at for at, pair in enumerate(zip(lines, expected, strict=False)) if len(set(pair)) > 1), None
        )
        assert lines == expected, f"{len(lines)} of {len(expected)} lines, first {wrong}"


class Zombie:
    """Somebody who thinks that the task is theirs, with a transaction open."""

    def __init__(self, broker: Transactional) -> None:
        self._producer = Producer(
            {"bootstrap.servers": broker.address, "transactional.id": TASK_ID, "log_level": 2}
        )
        self._producer.init_transactions(30)
        self._producer.begin_transaction()
        self._producer.produce("through", b"of a zombie")
        assert self._producer.flush(30) == 0

    def check_is_fenced(self) -> None:
        """It cannot commit any more."""
        with pytest.raises(KafkaException) as failure:
            self._producer.commit_transaction(30)
        assert failure.value.args[0].fatal(), failure.value


def run(broker: Transactional, version: str, *, zombies: bool, seconds: float = 180) -> Lines:
    """The worker with the task is killed at work, then the broker; before, somebody else has had the task."""
    with ExitStack() as stack:
        lines = Lines(broker, version, stack)
        workers = [lines.start("first"), lines.start("second")]
        for worker in workers:
            wait_until(lambda worker=worker: worker.ask("GET", "/connectors") == [], lines.words, seconds=180)  # type: ignore[misc]
        zombie = Zombie(broker)
        lines.connect(workers[0])
        lines.write()
        lines.wait(seconds=seconds)
        zombie.check_is_fenced()

        at_work = lines.at_work()
        broker.stop_at_work(at_work.app, "through", lines.write)
        at_work.kill()
        lines.wait(seconds=seconds)
        broker.restart_at_work("through", lines.write)
        lines.wait(seconds=seconds)
        if zombies:
            _hold_up(broker, lines)
        lines.finish(lines.at_work(), seconds=seconds)
    return lines


def _hold_up(broker: Transactional, lines: Lines) -> None:
    """A worker stands still at work for longer than its session, and goes on when another has its task."""
    lines.start("third")
    held = lines.at_work()
    broker.stop_at_work(held.app, "through", lines.write)
    lines.write()
    lines.wait()
    held.app.process.send_signal(signal.SIGCONT)
    lines.write()
    lines.wait()
    lines.at_work()
    lines.write()
    lines.wait()


@pytest.mark.parametrize(
    ("brokers", "version", "level", "zombies"),
    [
        pytest.param(ExactlyOnceBroker, KAFKA_4, NEW, False),
        pytest.param(ExactlyOnceBroker, KAFKA_4, OLD, True, marks=pytest.mark.whole),
        pytest.param(ExactlyOnceBroker, KAFKA_4, NEW, True, marks=pytest.mark.whole),
        pytest.param(ExactlyOnceBroker, KAFKA_3, NEW, True, marks=pytest.mark.whole),
        pytest.param(ExactlyOnceCluster, KAFKA_4, NEW, True, marks=pytest.mark.whole),
    ],
)
def test_each_line_is_there_once(
    tmp_path: Path, tally: Tally, brokers: type[Transactional], version: str, level: int, zombies: bool
) -> None:
    with brokers(tmp_path, level) as broker:
        lines = run(broker, version, zombies=zombies)
        broker.check_nothing_is_open("through", "connect-offsets", "connect-configs")
        lines.check()
        lines.through.tell(tally, f"Kafka Connect {version}, exactly-once source", lines.written)
        broker.check_something_is_hidden("through", lines.through.found)
        newest = max(broker.proxy.versions(ApiKey.END_TXN))
        assert newest == (5 if level == NEW and version == KAFKA_4 else 4)


@pytest.mark.whole
@ONE_AND_THREE_TRANSACTIONAL
@pytest.mark.parametrize("careless", HOW)
def test_the_checks_see_what_a_careless_broker_does(
    tmp_path: Path, careless: str, brokers: type[Transactional]
) -> None:
    with brokers(tmp_path, careless=careless) as broker, pytest.raises(AssertionError) as failure:
        run(broker, KAFKA_4, zombies=False, seconds=90).check()
    assert re.search(SAID[careless], str(failure.value)), failure.value
