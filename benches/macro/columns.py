"""Columns beside rows and beside confluent-kafka's consume(): `python -m benches.macro.columns`.

One broker, one topic for each size of record; in each turn every reader reads all of it, each in a process of
its own, so that its CPU is its own. Nothing is done with what was read. The figures are the medians of the
turns: rates are the machine's, the CPU of the client for a million records says what a reader costs.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benches.table import print_table
from fastlog import Consumer, Producer, TopicPartition, open_log
from tests.harness.broker_process import BrokerProcess

PARTITIONS = 3
SIZES = {100: 1_500_000, 1024: 300_000}
WARM = 20_000
"""Records that are read before the clock starts: connections, metadata, first fetches."""


def columns(address: str, topic: str) -> Iterator[int]:
    """`poll_columns`, values and keys as columns."""
    with Consumer(address, auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(topic, index) for index in range(PARTITIONS)])
        while True:
            yield len(consumer.poll_columns(1000))


def rows(address: str, topic: str) -> Iterator[int]:
    """`consume`, a list of records."""
    with Consumer(address, auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(topic, index) for index in range(PARTITIONS)])
        while True:
            yield len(consumer.consume(10_000, 1))


def confluent(address: str, topic: str) -> Iterator[int]:
    """confluent-kafka's `consume`, a list of messages."""
    import confluent_kafka

    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "bench",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.assign(
        [
            confluent_kafka.TopicPartition(topic, index, confluent_kafka.OFFSET_BEGINNING)
            for index in range(PARTITIONS)
        ]
    )
    while True:
        yield len(consumer.consume(10_000, 1))


def files(directory: str, topic: str) -> Iterator[int]:
    """`open_log`, one partition after the other."""
    for index in range(PARTITIONS):
        with open_log(Path(directory) / f"{topic}-{index}", end="written") as log:
            for found in log:
                yield len(found)


READERS: dict[str, Callable[[str, str], Iterator[int]]] = {
    "fastlog poll_columns": columns,
    "fastlog consume": rows,
    "confluent-kafka consume": confluent,
    "fastlog open_log": files,
}


def measure(reader: str, where: str, topic: str, count: int) -> None:
    """Reads all of a topic in this process, and prints records, seconds and CPU seconds."""
    read = timed = 0
    began = cpu = 0.0
    for found in READERS[reader](where, topic):
        read += found
        if not began and read >= WARM:
            began, cpu, timed = time.perf_counter(), used(), read
        if read >= count:
            break
    print(json.dumps([read - timed, time.perf_counter() - began, used() - cpu]))


def used() -> float:
    """CPU seconds of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def fill(address: str, topic: str, size: int, count: int) -> None:
    """Records of random letters, without a key."""
    values = [os.urandom(size // 2).hex().encode()[:size].ljust(size, b"x") for _ in range(1000)]
    with Producer(address, batch_size=65_536) as producer:
        for at in range(0, count, 1000):
            producer.send_many(topic, values, partition=at // 1000 % PARTITIONS)


def main() -> None:
    """Fills, reads, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        reader, where, topic, count = arguments.measure
        measure(reader, where, topic, int(count))
        return
    found: dict[tuple[int, str], list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as directory:
        settings = {"num.partitions": str(PARTITIONS), "log.retention.ms": "-1"}
        with BrokerProcess(Path(directory), settings=settings) as broker:
            for size, count in SIZES.items():
                fill(broker.bootstrap, f"t{size}", size, count)
            for _ in range(arguments.turns):
                for size, count in SIZES.items():
                    for reader in READERS:
                        where = str(broker.data_dir) if reader.endswith("open_log") else broker.bootstrap
                        command = [sys.executable, "-m", "benches.macro.columns", "--measure"]
                        shown = subprocess.run(
                            [*command, reader, where, f"t{size}", str(count)],
                            capture_output=True,
                            text=True,
                            check=True,
                        )
                        records, seconds, cpu = json.loads(shown.stdout)
                        row = (records / seconds, cpu / records * 1e6)
                        found.setdefault((size, reader), []).append(row)
    print_table(
        ["reader", "record", "records/s", "MB/s", "CPU s per million", "rate", "CPU"],
        [
            row_of(size, reader, turns, found[size, "confluent-kafka consume"])
            for (size, reader), turns in found.items()
        ],
    )


def row_of(
    size: int, reader: str, turns: list[tuple[float, float]], beside: list[tuple[float, float]]
) -> list[str]:
    """A row of the table; the last two columns are against confluent-kafka."""
    rate, cpu = (statistics.median(column) for column in zip(*turns, strict=True))
    rate_beside, cpu_beside = (statistics.median(column) for column in zip(*beside, strict=True))
    return [
        reader,
        f"{size} B",
        f"{rate:,.0f}",
        f"{rate * size / 1e6:,.0f}",
        f"{cpu:.3f}",
        f"{rate / rate_beside:.2f}",
        f"{cpu / cpu_beside:.2f}",
    ]


if __name__ == "__main__":
    main()
