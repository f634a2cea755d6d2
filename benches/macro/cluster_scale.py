"""Many partitions in a cluster of three: `python -m benches.macro.cluster_scale`.

Clusters of `--clusters 'fastlog*3' 'kafka*3'`, one after another, each on a ZooKeeper server. All partitions
have three replicas. Then the cluster is left alone, a broker is restarted, one is killed (kill -9), and the
controller is. Beside seconds there are the CPU seconds of all three brokers: on a machine with other work
these are the ones to compare. Lags of the event loop are those of fastlog's metrics.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil
from confluent_kafka import ElectionType, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benches.table import print_table
from tests.cluster.cluster import Cluster
from tests.cluster.kinds import Kinds, named, parse, uniform
from tests.cluster.member import Member
from tests.harness.tree import at
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from confluent_kafka.admin import PartitionMetadata

    from fastlog.coordination.zookeeper.client import ZkClient

_SETTINGS: Final = {
    # Kafka's own defaults in place of those of tests.
    "log.segment.bytes": str(1 << 30),
    "min.insync.replicas": "1",
    "fastlog.http.port": "0",
}
_PATIENCE_SECONDS: Final = 900.0
_PAUSE_SECONDS: Final = 0.5
"""Between two looks at all partitions: these cost the brokers something, too."""
_LAG: Final = re.compile(r'^fastlog_event_loop_lag_seconds_bucket\{le="([^"]+)"\} (\d+)', re.MULTILINE)
_PORT: Final = re.compile(r"metrics and health are on http://[^:]+:(\d+)")
_PREFIX: Final = "topic-"
Figures = dict[str, float]


def main() -> None:
    """Runs all clusters and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clusters", nargs="+", type=parse, default=uniform())
    parser.add_argument("--topics", type=int, default=2_000)
    parser.add_argument("--partitions", type=int, default=3, help="of each topic")
    parser.add_argument("--batch", type=int, default=50, help="topics in one CreateTopics")
    parser.add_argument("--idle-seconds", type=float, default=60.0)
    given = parser.parse_args()
    found: list[Figures] = []
    for kinds in given.clusters:
        with tempfile.TemporaryDirectory(prefix="fastlog-scale-", ignore_cleanup_errors=True) as scratch:
            found.append(_Run(Path(scratch), kinds, given).figures())
    measures = dict.fromkeys(name for figures in found for name in figures)
    print_table(
        (
            f"{given.topics} topics, {given.partitions} partitions each",
            *(named(kinds) for kinds in given.clusters),
        ),
        [
            (name, *(f"{figures[name]:.2f}" if name in figures else "" for figures in found))
            for name in measures
        ],
    )


class _Run:
    """One cluster through all of it."""

    def __init__(self, directory: Path, kinds: Kinds, given: argparse.Namespace) -> None:
        self._given = given
        self._name = named(kinds)
        self._cluster = Cluster(directory, kinds, settings=_SETTINGS, heap="1g", quick=False)
        self._figures: Figures = {}
        self._lags: dict[int, dict[float, int]] = {}

    def figures(self) -> Figures:
        """What it showed; told on stderr as it comes."""
        with self._cluster:
            self._create()
            self._idle()
            self._restart()
            self._kill("a broker", next(n for n in self._cluster.members if n != self._cluster.controller()))
            self._kill("the controller", self._cluster.controller())
        return self._figures

    def _note(self, what: str, figure: float) -> None:
        self._figures[what] = figure
        print(f"{self._name}: {what}: {figure:.2f}", file=sys.stderr, flush=True)

    # -- what is done --------------------

    def _create(self) -> None:
        count, slowest = self._given.topics, 0.0
        with self._measured("creation"):
            client = self._client()
            for first in range(0, count, self._given.batch):
                began = time.monotonic()
                topics = [
                    NewTopic(_name(number), self._given.partitions, 3)
                    for number in range(first, min(first + self._given.batch, count))
                ]
                created = client.create_topics(topics, request_timeout=300, operation_timeout=300)
                for future in created.values():
                    future.result(timeout=300)
                slowest = max(slowest, time.monotonic() - began)
            self._note("creation, all requests, s", time.monotonic() - self._began)
            self._wait("partitions are whole", lambda part: len(part.isrs) == 3 and part.leader > 0)
        self._note(f"creation, slowest of requests with {self._given.batch} topics, s", slowest)

    def _idle(self) -> None:
        # What the creation left to do, and what the JVM compiles after it.
        time.sleep(self._given.idle_seconds / 2)
        processes = [psutil.Process(member.pid) for member in self._cluster.members.values()]
        before = [sum(process.cpu_times()[:2]) for process in processes]
        began = time.monotonic()
        time.sleep(self._given.idle_seconds)
        seconds = time.monotonic() - began
        used = [sum(process.cpu_times()[:2]) - some for process, some in zip(processes, before, strict=True)]
        for number, share in zip(self._cluster.members, used, strict=True):
            role = " (controller)" if number == self._cluster.controller() else ""
            print(f"{self._name}: idle CPU of {number}{role}: {100 * share / seconds:.2f} %", file=sys.stderr)
        self._note("idle CPU of one broker, at most, % of a core", 100 * max(used) / seconds)
        self._note("memory of one broker, at most, MiB", max(p.memory_info().rss for p in processes) / 2**20)
        self._note("descriptors of one broker, at most", max(p.num_fds() for p in processes))
        self._longest_lag("idle")

    def _restart(self) -> None:
        number = next(n for n in self._cluster.members if n != self._cluster.controller())
        member = self._cluster.members[number]
        with self._measured("restart"):
            member.terminate()
            member.wait_end(seconds=_PATIENCE_SECONDS)
            self._note("restart, controlled shutdown, s", time.monotonic() - self._began)
            self._cluster.start(number)
            self._note("restart, until registered, s", time.monotonic() - self._began)
            self._wait("partitions are whole", lambda part: len(part.isrs) == 3)

    def _kill(self, which: str, victim: int) -> None:
        """The victim leads its share: it is given its preferred partitions back by the controller."""
        self._elect(victim)
        before = self._cluster.controller()
        with self._measured(f"kill of {which}, until all have leaders"):
            self._cluster.kill(victim)
            if victim == before:
                self._wait_controller(before)
                self._note("kill of the controller, until the next one, s", time.monotonic() - self._began)
            self._wait("partitions have leaders", lambda part: part.leader not in (-1, victim))
        with self._measured(f"return of {which}, until all are whole"):
            self._cluster.start(victim)
            self._wait("partitions are whole", lambda part: len(part.isrs) == 3)

    def _elect(self, victim: int) -> None:
        wanted = [
            TopicPartition(_name(number), partition)
            for number in range(self._given.topics)
            for partition in range(self._given.partitions)
        ]
        client = self._client()
        client.elect_leaders(ElectionType.PREFERRED, wanted).result()
        self._wait("preferred leaders lead", lambda part: part.leader == part.replicas[0])
        led = sum(part.leader == victim for part in self._partitions())
        print(f"{self._name}: broker {victim} leads {led} partitions", file=sys.stderr)

    # -- looks --------------------

    def _client(self) -> AdminClient:
        running = [member.address for member in self._cluster.members.values() if member.running]
        return AdminClient({"bootstrap.servers": ",".join(running), "log_level": 0})

    def _partitions(self) -> list[PartitionMetadata]:
        topics = self._client().list_topics(timeout=60).topics
        return [
            part
            for name, topic in topics.items()
            if name.startswith(_PREFIX)
            for part in topic.partitions.values()
        ]

    def _wait(self, what: str, true: Callable[[PartitionMetadata], bool]) -> None:
        """Until all partitions are so."""
        count = self._given.topics * self._given.partitions
        last = 0

        def once() -> bool:
            nonlocal last
            for member in self._cluster.members.values():
                member.check()
            try:
                last = sum(true(part) for part in self._partitions())
            except KafkaException:
                return False
            return last >= count

        wait_until(once, lambda: f"{last} of {count} {what}", seconds=_PATIENCE_SECONDS, pause=_PAUSE_SECONDS)

    def _wait_controller(self, former: int) -> None:
        async def look(client: ZkClient) -> bool:
            found, _ = await client.children("/")
            if "controller" not in found:
                return False
            data, _ = await client.get("/controller")
            return f'"brokerid":{former},'.encode() not in data

        wait_until(
            lambda: at(self._cluster.connect, look),
            "there is no controller",
            seconds=_PATIENCE_SECONDS,
            pause=0.1,
        )

    @contextmanager
    def _measured(self, what: str) -> Iterator[None]:
        """Seconds, CPU seconds of all that run at the end, and the longest lag in between."""
        self._began = time.monotonic()
        before = {member.pid: member.cpu_seconds() for member in self._running()}
        self._longest_lag("")
        yield
        self._note(f"{what}, s", time.monotonic() - self._began)
        used = sum(member.cpu_seconds() - before.get(member.pid, 0.0) for member in self._running())
        self._note(f"{what}, CPU s", used)
        self._longest_lag(what)

    def _running(self) -> list[Member]:
        return [member for member in self._cluster.members.values() if member.running]

    def _longest_lag(self, what: str) -> None:
        """The upper bound of the longest lag of a fastlog broker's event loop since the last call, in ms."""
        longest = 0.0
        for member in self._running():
            ports = _PORT.findall(member.fastlog_text)
            if not ports:
                continue
            with urllib.request.urlopen(f"http://127.0.0.1:{ports[-1]}/metrics", timeout=60) as answer:
                text = answer.read().decode()
            counts = {float(bound): int(count) for bound, count in _LAG.findall(text)}
            former = self._lags.get(member.pid, {})
            self._lags[member.pid] = counts
            fresh = {bound: count - former.get(bound, 0) for bound, count in counts.items()}
            total = fresh.get(float("inf"), 0)
            longest = max(longest, min((b for b, count in fresh.items() if count >= total), default=0.0))
        if what and longest:
            self._note(f"{what}, longest lag of an event loop, at most, ms", longest * 1000)


def _name(number: int) -> str:
    return f"{_PREFIX}{number:05}"


if __name__ == "__main__":
    main()
