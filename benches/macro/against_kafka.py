"""Throughput, memory and start-up beside Apache Kafka's, in one run: `python -m benches.macro.against_kafka`.

Apache Kafka's own kafka-producer-perf-test and kafka-consumer-perf-test drive both brokers, one broker at a
time, in turns, on the same disk. The ratio of medians is what counts: absolute figures are the machine's.
`--before COMMAND` puts another build's fastlog-broker in Kafka's place.
"""

from __future__ import annotations

import argparse
import compileall
import os
import re
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

import fastlog
from benches.table import print_table
from tests.harness.broker_process import BrokerProcess
from tests.peers.apache_kafka import (
    CONSUMER_PERFORMANCE,
    KAFKA_3,
    PRODUCER_PERFORMANCE,
    ApacheKafka,
    JavaTools,
)

_SENT = re.compile(r"records/sec \(([\d.]+) MB/sec\).*?([\d.]+) ms 99th")


@dataclass(frozen=True, slots=True)
class Load:
    """One produce load; the consumer then reads the same topic from its beginning."""

    name: str
    record_bytes: int
    records: int
    partitions: int
    properties: tuple[str, ...] = ()


LARGE = ("batch.size=65536", "linger.ms=5")
LOADS = (
    Load("100 B records, client defaults", 100, 2_000_000, 1),
    Load("1 KiB records, client defaults", 1024, 500_000, 1),
    Load("1 KiB, batch.size=65536 linger.ms=5", 1024, 1_000_000, 6, LARGE),
    Load("1 KiB, the same with lz4", 1024, 1_000_000, 6, (*LARGE, "compression.type=lz4")),
    Load("10 KiB, batch.size=262144", 10_240, 100_000, 6, ("batch.size=262144", "linger.ms=5")),
    Load("1 KiB, acks=1", 1024, 500_000, 1, ("acks=1",)),
)


@dataclass(slots=True)
class Figures:
    """What one broker showed; lists hold one figure per turn."""

    produce_mb: dict[str, list[float]] = field(default_factory=dict)
    produce_p99_ms: dict[str, list[float]] = field(default_factory=dict)
    produce_cpu: dict[str, list[float]] = field(default_factory=dict)
    """Seconds of the broker's CPU per GB (10^9 bytes) of records."""
    consume_cpu: dict[str, list[float]] = field(default_factory=dict)
    consume_mb: dict[str, list[float]] = field(default_factory=dict)
    start_seconds: list[float] = field(default_factory=list)
    idle_mb: list[float] = field(default_factory=list)
    loaded_mb: list[float] = field(default_factory=list)


def main() -> None:
    """Runs all turns and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3, help="how often each broker runs each load")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the number of records")
    parser.add_argument("--only", default="", help="only loads whose name has this text")
    parser.add_argument("--before", metavar="COMMAND", help="a fastlog-broker to measure instead of Kafka")
    given = parser.parse_args()
    loads = [load for load in LOADS if given.only in load.name]
    _compile()
    other = "before" if given.before else "kafka"
    results = {"fastlog": Figures(), other: Figures()}
    with tempfile.TemporaryDirectory(prefix="fastlog-bench-") as scratch:
        for turn in range(given.turns):
            for name in ("fastlog", other) if turn % 2 == 0 else (other, "fastlog"):
                print(f"turn {turn + 1}: {name}", file=sys.stderr)
                directory = Path(scratch) / f"{name}-{turn}"
                _turn(_broker(name, directory, given.before), loads, given.scale, results[name])
    title = "before" if given.before else f"Apache Kafka {KAFKA_3}"
    _report(loads, results["fastlog"], results[other], title)


def _compile() -> None:
    """Compiles the package, as pip does when it installs; otherwise the first start would pay for it."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(Path(fastlog.__file__).parent, quiet=1)


def _broker(name: str, directory: Path, before: str | None) -> BrokerProcess | ApacheKafka:
    if name == "kafka":
        return ApacheKafka(directory, version=KAFKA_3)
    return BrokerProcess(directory, command=[before] if name == "before" and before else None)


def _turn(broker: BrokerProcess | ApacheKafka, loads: list[Load], scale: float, figures: Figures) -> None:
    figures.start_seconds.append(broker.start())
    time.sleep(2)
    process = psutil.Process(broker.process.pid)
    figures.idle_mb.append(process.memory_info().rss / 2**20)
    tools = JavaTools(KAFKA_3)
    for load in loads:
        topic = f"bench-{loads.index(load)}"
        _create(broker.bootstrap, topic, load.partitions)
        count = int(load.records * scale)
        produce(tools, broker.bootstrap, "warm-up", Load("", load.record_bytes, 50_000, 1), 50_000)
        gigabytes, began = count * load.record_bytes / 1e9, _cpu(process)
        megabytes, p99 = produce(tools, broker.bootstrap, topic, load, count)
        between = _cpu(process)
        figures.produce_mb.setdefault(load.name, []).append(megabytes)
        figures.produce_p99_ms.setdefault(load.name, []).append(p99)
        figures.produce_cpu.setdefault(load.name, []).append((between - began) / gigabytes)
        figures.consume_mb.setdefault(load.name, []).append(_consume(tools, broker.bootstrap, topic, count))
        figures.consume_cpu.setdefault(load.name, []).append((_cpu(process) - between) / gigabytes)
    figures.loaded_mb.append(process.memory_info().rss / 2**20)
    broker.stop()


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _create(bootstrap: str, topic: str, partitions: int) -> None:
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
        future.result(timeout=30)


def produce(tools: JavaTools, bootstrap: str, topic: str, load: Load, count: int) -> tuple[float, float]:
    """MB/s (2^20 bytes) and the 99th percentile of latency in milliseconds."""
    done = tools.run(
        PRODUCER_PERFORMANCE,
        *("--topic", topic, "--num-records", str(count), "--record-size", str(load.record_bytes)),
        *("--throughput", "-1", "--producer-props", f"bootstrap.servers={bootstrap}", *load.properties),
        timeout=600,
    )
    match = _SENT.search(done.stdout.decode().splitlines()[-1])
    assert match is not None, done.stdout.decode()[-500:]
    return float(match[1]), float(match[2])


def _consume(tools: JavaTools, bootstrap: str, topic: str, count: int) -> float:
    """MB/s (2^20 bytes) of fetching, without the time of joining the group."""
    done = tools.run(
        CONSUMER_PERFORMANCE,
        *("--topic", topic, "--messages", str(count), "--bootstrap-server", bootstrap, "--timeout", "60000"),
        timeout=600,
    )
    columns, values = (line.split(", ") for line in done.stdout.decode().strip().splitlines()[-2:])
    row = dict(zip(columns, values, strict=True))
    assert int(row["data.consumed.in.nMsg"]) >= count, row
    return float(row["fetch.MB.sec"])


def _report(loads: list[Load], ours: Figures, theirs: Figures, title: str) -> None:
    rows = []
    for load in loads:
        for what, mine, other in (
            ("produce MB/s", ours.produce_mb, theirs.produce_mb),
            ("consume MB/s", ours.consume_mb, theirs.consume_mb),
        ):
            rows.append(_row(f"{load.name}: {what}", mine[load.name], other[load.name], more_is_better=True))
        for what, mine, other in (
            ("produce p99 ms", ours.produce_p99_ms, theirs.produce_p99_ms),
            ("produce CPU s/GB", ours.produce_cpu, theirs.produce_cpu),
            ("consume CPU s/GB", ours.consume_cpu, theirs.consume_cpu),
        ):
            rows.append(_row(f"{load.name}: {what}", mine[load.name], other[load.name], more_is_better=False))
    for what, ours_whole, theirs_whole in (
        ("start to first connection, s", ours.start_seconds, theirs.start_seconds),
        ("resident memory idle, MiB", ours.idle_mb, theirs.idle_mb),
        ("resident memory after all loads, MiB", ours.loaded_mb, theirs.loaded_mb),
    ):
        rows.append(_row(what, ours_whole, theirs_whole, more_is_better=False))
    print_table(("measure", "fastlog", title, "times better"), rows)


def _row(
    what: str, ours: list[float], theirs: list[float], *, more_is_better: bool
) -> tuple[str, str, str, str]:
    mine, other = statistics.median(ours), statistics.median(theirs)
    ratio = mine / other if more_is_better else other / mine
    return what, f"{mine:.2f}", f"{other:.2f}", f"{ratio:.2f}"


if __name__ == "__main__":
    main()
