"""Python clients beside each other, on fastlog and on Apache Kafka: `python -m benches.macro.clients`.

Each client sends and reads records of each size, with callbacks and without, in a process of its own, so that
its CPU is its own. Figures are medians of the turns: rates are the machine's, the CPU of the client for a
million records says what a client costs, and the last columns hold it against confluent-kafka's. Slower
clients get fewer records.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from benches.macro.client_loads import BATCH_BYTES, CALLBACK, CONSUME, PARTITIONS, PRODUCE, Load, Meter
from benches.table import print_table
from fastlog import Admin, NewTopic, Producer
from tests.harness.broker_process import BrokerProcess
from tests.peers.apache_kafka import KAFKA_3, ApacheKafka

SIZES: Final = {100: 1_000_000, 1024: 300_000, 10_240: 50_000}
"""Bytes of a record, and how many there are."""
WARM: Final = 10_000
"""Records before the clock starts."""
SLOW: Final = {"kafka-python": 0.2, "aiokafka": 0.4}
"""Clients that get fewer records."""
LOADS: Final[Mapping[str, Mapping[str, Load]]] = {
    "produce": PRODUCE,
    "produce, with a callback for each record": CALLBACK,
    "consume": CONSUME,
}

Figures = dict[tuple[str, str, str, int], list[tuple[float, float]]]
"""Records/s and CPU seconds per million of each turn, by broker, load, client and size."""


def main() -> None:
    """Runs all turns, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the number of records")
    parser.add_argument("--brokers", nargs="+", default=["fastlog", "kafka"], choices=["fastlog", "kafka"])
    parser.add_argument(
        "--only", default="", help="only clients whose name has this text, and confluent-kafka"
    )
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--measure", nargs=6, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(*given.measure)
        return
    found: Figures = {}
    for turn in range(given.turns):
        for name in given.brokers if turn % 2 == 0 else reversed(given.brokers):
            print(f"turn {turn + 1}: {name}", file=sys.stderr)
            with _broker(name) as address:
                _turn(name, address, given.sizes, given.scale, given.only, found)
    report(found)


@contextlib.contextmanager
def _broker(name: str) -> Iterator[str]:
    settings = {"num.partitions": str(PARTITIONS), "log.retention.ms": "-1"}
    with tempfile.TemporaryDirectory(prefix="fastlog-bench-") as scratch:
        made: AbstractContextManager[BrokerProcess | ApacheKafka]
        if name == "fastlog":
            made = BrokerProcess(Path(scratch), settings=settings)
        else:
            made = ApacheKafka(Path(scratch), version=KAFKA_3, settings=settings)
        with made as broker:
            yield broker.bootstrap


def _turn(broker: str, address: str, sizes: list[int], scale: float, only: str, found: Figures) -> None:
    for size in sizes:
        count = max(int(SIZES[size] * scale), 3 * WARM)
        _fill(address, f"read-{size}", size, count)
        for load, clients in LOADS.items():
            first = next(iter(clients))
            for number, client in enumerate(clients):
                if only not in client and client != first:
                    continue
                topic = f"read-{size}"
                if load != "consume":
                    topic = f"written-{size}-{load[-6:]}-{number}"
                    _create(address, topic)
                row = _measured(load, client, address, topic, size, count)
                found.setdefault((broker, load, client, size), []).append(row)


def _measured(load: str, client: str, address: str, topic: str, size: int, count: int) -> tuple[float, float]:
    """Records/s and CPU seconds per million of one client, in a process of its own."""
    share = next((share for name, share in SLOW.items() if client.startswith(name)), 1.0)
    wanted = max(int(count * share), 2 * WARM)
    command = [sys.executable, "-m", "benches.macro.clients", "--measure"]
    shown = subprocess.run(
        [*command, load, client, address, topic, str(size), str(wanted)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if shown.returncode:
        raise RuntimeError(f"{client}, {load}:\n{shown.stderr}")
    records, seconds, cpu = json.loads(shown.stdout)
    return records / seconds, cpu / records * 1e6


def measure(load: str, client: str, address: str, topic: str, size: str, count: str) -> None:
    """Runs a load in this process, and prints records, seconds and CPU seconds."""
    meter = Meter(int(count), WARM)
    LOADS[load][client](address, topic, values_of(int(size)), meter)
    print(json.dumps(meter.found), flush=True)
    # Threads of some clients would be waited for.
    os._exit(0)


def values_of(size: int) -> list[bytes]:
    """A thousand values of random letters."""
    return [os.urandom(size // 2 + 1).hex().encode()[:size] for _ in range(1000)]


def _create(address: str, topic: str) -> None:
    with Admin(address) as admin:
        admin.create_topics([NewTopic(topic, partitions=PARTITIONS)]).check()


def _fill(address: str, topic: str, size: int, count: int) -> None:
    """What all read, the same in each partition."""
    _create(address, topic)
    values = values_of(size)
    with Producer(address, batch_size=BATCH_BYTES) as producer:
        for at in range(0, count, len(values)):
            producer.send_many(topic, values, partition=at // len(values) % PARTITIONS)


def report(found: Figures) -> None:
    """Prints a table for each broker and load."""
    sizes = sorted({size for *_, size in found})
    for broker, load in dict.fromkeys((broker, load) for broker, load, *_ in found):
        print(f"\n{load}, on {'Apache Kafka ' + KAFKA_3 if broker == 'kafka' else broker}\n")
        first = next(iter(LOADS[load]))
        print_table(
            [
                "client",
                *(f"{size} B, records/s" for size in sizes),
                *(f"{size} B, CPU s/M" for size in sizes),
                *(f"{size} B, CPU ratio" for size in sizes),
            ],
            [
                _row(
                    client,
                    [found[broker, load, client, size] for size in sizes],
                    [found[broker, load, first, size] for size in sizes],
                )
                for client in LOADS[load]
                if (broker, load, client, sizes[0]) in found
            ],
        )


def _row(
    client: str, figures: list[list[tuple[float, float]]], beside: list[list[tuple[float, float]]]
) -> list[str]:
    rates = [statistics.median(rate for rate, _ in turns) for turns in figures]
    cpus = [statistics.median(cpu for _, cpu in turns) for turns in figures]
    others = [statistics.median(cpu for _, cpu in turns) for turns in beside]
    ratios = [cpu / other for cpu, other in zip(cpus, others, strict=True)]
    return [
        client,
        *(f"{rate:,.0f}" for rate in rates),
        *(f"{cpu:.2f}" for cpu in cpus),
        *(f"{ratio:.2f}" for ratio in ratios),
    ]


if __name__ == "__main__":
    main()
