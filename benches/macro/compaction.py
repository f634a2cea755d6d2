"""Compaction beside Apache Kafka's cleaner, in one run: `python -m benches.macro.compaction`.

Ten million records over a million keys: the same batches go to both brokers. Then each cleans alone, in
turns, with one thread and without throttle, from the moment when min.cleanable.dirty.ratio lets it until its
cleaner-offset-checkpoint has reached the active segment. The ratio counts: absolute figures are the
machine's.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from benches.table import print_table
from fastlog.native import build_batch
from fastlog.storage.checkpoints import CLEANER_OFFSETS, CheckpointDamaged, read_offsets
from fastlog.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from tests.harness.broker_process import BrokerProcess
from tests.harness.link import Link
from tests.peers.apache_kafka import KAFKA_3, ApacheKafka

RECORDS = 10_000_000
KEYS = 1_000_000
VALUE_BYTES = 100
BATCH_RECORDS = 500
IN_FLIGHT = 4
SEGMENT_BYTES = 64 * 1024 * 1024
SETTINGS = {
    "log.cleaner.threads": "1",
    "log.cleaner.backoff.ms": "100",
    "log.segment.bytes": str(SEGMENT_BYTES),
    # How long a segment that compaction replaced stays on the disk.
    "log.segment.delete.delay.ms": "1000",
}
_MAP = re.compile(r"offset map of (\d+) bytes")


@dataclass(slots=True)
class Figures:
    """What one broker showed; lists hold one figure per turn."""

    seconds: list[float] = field(default_factory=list)
    megabytes_per_second: list[float] = field(default_factory=list)
    before_mb: float = 0.0
    after_mb: float = 0.0
    idle_mb: list[float] = field(default_factory=list)
    peak_mb: list[float] = field(default_factory=list)
    map_mb: float | None = None


class Contender:
    """One broker, ours or Apache's."""

    def __init__(self, broker: BrokerProcess | ApacheKafka) -> None:
        self.broker = broker
        self.figures = Figures()
        self.admin = AdminClient({"bootstrap.servers": broker.bootstrap})

    def create(self, topic: str) -> None:
        """A compacted topic that is not compacted yet."""
        configs = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "1"}
        self.admin.create_topics([NewTopic(topic, 1, 1, config=configs)])[topic].result(30)

    def clean(self, topic: str) -> None:
        """Lets the cleaner loose and waits for it."""
        directory = self.broker.data_dir / f"{topic}-0"
        active = max(int(path.stem) for path in directory.glob("*.log"))
        process = psutil.Process(self.broker.process.pid)
        before = _sealed_bytes(directory, active)
        self.figures.idle_mb.append(process.memory_info().rss / 2**20)
        peak = 0
        began = time.monotonic()
        self._let_loose(topic)
        while self._cleaned(topic) < active:
            peak = max(peak, process.memory_info().rss)
            time.sleep(0.02)
            if time.monotonic() - began > 3600:
                raise TimeoutError(f"{topic} was not clean after an hour")
        seconds = time.monotonic() - began
        self.figures.seconds.append(seconds)
        self.figures.megabytes_per_second.append(before / 2**20 / seconds)
        self.figures.before_mb = before / 2**20
        self.figures.after_mb = _sealed_bytes(directory, active) / 2**20
        self.figures.peak_mb.append(peak / 2**20)

    def _let_loose(self, topic: str) -> None:
        entry = ConfigEntry("min.cleanable.dirty.ratio", "0.01", incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        for future in self.admin.incremental_alter_configs([resource]).values():
            future.result(timeout=30)

    def _cleaned(self, topic: str) -> int:
        try:
            return read_offsets(self.broker.data_dir / CLEANER_OFFSETS).get((topic, 0), -1)
        except CheckpointDamaged:
            return -1


def main() -> None:
    """Runs all turns and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=1, help="how often each broker cleans a topic")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the numbers of records and keys")
    parser.add_argument("--codec", default="none", help="codec of the batches")
    given = parser.parse_args()
    records, keys = int(RECORDS * given.scale), max(1, int(KEYS * given.scale))
    with tempfile.TemporaryDirectory(prefix="fastlog-bench-") as scratch, ExitStack() as stack:
        ours = BrokerProcess(Path(scratch) / "fastlog", settings=SETTINGS)
        theirs = ApacheKafka(Path(scratch) / "kafka", version=KAFKA_3, settings=SETTINGS)
        contenders = {
            "fastlog": Contender(stack.enter_context(ours)),
            "kafka": Contender(stack.enter_context(theirs)),
        }
        for turn in range(given.turns):
            topic = f"bench-{turn}"
            for contender in contenders.values():
                contender.create(topic)
            print(f"turn {turn + 1}: {records} records over {keys} keys", file=sys.stderr)
            _fill(
                [contender.broker.port for contender in contenders.values()],
                topic,
                records,
                keys,
                given.codec,
            )
            for name in ("fastlog", "kafka") if turn % 2 == 0 else ("kafka", "fastlog"):
                print(f"turn {turn + 1}: {name} compacts", file=sys.stderr)
                contenders[name].clean(topic)
        sizes = [int(size) for size in _MAP.findall(ours.log_text)]
        contenders["fastlog"].figures.map_mb = max(sizes) / 2**20 if sizes else None
    _report(contenders["fastlog"].figures, contenders["kafka"].figures)


def _fill(ports: list[int], topic: str, records: int, keys: int, codec: str) -> None:
    """Sends the same batches to all brokers, a few at a time."""
    links = [Link(port, timeout=120) for port in ports]
    waiting = 0
    request: ProduceRequest | None = None
    for batch in _batches(records, keys, codec):
        data = PartitionProduceData(index=0, records=batch)
        request = ProduceRequest(
            acks=-1, timeout_ms=60_000, topic_data=[TopicProduceData(name=topic, partition_data=[data])]
        )
        for link in links:
            link.send(request, 9)
        waiting += 1
        if waiting == IN_FLIGHT:
            waiting -= _answered(links, request)
    while waiting and request is not None:
        waiting -= _answered(links, request)
    for link in links:
        link.socket.close()


def _answered(links: list[Link], request: ProduceRequest) -> int:
    for link in links:
        answer = link.receive(request, 9)
        row = answer.responses[0].partition_responses[0]  # type: ignore[attr-defined]
        if row.error_code:
            raise AssertionError(f"produce failed with {row.error_code}: {row.error_message}")
    return 1


def _batches(records: int, keys: int, codec: str) -> Iterator[bytes]:
    """Batches of records with random keys and values of half random text."""
    chooser = random.Random(7)
    now = int(time.time() * 1000)
    noise = chooser.randbytes(1 << 16)
    for first in range(0, records, BATCH_RECORDS):
        rows: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]], int]] = []
        for number in range(first, min(first + BATCH_RECORDS, records)):
            start = number * 31 % (len(noise) - VALUE_BYTES)
            value = (
                b"%010d" % number + noise[start : start + VALUE_BYTES // 2 - 10] + b"." * (VALUE_BYTES // 2)
            )
            rows.append((b"key-%08d" % chooser.randrange(keys), value, [], now))
        yield build_batch(rows, codec=codec)


def _sealed_bytes(directory: Path, active: int) -> int:
    """Bytes of all segments below the active one."""
    return sum(path.stat().st_size for path in directory.glob("*.log") if int(path.stem) < active)


def _report(ours: Figures, theirs: Figures) -> None:
    rows = [
        _row("compaction, MB/s of log", ours.megabytes_per_second, theirs.megabytes_per_second, more=True),
        _row("time until clean, s", ours.seconds, theirs.seconds, more=False),
        _row("memory before, MiB", ours.idle_mb, theirs.idle_mb, more=False),
        _row("peak memory while compacting, MiB", ours.peak_mb, theirs.peak_mb, more=False),
    ]
    for what, mine, other in (
        ("log before, MiB", ours.before_mb, theirs.before_mb),
        ("log after, MiB", ours.after_mb, theirs.after_mb),
    ):
        rows.append((what, f"{mine:.1f}", f"{other:.1f}", ""))
    shown = "unknown" if ours.map_mb is None else f"{ours.map_mb:.1f}"
    rows.append(("offset map, MiB", shown, f"{SETTINGS_MAP_MIB}", ""))
    print_table(("measure", "fastlog", f"Apache Kafka {KAFKA_3}", "times better"), rows)


# Kafka takes the whole of log.cleaner.dedupe.buffer.size at start, whatever the number of keys.
SETTINGS_MAP_MIB = 128


def _row(what: str, ours: list[float], theirs: list[float], *, more: bool) -> tuple[str, str, str, str]:
    mine, other = statistics.median(ours), statistics.median(theirs)
    ratio = mine / other if more else other / mine
    return what, f"{mine:.2f}", f"{other:.2f}", f"{ratio:.2f}"


if __name__ == "__main__":
    main()
