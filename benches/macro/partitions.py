"""Many partitions beside Apache Kafka's: `python -m benches.macro.partitions`.

Each broker makes the partitions, is stopped and started again; then it is left alone for a while and after
that gets one record for each of some partitions. fastlog runs under `--descriptors`; Kafka, which holds one
descriptor for each partition, under the limit of the shell.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from benches.table import print_table
from tests.harness.broker_process import BrokerProcess
from tests.peers.apache_kafka import KAFKA_3, ApacheKafka

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

_KAFKA: Final = f"Apache Kafka {KAFKA_3}"
_PER_TOPIC: Final = 500
_START_SECONDS: Final = 600.0


@dataclass(slots=True)
class Figures:
    """What one broker showed."""

    create_seconds: float = 0.0
    start_seconds: float = 0.0
    idle_mib: float = 0.0
    idle_cpu_percent: float = 0.0
    descriptors: int = 0
    produce_seconds: float = 0.0
    descriptors_after: int = 0


def main() -> None:
    """Runs both brokers and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partitions", type=int, default=10_000)
    parser.add_argument("--descriptors", type=int, default=4_096, help="limit of open files of fastlog")
    parser.add_argument("--idle-seconds", type=float, default=60.0)
    parser.add_argument("--records", type=int, default=2_000, help="partitions that get a record at the end")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fastlog-bench-", ignore_cleanup_errors=True) as scratch:
        ours = _measure("fastlog", Path(scratch) / "fastlog", given)
        theirs = _measure(_KAFKA, Path(scratch) / "kafka", given)
    rows = [
        (what, f"{mine:.{digits}f}", f"{other:.{digits}f}")
        for what, mine, other, digits in (
            ("making them, s", ours.create_seconds, theirs.create_seconds, 1),
            ("start until all have leaders, s", ours.start_seconds, theirs.start_seconds, 1),
            ("resident memory, idle, MiB", ours.idle_mib, theirs.idle_mib, 0),
            ("CPU, idle, % of a core", ours.idle_cpu_percent, theirs.idle_cpu_percent, 2),
            ("descriptors, idle", ours.descriptors, theirs.descriptors, 0),
            (f"a record for each of {given.records}, s", ours.produce_seconds, theirs.produce_seconds, 2),
            ("descriptors after that", ours.descriptors_after, theirs.descriptors_after, 0),
        )
    ]
    print_table((f"{given.partitions} partitions", "fastlog", _KAFKA), rows)


def _measure(name: str, directory: Path, given: argparse.Namespace) -> Figures:
    print(name, file=sys.stderr)
    broker = _broker(name, directory, given.descriptors)
    broker.start()
    try:
        figures = _figures(broker, given)
    finally:
        # A start that took too long has left a process, too.
        if broker.process.poll() is None:
            broker.stop()
    # The other one takes minutes: nothing of this one is to be lost meanwhile.
    print(f"{name}: {figures}", file=sys.stderr, flush=True)
    return figures


def _figures(broker: BrokerProcess | ApacheKafka, given: argparse.Namespace) -> Figures:
    figures = Figures()
    began = time.monotonic()
    _create(broker.bootstrap, given.partitions)
    figures.create_seconds = time.monotonic() - began
    broker.stop()
    began = time.monotonic()
    if isinstance(broker, BrokerProcess):
        broker.start(timeout=_START_SECONDS)
    else:
        with contextlib.suppress(TimeoutError):
            broker.start()
    _wait_for_leaders(broker.bootstrap, given.partitions)
    figures.start_seconds = time.monotonic() - began
    process = psutil.Process(broker.process.pid)
    # What the start left to do, and what the JVM compiles after it.
    time.sleep(given.idle_seconds / 2)
    used, began = sum(process.cpu_times()[:2]), time.monotonic()
    time.sleep(given.idle_seconds)
    figures.idle_cpu_percent = 100 * (sum(process.cpu_times()[:2]) - used) / (time.monotonic() - began)
    figures.idle_mib = process.memory_info().rss / 2**20
    figures.descriptors = process.num_fds()
    began = time.monotonic()
    _produce(broker.bootstrap, min(given.records, given.partitions))
    figures.produce_seconds = time.monotonic() - began
    figures.descriptors_after = process.num_fds()
    return figures


def _broker(name: str, directory: Path, descriptors: int) -> BrokerProcess | ApacheKafka:
    if name == _KAFKA:
        return ApacheKafka(directory, version=KAFKA_3)
    limit = ["prlimit", f"--nofile={descriptors}:{descriptors}"]
    return BrokerProcess(directory, command=[*limit, sys.executable, "-m", "fastlog.cli.broker.main"])


def _create(bootstrap: str, partitions: int) -> None:
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": bootstrap})
    for first in range(0, partitions, _PER_TOPIC):
        topic = NewTopic(f"many-{first // _PER_TOPIC}", min(_PER_TOPIC, partitions - first), 1)
        for future in admin.create_topics([topic], request_timeout=300, operation_timeout=300).values():
            future.result(timeout=300)
    _wait_for_leaders(bootstrap, partitions)


def _wait_for_leaders(bootstrap: str, partitions: int) -> None:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": bootstrap})
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            topics = admin.list_topics(timeout=30).topics.values()
        except KafkaException:
            topics = {}.values()
        led = sum(part.leader >= 0 for topic in topics for part in topic.partitions.values())
        if led >= partitions:
            return
        assert time.monotonic() < deadline, f"{led} of {partitions} partitions have a leader"
        time.sleep(0.1)


def _produce(bootstrap: str, records: int) -> None:
    from confluent_kafka import Producer

    failed: list[str] = []

    def on_delivery(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failed.append(str(error))

    producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0})
    for number in range(records):
        topic, partition = divmod(number, _PER_TOPIC)
        producer.produce(f"many-{topic}", b"value", partition=partition, on_delivery=on_delivery)
        producer.poll(0)
    assert producer.flush(120) == 0
    assert not failed, failed[:3]


if __name__ == "__main__":
    main()
