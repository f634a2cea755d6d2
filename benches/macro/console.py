"""The console at size: first pages of many topics and groups, and what a tail costs a busy broker.

    python -m benches.macro.console --topics 5000 --groups 2000

Times are wall-clock seconds of a request as a browser sees it, the fastest and the median of several; CPU is
that of the console and of the broker, both in seconds. The console measures all the while, each second.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from fastlog import Admin, NewTopic, Producer, TopicPartition
from tests.harness.broker_process import BrokerProcess
from tests.harness.console import ConsoleProcess

CHUNK = 500


def fill(bootstrap: str, topics: int, groups: int, partitions: int) -> None:
    """Topics, and groups with an offset in one or two of them."""
    names = [f"topic-{number:05}" for number in range(topics)]
    with Admin(bootstrap, default_api_timeout_ms=300_000, request_timeout_ms=300_000) as admin:
        for at in range(0, topics, CHUNK):
            admin.create_topics([NewTopic(name, partitions) for name in names[at : at + CHUNK]]).check()
        for number in range(groups):
            places = {TopicPartition(names[(number * step) % topics], 0): 0 for step in (1, 7)}
            admin.alter_group_offsets(f"group-{number:05}", places).check()


def cpu(process: psutil.Process) -> float:
    """Seconds that it has worked."""
    times = process.cpu_times()
    return float(times.user + times.system)


def measure(
    title: str, work: Callable[[], object], watched: dict[str, psutil.Process], rounds: int = 5
) -> None:
    """A line of the table."""
    before = {name: cpu(process) for name, process in watched.items()}
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    spent = {name: (cpu(process) - before[name]) / rounds for name, process in watched.items()}
    shown = ", ".join(f"{name} {seconds:.3f}" for name, seconds in spent.items())
    walls = f"first {taken[0]:7.3f}  fastest {min(taken):7.3f}  median {statistics.median(taken):7.3f}"
    print(f"{title:<30} {walls}  CPU: {shown}")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--topics", type=int, default=5000)
    parser.add_argument("--groups", type=int, default=2000)
    parser.add_argument("--partitions", type=int, default=1)
    parser.add_argument("--tail-seconds", type=float, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, BrokerProcess(Path(place)) as broker:
        began = time.perf_counter()
        fill(broker.bootstrap, options.topics, options.groups, options.partitions)
        print(f"{options.topics} topics and {options.groups} groups in {time.perf_counter() - began:.1f} s")
        with ConsoleProcess(broker.bootstrap) as console:
            console.log_in()
            watched = {"console": console.ps, "broker": psutil.Process(broker.process.pid)}
            measure("first page of topics (100)", lambda: console.get("list_topics"), watched)
            measure("first page of groups (100)", lambda: console.get("list_groups"), watched)
            measure("the cluster", lambda: console.get("describe_cluster"), watched)
            measure("a topic", lambda: console.get("describe_topic", topic="topic-00007"), watched)
            measure("a group", lambda: console.get("describe_group", group="group-00007"), watched)
            tail(console, broker.bootstrap, watched, options.tail_seconds)


def tail(console: ConsoleProcess, bootstrap: str, watched: dict[str, psutil.Process], seconds: float) -> None:
    """A topic that is written as fast as it goes, without a tail and with one."""
    ended = threading.Event()
    sent = [0]

    def flood() -> None:
        with Producer(bootstrap, linger_ms=20) as producer:
            values: list[bytes | None] = [b"x" * 100] * 10_000
            while not ended.is_set():
                producer.send_many("topic-00001", values)
                sent[0] += len(values)

    writer = threading.Thread(target=flood)
    writer.start()
    try:
        for title in ("without a tail", "with a tail"):
            before, count, began = {n: cpu(p) for n, p in watched.items()}, sent[0], time.perf_counter()
            if title == "with a tail":
                console.events("/api/tail?topic=topic-00001", int(seconds / 0.6))
            else:
                time.sleep(seconds)
            taken = time.perf_counter() - began
            spent = ", ".join(f"{n} {(cpu(p) - before[n]) / taken:.3f}" for n, p in watched.items())
            print(f"{title:<16} {(sent[0] - count) / taken:12,.0f} records/s  CPU per second: {spent}")
    finally:
        ended.set()
        writer.join()


if __name__ == "__main__":
    main()
