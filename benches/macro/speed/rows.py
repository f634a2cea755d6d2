"""The rows of the table: each gives figures of one server for one turn."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benches.load.build import Requests, Throughput, records, requests
from benches.macro.speed.servers import Server
from fastlog.wire import encode_request
from tests.harness.batches import batch
from tests.integration.requests import produce as produce_request

__all__ = ["ROWS", "Figures", "Row"]

Figures = Mapping[str, float]
"""By name of a measure; the table knows of each whether more is better."""

_PRODUCE: Final = 9


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    name: str
    run: Callable[[Server, float, set[int] | None], Figures]
    """Given the server, the factor on the number of records, and the client's cores."""
    settings: Mapping[str, str] | None = None
    """Of a broker that is started for this row alone."""


def _throughput(told: Throughput, size: int, server: Server, before: float) -> Figures:
    gigabytes = told.records * size / 1e9
    return {
        "MB/s": gigabytes * 1000 / told.seconds,
        "broker CPU s/GB": (server.usage().cpu - before) / gigabytes,
        "client's share of a core": told.cpu / told.seconds,
    }


def _produce(
    size: int, count: int, partitions: int, *settings: str
) -> Callable[[Server, float, set[int] | None], Figures]:
    def run(server: Server, scale: float, cores: set[int] | None) -> Figures:
        topic = server.topic(partitions)
        words = ("produce", server.broker.bootstrap, topic, str(partitions), str(size))
        records(*words, str(count // 20), *settings, cores=cores)
        before = server.usage().cpu
        told = records(*words, str(int(count * scale)), *settings, cores=cores)
        return _throughput(told, size, server, before)

    return run


def _consume(size: int, count: int) -> Callable[[Server, float, set[int] | None], Figures]:
    """Right after the records were produced, so from memory."""

    def run(server: Server, scale: float, cores: set[int] | None) -> Figures:
        topic, some = server.topic(_PARTITIONS), str(int(count * scale))
        words = (server.broker.bootstrap, topic, str(_PARTITIONS), str(size), some)
        records("produce", *words, *_LARGE, cores=cores)
        before = server.usage().cpu
        told = records("consume", *words, *_READING, cores=cores)
        return _throughput(told, size, server, before)

    return run


def _small(
    connections: int, *, rate: float = 0, acks: int = 1, size: int = 100, partitions: int = 6
) -> Callable[[Server, float, set[int] | None], Figures]:
    """One record in a request."""

    def run(server: Server, scale: float, cores: set[int] | None) -> Figures:
        topic = server.topic(partitions)
        with tempfile.TemporaryDirectory(prefix="fastlog-bench-") as folder:
            frames = Path(folder) / "frames"
            frames.write_bytes(b"".join(_frames(topic, connections, partitions, acks, size)))
            port = server.broker.port
            requests(port, frames, connections=connections, seconds=1, rate=rate, cores=cores)
            before = server.usage()
            told = requests(
                port, frames, connections=connections, seconds=8 * scale, rate=rate, cores=cores, warm_up=0
            )
            return _answered(told, server, before.cpu, before.switches)

    return run


def _answered(told: Requests, server: Server, cpu: float, switches: int) -> Figures:
    used = server.usage()
    return {
        "requests/s": told.answers / told.seconds,
        "broker CPU us/request": (used.cpu - cpu) / told.answers * 1e6,
        "context switches/request": (used.switches - switches) / told.answers,
        "p50 ms": told.p50,
        "p99 ms": told.p99,
        "p99.9 ms": told.p999,
        "client's share of a core": told.cpu / told.seconds,
    }


def _frames(topic: str, connections: int, partitions: int, acks: int, size: int) -> list[bytes]:
    value = (b"value of a record " * (size // 16))[:size]
    return [
        encode_request(
            produce_request(topic, batch(value), partition=number % partitions, acks=acks),
            *(_PRODUCE, 1, "speed"),
        )
        for number in range(connections)
    ]


def _many_partitions(count: int) -> Callable[[Server, float, set[int] | None], Figures]:
    """A producer and a consumer over all partitions of a topic."""

    def run(server: Server, scale: float, cores: set[int] | None) -> Figures:
        began = time.monotonic()
        topic = server.topic(count)
        made = time.monotonic() - began
        some = str(int(2_000_000 * scale))
        words = (server.broker.bootstrap, topic, str(count), "100", some)
        before = server.usage().cpu
        told = records("produce", *words, "linger.ms=50", "acks=1", cores=cores)
        figures = dict(_throughput(told, 100, server, before))
        before = server.usage().cpu
        read = records("consume", *words, *_READING, cores=cores)
        figures |= {f"read: {name}": value for name, value in _throughput(read, 100, server, before).items()}
        return figures | {"creation s": made, "idle CPU %": _idle(server, 10)}

    return run


def _cold(server: Server, scale: float, cores: set[int] | None) -> Figures:
    """Old records, not in memory, are read while a producer goes on."""
    old, new, size = server.topic(_PARTITIONS), server.topic(_PARTITIONS), 1000
    count = int(1_000_000 * scale)
    words = (server.broker.bootstrap, old, str(_PARTITIONS), str(size), str(count))
    records("produce", *words, *_LARGE, cores=cores)
    _forget_files(server)
    with ThreadPoolExecutor(1) as threads:
        others = (server.broker.bootstrap, new, str(_PARTITIONS), str(size), str(count))
        writing = threads.submit(records, "produce", *others, *_LARGE, cores=cores)
        read = records("consume", *words, *_READING, cores=cores)
        written = writing.result()
    return {
        "read MB/s": read.records * size / 1e6 / read.seconds,
        "written MB/s": written.records * size / 1e6 / written.seconds,
    }


def _forget_files(server: Server) -> None:
    """Has the kernel drop what it keeps of files, where that is allowed: a page at a time without root."""
    import os

    for path in Path(server.process.cwd()).rglob("*.log"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _idle(server: Server, seconds: float) -> float:
    before = server.usage().cpu
    time.sleep(seconds)
    return (server.usage().cpu - before) / seconds * 100


def _memory(server: Server, scale: float, cores: set[int] | None) -> Figures:
    """First of all on a new broker: start and rest."""
    time.sleep(2)
    return {
        "start s": server.start_seconds,
        "idle MiB": server.resident(),
        "idle CPU %": _idle(server, 10),
    }


def _after(server: Server, scale: float, cores: set[int] | None) -> Figures:
    return {"MiB": server.resident()}


_PARTITIONS: Final = 6
_LARGE: Final = (
    *("acks=1", "batch.num.messages=100000", "batch.size=1000000", "linger.ms=50"),
    *("queue.buffering.max.kbytes=1000000", "queue.buffering.max.messages=1000000"),
)
_READING: Final = ("check.crcs=false", "fetch.message.max.bytes=1048576", "queued.min.messages=1000000")
_FLUSHED: Final = {"log.flush.interval.messages": "1"}

ROWS: Final = (
    Row("start and rest", _memory),
    Row("produce 100 B, acks=1, 6 partitions", _produce(100, 5_000_000, _PARTITIONS, *_LARGE)),
    Row("produce 1 KB, acks=1, 1 MB requests, 6 partitions", _produce(1000, 1_000_000, _PARTITIONS, *_LARGE)),
    Row(
        "produce 1 KB, acks=all, 16 records a batch",
        _produce(1000, 500_000, _PARTITIONS, "acks=all", "batch.num.messages=16", "linger.ms=5"),
    ),
    Row(
        "produce 1 KB, lz4, acks=all",
        _produce(1000, 2_000_000, _PARTITIONS, *_LARGE, "acks=all", "compression.codec=lz4"),
    ),
    Row("consume 1 KB right after", _consume(1000, 1_000_000)),
    Row("consume 100 B right after", _consume(100, 5_000_000)),
    Row("one record a request, 50 connections", _small(50)),
    Row("one record a request, 1 connection", _small(1)),
    Row("one record a request, 1,000 connections", _small(1000)),
    Row("2,000 requests/s, 50 connections, acks=all", _small(50, rate=2000, acks=-1)),
    Row("10,000 requests/s, 50 connections, acks=all", _small(50, rate=10_000, acks=-1)),
    Row("cold reads beside a producer", _cold),
    Row("1,000 partitions, 100 B", _many_partitions(1000)),
    Row("memory after the loads", _after),
    Row("fsync before ack, 50 connections", _small(50, acks=-1), settings=_FLUSHED),
)
