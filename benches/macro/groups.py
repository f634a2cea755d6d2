"""The group coordinator beside Apache Kafka's, in one run: `python -m benches.macro.groups`.

One load generator for both: raw requests, encoded beforehand, pipelined over several connections. Each broker
gets many groups of one member each; every group commits all its partitions in one request, again and again;
then the broker is restarted, and answers for all groups. One more group of many members measures rebalances.
CPU time is that of the broker's process: on a shared machine it is steadier than the time on the wall.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benches.macro.group_requests import (
    COMMIT,
    FETCH,
    JOIN,
    SETTINGS,
    SYNC,
    TOPIC,
    commit_request,
    decode,
    fetch_request,
    frame,
    join_request,
    sync_request,
)
from benches.macro.pipelines import Pipelines
from benches.macro.rebalances import (
    RebalanceFigures,
    measure,
    rebalance_rows,
    wait_for_coordinator,
)
from benches.table import print_table
from fastlog.coordination.groups.table import partition_of
from fastlog.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
)
from fastlog.wire.messages.groups import JoinGroupRequest, SyncGroupRequest
from fastlog.wire.messages.topics import CreatableTopic, CreateTopicsRequest
from tests.harness.broker_process import BrokerProcess
from tests.peers.apache_kafka import KAFKA_3, ApacheKafka

GROUP_PARTITIONS = 50


@dataclass(slots=True)
class Figures:
    """What one broker showed; lists hold one figure per round or per turn."""

    joins_per_second: list[float] = field(default_factory=list)
    commits_per_second: list[float] = field(default_factory=list)
    cpu_us_per_commit: list[float] = field(default_factory=list)
    fetches_per_second: list[float] = field(default_factory=list)
    load_from_start: list[float] = field(default_factory=list)
    load_from_port: list[float] = field(default_factory=list)
    load_cpu: list[float] = field(default_factory=list)
    bytes_per_group: list[float] = field(default_factory=list)
    resident_mb: list[float] = field(default_factory=list)
    heap_mb: list[float] = field(default_factory=list)
    rebalances: RebalanceFigures = field(default_factory=RebalanceFigures)


class Turn:
    """One broker, from an empty directory to its second start."""

    def __init__(self, broker: BrokerProcess | ApacheKafka, given: argparse.Namespace, into: Figures) -> None:
        self._broker = broker
        self._given = given
        self._into = into
        self._groups = [f"group-{index}" for index in range(given.groups)]
        self._members: list[tuple[int, str]] = []

    def run(self) -> None:
        """All of it."""
        self._broker.start()
        self._prepare()
        self._broker.stop()
        self._broker.start()
        self._settle()
        empty = self._process.memory_info().rss
        lines = Pipelines(self._broker.port, self._given.connections)
        self._join(lines)
        for number in range(1, self._given.rounds + 1):
            self._commit(lines, number, measured=number > self._given.warm_up)
        self._fetch(lines, self._given.rounds)
        lines.close()
        warm_up = self._given.rebalances // 2
        measure(self._broker, self._given.members, warm_up, self._given.rebalances, self._into.rebalances)
        self._broker.stop()
        self._load()
        self._settle()
        resident = self._process.memory_info().rss
        self._into.resident_mb.append(resident / 2**20)
        self._into.bytes_per_group.append((resident - empty) / self._given.groups)
        self._heap()
        self._broker.stop()

    @property
    def _process(self) -> psutil.Process:
        return psutil.Process(self._broker.process.pid)

    def _cpu(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def _settle(self) -> None:
        """Waits until the process has nothing to do, so that the start's work is not counted elsewhere."""
        while True:
            before = self._cpu()
            time.sleep(1)
            if self._cpu() - before < 0.1:
                return

    def _prepare(self) -> None:
        lines = Pipelines(self._broker.port, 1)
        topic = CreatableTopic(TOPIC, self._given.partitions, 1)
        _, (created,) = lines.spread([frame(CreateTopicsRequest(topics=[topic], timeout_ms=30_000), 5)])
        assert decode(CreateTopicsRequest, 5, created).topics[0].error_code == 0
        lines.close()
        wait_for_coordinator(self._broker.port)

    def _join(self, lines: Pipelines) -> None:
        """Every group gets one member, which owns all partitions."""
        seconds, answers = lines.spread([frame(join_request(group), JOIN) for group in self._groups])
        joined = [decode(JoinGroupRequest, JOIN, answer) for answer in answers]
        assert all(answer.error_code == 0 for answer in joined), joined[0]
        self._members = [(answer.generation_id, answer.member_id) for answer in joined]
        syncs = [
            frame(sync_request(group, *member, [member[1]]), SYNC)
            for group, member in zip(self._groups, self._members, strict=True)
        ]
        more, answers = lines.spread(syncs)
        assert all(decode(SyncGroupRequest, SYNC, answer).error_code == 0 for answer in answers)
        self._into.joins_per_second.append(len(self._groups) / (seconds + more))

    def _commit(self, lines: Pipelines, number: int, *, measured: bool) -> None:
        frames = [
            frame(commit_request(group, *member, number, self._given.partitions), COMMIT)
            for group, member in zip(self._groups, self._members, strict=True)
        ]
        before = self._cpu()
        seconds, answers = lines.spread(frames)
        cpu = self._cpu() - before
        # All answers are alike but for the correlation id, which is the same too.
        assert len(set(answers)) == 1, len(set(answers))
        (topic,) = decode(OffsetCommitRequest, COMMIT, answers[0]).topics
        assert [item.error_code for item in topic.partitions] == [0] * self._given.partitions
        if measured:
            self._into.commits_per_second.append(len(frames) / seconds)
            self._into.cpu_us_per_commit.append(cpu / len(frames) * 1e6)

    def _fetch(self, lines: Pipelines, number: int) -> float:
        seconds, answers = lines.spread([frame(fetch_request(group), FETCH) for group in self._groups])
        for answer in answers:
            (group,) = decode(OffsetFetchRequest, FETCH, answer).groups
            (topic,) = group.topics
            assert group.error_code == 0
            assert [item.committed_offset for item in topic.partitions] == [number] * self._given.partitions
        self._into.fetches_per_second.append(len(self._groups) / seconds)
        return seconds

    def _load(self) -> None:
        """Starts with all groups in the log; from then until one group of each partition answers."""
        by_partition = {partition_of(group, GROUP_PARTITIONS): group for group in self._groups}
        sentinels = list(by_partition.values())
        began = time.perf_counter()
        self._broker.start()
        port = time.perf_counter()
        lines = Pipelines(self._broker.port, 1)
        waiting = sentinels
        while waiting:
            groups = [OffsetFetchRequestGroup(group, topics=None) for group in waiting]
            _, (answer,) = lines.spread([frame(OffsetFetchRequest(groups=groups), FETCH)])
            rows = decode(OffsetFetchRequest, FETCH, answer).groups
            waiting = [row.group_id for row in rows if row.error_code]
            if waiting:
                time.sleep(0.005)
        ended = time.perf_counter()
        self._into.load_from_start.append(ended - began)
        self._into.load_from_port.append(ended - port)
        self._into.load_cpu.append(self._cpu())
        lines.close()
        lines = Pipelines(self._broker.port, self._given.connections)
        self._fetch(lines, self._given.rounds)
        lines.close()

    def _heap(self) -> None:
        if not isinstance(self._broker, ApacheKafka):
            return
        pid = str(self._broker.process.pid)
        subprocess.run(["jcmd", pid, "GC.run"], check=True, capture_output=True)
        words = subprocess.run(
            ["jcmd", pid, "GC.heap_info"], check=True, capture_output=True, text=True
        ).stdout
        match = re.search(r"used (\d+)K", words)
        if match is not None:
            self._into.heap_mb.append(int(match[1]) / 1024)


def main() -> None:
    """Runs all turns and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=10_000)
    parser.add_argument("--partitions", type=int, default=10, help="partitions that each group commits")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=8, help="how often every group commits")
    parser.add_argument("--warm-up", type=int, default=3, help="rounds that are not measured")
    parser.add_argument("--members", type=int, default=100, help="members of the group that rebalances")
    parser.add_argument("--rebalances", type=int, default=20, help="two times so many")
    parser.add_argument("--turns", type=int, default=1, help="how often each broker runs all of it")
    parser.add_argument("--kafka", default=KAFKA_3, help="the release of Apache Kafka")
    parser.add_argument("--only", choices=("fastlog", "kafka"), help="without a comparison")
    given = parser.parse_args()
    results = {"fastlog": Figures(), "kafka": Figures()}
    with tempfile.TemporaryDirectory(prefix="fastlog-bench-") as scratch:
        for turn in range(given.turns):
            for name in ("fastlog", "kafka") if turn % 2 == 0 else ("kafka", "fastlog"):
                if given.only in (None, name):
                    print(f"turn {turn + 1}: {name}", file=sys.stderr)
                    directory = Path(scratch) / f"{name}-{turn}"
                    broker = (
                        BrokerProcess(directory, settings=SETTINGS)
                        if name == "fastlog"
                        else ApacheKafka(directory, version=given.kafka, settings=SETTINGS)
                    )
                    try:
                        Turn(broker, given, results[name]).run()
                    finally:
                        if isinstance(broker, ApacheKafka) or broker.process.poll() is None:
                            broker.stop()
    _report(given, results["fastlog"], results["kafka"])


def _report(given: argparse.Namespace, ours: Figures, theirs: Figures) -> None:
    what = f"{given.groups:,} groups, {given.partitions} partitions each"
    rows = [
        _row(name, mine, other, more_is_better=better)
        for name, mine, other, better in (
            (f"{what}: commits/s", ours.commits_per_second, theirs.commits_per_second, True),
            ("CPU us per commit", ours.cpu_us_per_commit, theirs.cpu_us_per_commit, False),
            ("join and sync, groups/s", ours.joins_per_second, theirs.joins_per_second, True),
            ("offset fetches/s", ours.fetches_per_second, theirs.fetches_per_second, True),
            ("load, s from the process's start", ours.load_from_start, theirs.load_from_start, False),
            ("load, s from the port's opening", ours.load_from_port, theirs.load_from_port, False),
            ("CPU s until loaded", ours.load_cpu, theirs.load_cpu, False),
            ("resident memory when loaded, MiB", ours.resident_mb, theirs.resident_mb, False),
            ("resident bytes per group", ours.bytes_per_group, theirs.bytes_per_group, False),
        )
    ]
    for what, mine, other, ratio in rebalance_rows(ours.rebalances, theirs.rebalances):
        rows.append((f"{given.members} members, ms: {what}", mine, other, ratio))
    print_table(("measure", "fastlog", f"Apache Kafka {given.kafka}", "times better"), rows)
    if theirs.heap_mb:
        print(f"\nApache Kafka's heap after a full collection: {statistics.median(theirs.heap_mb):.0f} MiB")


def _row(
    what: str, ours: list[float], theirs: list[float], *, more_is_better: bool
) -> tuple[str, str, str, str]:
    mine = statistics.median(ours) if ours else float("nan")
    other = statistics.median(theirs) if theirs else float("nan")
    ratio = mine / other if more_is_better else other / mine
    digits = 0 if max(mine, other) >= 1000 else 2
    return what, f"{mine:.{digits}f}", f"{other:.{digits}f}", f"{ratio:.2f}"


if __name__ == "__main__":
    main()
