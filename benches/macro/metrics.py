"""What metrics cost: `python -m benches.macro.metrics [--partitions 1000] [--groups 100]`.

A request: through one connection of the broker with a transport that takes everything at once, with and
without counting its times. A scrape: of so many partitions and of groups that have committed to all of them,
beside prometheus_client writing the same samples, with the time that each holds the event loop at a stretch.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from benches.table import print_table
from fastlog.base.clock import SystemClock
from fastlog.server.network.connection import Connection
from fastlog.server.observability.exposition import Format, Renderer
from fastlog.server.observability.http_service import Observability
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from fastlog.wire.messages.topics import CreatableTopic, CreateTopicsRequest
from tests.integration.running import RawClient, RunningBroker
from tests.unit.server.fakes import Harness, receive, request

_PER_ROUND = 300
_ROUNDS = 400


class _Swallow:
    """A transport whose peer takes everything at once."""

    def write(self, data: bytes) -> None:
        """Gone."""

    def is_closing(self) -> bool:
        """Never."""
        return False


def seconds_per_request() -> float:
    """The best of many rounds."""
    harness = Harness()
    harness.host = dataclasses.replace(
        harness.host,
        monotonic=SystemClock().monotonic,
        dispatch=lambda _, exchange: exchange.reply(b"x" * 20),
    )
    connection, _ = harness.connect()
    connection._transport = cast("Any", _Swallow())
    data = request(1, 50) * 60
    best = float("inf")
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        for _ in range(_PER_ROUND // 60):
            receive(connection, data)
        best = min(best, (time.perf_counter() - began) / _PER_ROUND)
    return best


def without_counting(measure: Callable[[], float]) -> float:
    """The same while answers are only counted by their bytes."""
    counting = Connection._count

    def count(self: Connection, _: object, size: int) -> None:
        self.host.metrics.bytes_out += size

    Connection._count = count  # type: ignore[method-assign,assignment]
    try:
        return measure()
    finally:
        Connection._count = counting  # type: ignore[method-assign]


def fill(client: RawClient, partitions: int, groups: int) -> None:
    """One topic, and groups that have committed to all of its partitions."""
    topic = CreatableTopic(name="t", num_partitions=partitions, replication_factor=1)
    client.ask(CreateTopicsRequest(topics=[topic], timeout_ms=60_000), 7)
    client.ask(FindCoordinatorRequest(key="group", key_type=0), 3)
    rows = [OffsetCommitRequestPartition(partition_index=n, committed_offset=0) for n in range(partitions)]
    for number in range(groups):
        wanted = OffsetCommitRequest(
            group_id=f"group-{number}", topics=[OffsetCommitRequestTopic(name="t", partitions=rows)]
        )
        while client.ask(wanted, 8).topics[0].partitions[0].error_code:
            time.sleep(0.05)


class _Slices(Renderer):
    """Notes the CPU time of each slice: what other processes do to a slice is not ours."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def _slice(self, lines: Any) -> tuple[bytes, bool]:
        began = time.thread_time()
        made = super()._slice(lines)
        self.seconds.append(time.thread_time() - began)
        return made


async def scrape(observe: Observability) -> tuple[_Slices, str]:
    """All metrics of the broker, rendered on its loop."""
    renderer = _Slices()
    pieces = [piece async for piece in renderer.render(observe.families(), Format.TEXT)]
    await asyncio.sleep(0)
    return renderer, b"".join(pieces).decode()


class _Again:
    """Gives prometheus_client the samples that it has parsed."""

    def __init__(self, text: str) -> None:
        self._families: list[Metric] = list(text_string_to_metric_families(text))

    def collect(self) -> list[Metric]:
        """All of them."""
        return self._families


def main() -> None:
    """Prints two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partitions", type=int, default=1000)
    parser.add_argument("--groups", type=int, default=100)
    arguments = parser.parse_args()

    bare, counted = without_counting(seconds_per_request), seconds_per_request()
    rows = [("bytes only", bare), ("with its times", counted)]
    print_table(
        ("a request that does nothing", "µs", "ratio"),
        [(name, f"{seconds * 1e6:.2f}", f"{seconds / bare:.2f}") for name, seconds in rows],
    )

    with tempfile.TemporaryDirectory() as directory:
        broker = RunningBroker(Path(directory), {"offsets.topic.num.partitions": "4"})
        broker.start()
        with broker.connect(timeout=120) as client:
            fill(client, arguments.partitions, arguments.groups)
        observe = broker.broker._observability
        assert observe is not None
        renderer, text = broker.run(scrape(observe))
        broker.close()
    registry = CollectorRegistry()
    registry.register(cast("Any", _Again(text)))
    began = time.thread_time()
    generate_latest(registry)
    other = time.thread_time() - began
    total, slices = sum(renderer.seconds), sorted(renderer.seconds)
    print(f"\n{text.count(chr(10)):,} lines, {len(text) / 1e6:.1f} MB\n")
    found = [
        ("fastlog", total, slices[len(slices) * 99 // 100], slices[-1]),
        ("prometheus_client", other, other, other),
    ]
    print_table(
        ("a scrape", "CPU s", "ratio", "hold of the loop, 99 %, ms", "longest, ms"),
        [
            (name, f"{cpu:.2f}", f"{cpu / total:.2f}", f"{usual * 1e3:.1f}", f"{longest * 1e3:.1f}")
            for name, cpu, usual, longest in found
        ],
    )


if __name__ == "__main__":
    main()
