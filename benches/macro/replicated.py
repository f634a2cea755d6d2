"""Throughput of three brokers with three replicas and acks=all: `python -m benches.macro.replicated`.

Clusters one after another in turns, on the same disk: `--clusters 'fastlog*3' 'kafka*3'`. Apache Kafka's
kafka-producer-perf-test sends. CPU is that of all three brokers, user and system, by 10^9 bytes of what the
producer has sent: each of them is received once, fetched twice and written three times.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Final

from benches.macro.against_kafka import Load, produce
from benches.table import print_table
from tests.cluster.cluster import Cluster
from tests.cluster.kinds import Kinds, named, parse, uniform
from tests.cluster.operator import create_topic, rotations
from tests.peers.apache_kafka import KAFKA_3, JavaTools

_LARGE: Final = ("acks=all", "batch.size=65536", "linger.ms=5")
_LOADS: Final = (
    Load("100 B records, client defaults", 100, 1_000_000, 6, ("acks=all",)),
    Load("1 KiB records, client defaults", 1024, 400_000, 6, ("acks=all",)),
    Load("1 KiB, batch.size=65536 linger.ms=5", 1024, 600_000, 6, _LARGE),
    Load("1 KiB, the same with lz4", 1024, 600_000, 6, (*_LARGE, "compression.type=lz4")),
)
_WARM_UP: Final = 50_000
_SETTINGS: Final = {
    # Kafka's own defaults in place of those of tests.
    "log.segment.bytes": str(1 << 30),
    "log.cleaner.dedupe.buffer.size": str(128 << 20),
    "zookeeper.session.timeout.ms": "18000",
}
_MEASURES: Final = ("MB/s", "p99 ms", "CPU s per GB")


def main() -> None:
    """Runs all turns and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clusters", nargs="+", type=parse, default=uniform())
    parser.add_argument("--turns", type=int, default=3, help="how often each cluster takes each load")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the number of records")
    parser.add_argument("--only", default="", help="only loads whose name has this text")
    given = parser.parse_args()
    loads = [load for load in _LOADS if given.only in load.name]
    found: dict[tuple[Kinds, str, str], list[float]] = defaultdict(list)
    for turn in range(given.turns):
        for kinds in given.clusters if turn % 2 == 0 else reversed(given.clusters):
            print(f"turn {turn + 1}: {named(kinds)}", file=sys.stderr)
            for name, figures in _turn(kinds, loads, given.scale).items():
                for measure, figure in zip(_MEASURES, figures, strict=True):
                    found[kinds, name, measure].append(figure)
    rows = [
        (
            f"{load.name}: {measure}",
            *_row([found[kinds, load.name, measure] for kinds in given.clusters], measure),
        )
        for load in loads
        for measure in _MEASURES
    ]
    last = ("times better",) if len(given.clusters) == 2 else ()
    print_table(("measure", *(named(kinds) for kinds in given.clusters), *last), rows)


def _turn(kinds: Kinds, loads: list[Load], scale: float) -> dict[str, tuple[float, float, float]]:
    """By load: MB/s (2^20 bytes), the 99th percentile of latency in ms, CPU seconds per 10^9 bytes."""
    figures = {}
    tools = JavaTools(KAFKA_3)
    with (
        tempfile.TemporaryDirectory(prefix="fastlog-replicated-") as scratch,
        Cluster(Path(scratch), kinds, settings=_SETTINGS, heap="1g", quick=False) as cluster,
    ):
        members = cluster.members.values()
        for number, load in enumerate(loads):
            topic, count = f"load-{number}", int(load.records * scale)
            create_topic(cluster, topic, rotations([*cluster.members]) * (load.partitions // len(kinds)))
            produce(tools, cluster.bootstrap, topic, load, min(count, _WARM_UP))
            before = sum(member.cpu_seconds() for member in members)
            megabytes, p99 = produce(tools, cluster.bootstrap, topic, load, count)
            cluster.wait_whole(topic)
            used = sum(member.cpu_seconds() for member in members) - before
            found = figures[load.name] = (megabytes, p99, used / (count * load.record_bytes / 1e9))
            shown = ", ".join(f"{name} {figure:.2f}" for name, figure in zip(_MEASURES, found, strict=True))
            print(f"{named(kinds)}: {load.name}: {shown}", file=sys.stderr, flush=True)
    return figures


def _row(figures: list[list[float]], measure: str) -> list[str]:
    medians = [statistics.median(found) for found in figures]
    cells = [f"{median:.2f}" for median in medians]
    if len(medians) == 2:
        ratio = medians[0] / medians[1]
        cells.append(f"{ratio if measure == 'MB/s' else 1 / ratio:.2f}")
    return cells


if __name__ == "__main__":
    main()
