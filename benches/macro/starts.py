"""Start-up, and what a test waits for: `python -m benches.macro.starts`, beside what PyPI has of the kind.

From `exec` to the first answered ApiVersions, with bytecode cached as pip leaves it; then the fixtures of
`fastlog.testing`, each to its first answered ApiVersions; then the first record of a new group, from the
making of the consumer on. Medians and worst of all turns. With `--busy` the same once more while every core
computes. Peers that do not need Docker are fetched from PyPI, and one that cannot be run is named.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import itertools
import math
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

import fastlog
from benches.macro.start_peers import PEERS, PeerCannotRunError
from benches.table import print_table
from fastlog.testing import BrokerProcess, BrokerThread, child
from fastlog.wire.messages.api_versions import ApiVersionsRequest
from tests.harness.link import Link
from tests.harness.net import free_port

Measure = Callable[[Path], "float | tuple[float, float]"]
"""Milliseconds of one start in a directory of its own, and those of CPU where there is a process of which
they can be told; what it has started is gone when it returns."""
_IMPORT_SECONDS = 1.0
_WHAT: dict[str, Callable[[list[float]], float]] = {"best": min, "median": statistics.median, "worst": max}


def main() -> None:
    """Measures all, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=10, help="how often each is started")
    parser.add_argument("--busy", action="store_true", help="also while every core computes")
    parser.add_argument("--no-peers", action="store_true", help="without those of PyPI")
    parser.add_argument("--importtime", action="store_true", help="only what a start imports, slowest first")
    given = parser.parse_args()
    _compile()
    if given.importtime:
        _print_imports()
        return
    rows = dict(OURS) if given.no_peers else {**OURS, **PEERS}
    loads = ["quiet", "busy"] if given.busy else ["quiet"]
    figures, cannot = _measured(rows, loads, given.turns)
    columns = [(load, what, of) for load in loads for what, of in _WHAT.items()]
    columns.append(("CPU", "median", statistics.median))
    print_table(
        ["ms", *(f"{load}, {what}" for load, what, _ in columns)],
        [
            [name, *(_text(of(figures[name, load])) for load, _, of in columns)]
            for name in rows
            if name not in cannot
        ],
    )
    for name, why in cannot.items():
        print(f"\n{name} cannot run: {why}")


def _text(figure: float) -> str:
    return "-" if math.isnan(figure) else f"{figure:.0f}"


def _measured(
    rows: dict[str, Measure], loads: list[str], turns: int
) -> tuple[dict[tuple[str, str], list[float]], dict[str, str]]:
    """Milliseconds by row and load, and why rows could not be measured."""
    figures: dict[tuple[str, str], list[float]] = {}
    cannot: dict[str, str] = {}
    numbers = itertools.count()
    with tempfile.TemporaryDirectory(prefix="fastlog-starts-") as scratch:
        for load in loads:
            with _busy_cores() if load == "busy" else contextlib.nullcontext():
                for turn in range(turns):
                    print(f"{load}, turn {turn + 1}", file=sys.stderr)
                    for name, measure in rows.items():
                        if name in cannot:
                            continue
                        try:
                            took = measure(Path(scratch) / str(next(numbers)))
                        except PeerCannotRunError as error:
                            cannot[name] = str(error)
                        else:
                            wall, cpu = took if isinstance(took, tuple) else (took, math.nan)
                            figures.setdefault((name, load), []).append(wall)
                            figures.setdefault((name, "CPU"), []).append(cpu)
    return figures, cannot


def _compile() -> None:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(Path(fastlog.__file__).parent, quiet=1)


def _answered(port: int, process: subprocess.Popen[bytes] | None = None, seconds: float = 60) -> None:
    """Returns when ApiVersions is answered there."""
    until = time.monotonic() + seconds
    while True:
        try:
            with Link(port, timeout=seconds) as link:
                link.call(ApiVersionsRequest(), 0)
                return
        except OSError:
            if time.monotonic() > until or (process is not None and process.poll() is not None):
                raise
            time.sleep(0.001)


def _daemon(directory: Path) -> tuple[float, float]:
    directory.mkdir()
    port = free_port()
    command = [Path(sys.executable).with_name("fastlog-broker"), "--listen", f"127.0.0.1:{port}"]
    with (directory / "log").open("wb") as log:
        began = time.perf_counter()
        process = subprocess.Popen([*command, "--data-dir", directory / "data"], stdout=log, stderr=log)
        try:
            _answered(port, process)
            return (time.perf_counter() - began) * 1000, _cpu_ms(process.pid)
        finally:
            process.kill()
            process.wait()


def _cpu_ms(pid: int) -> float:
    """What all threads of a process have computed so far."""
    found = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(path.read_text().split()[0]) for path in found) / 1e6


def _fixture(directory: Path, *, begun: bool) -> tuple[float, float]:
    if begun:
        child.begin()
        time.sleep(_IMPORT_SECONDS)
    else:
        child.close()
    began = time.perf_counter()
    with BrokerProcess(directory) as broker:
        _answered(broker.port)
        took = (time.perf_counter() - began) * 1000
        return took, _cpu_ms(broker.pid) + (0.0 if begun else _cpu_ms(psutil.Process(broker.pid).ppid()))


def _thread(directory: Path) -> float:
    began = time.perf_counter()
    with BrokerThread(directory) as broker:
        _answered(broker.port)
        return (time.perf_counter() - began) * 1000


def _first_record(directory: Path) -> float:
    with BrokerProcess(directory) as broker:
        topic = broker.topic()
        topic.send("v")
        began = time.perf_counter()
        with fastlog.Consumer(
            broker.bootstrap, topic, group_id="g", auto_offset_reset="earliest"
        ) as consumer:
            (record,) = consumer.consume(1, timeout=30)
            took = time.perf_counter() - began
        assert record.value == b"v"
        return took * 1000


def _first_record_of_confluent(directory: Path) -> float:
    from confluent_kafka import Consumer

    with BrokerProcess(directory) as broker:
        topic = broker.topic()
        topic.send("v")
        config = {"bootstrap.servers": broker.bootstrap, "group.id": "g", "auto.offset.reset": "earliest"}
        began = time.perf_counter()
        consumer = Consumer(config)
        consumer.subscribe([topic])
        message = consumer.poll(30)
        took = time.perf_counter() - began
        consumer.close()
        assert message is not None and message.value() == b"v"
        return took * 1000


OURS: dict[str, Measure] = {
    "fastlog-broker, exec to first answer": _daemon,
    "kafka_broker, the first of a run": lambda at: _fixture(at, begun=False),
    "kafka_broker, any other": lambda at: _fixture(at, begun=True),
    "kafka_broker_thread": _thread,
    "first record of a new group, our library": _first_record,
    "first record of a new group, confluent-kafka": _first_record_of_confluent,
}


@contextlib.contextmanager
def _busy_cores() -> Iterator[None]:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_compute, daemon=True) for _ in range(os.cpu_count() or 1)]
    for worker in workers:
        worker.start()
    time.sleep(1)
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


def _compute() -> None:
    number = 0
    while True:
        number = (number * 31 + 7) % 1_000_003


def _print_imports() -> None:
    """Self times of `python -X importtime` in a start, by package and the slowest modules."""
    with tempfile.TemporaryDirectory(prefix="fastlog-starts-") as scratch:
        port = free_port()
        log = Path(scratch) / "log"
        command = [sys.executable, "-X", "importtime", "-m", "fastlog.cli.broker.main"]
        place = ["--listen", f"127.0.0.1:{port}", "--data-dir", f"{scratch}/data"]
        with log.open("wb") as said:
            process = subprocess.Popen([*command, *place], stdout=said, stderr=said)
            try:
                _answered(port, process)
            finally:
                process.kill()
                process.wait()
        lines = [line.split("|") for line in log.read_text().splitlines() if line.startswith("import time:")]
        times = {
            line[2].strip(): int(line[0].removeprefix("import time:"))
            for line in lines
            if line[0].removeprefix("import time:").strip().isdecimal()
        }
        packages: dict[str, int] = {}
        for name, micros in times.items():
            package = ".".join(name.split(".")[: 2 if name.startswith("fastlog.") else 1])
            packages[package] = packages.get(package, 0) + micros
        print(f"{len(times)} modules, {sum(times.values()) / 1000:.0f} ms")
        for title, found in (("package", packages), ("module", times)):
            slowest = sorted(found.items(), key=lambda item: -item[1])[:20]
            print()
            print_table([title, "ms"], [[name, f"{micros / 1000:.1f}"] for name, micros in slowest])


if __name__ == "__main__":
    main()
