"""The group coordinator beside Apache Kafka's, in one run: `python -m benches.macro.groups`.

One load generator for both: raw requests, encoded beforehand, pipelined over several connections. Each broker
gets many groups of one member each; every group commits all its partitions in one request, again and again;
then the broker is restarted, and answers for all groups. One more group of many members measures a rebalance.
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
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benches.macro.pipelines import Pipelines
from benches.table import print_table
from fastlog.coordination.groups.table import partition_of
from fastlog.wire import Request, decode_response, encode_request
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.group_admin import DescribeGroupsRequest
from fastlog.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
)
from fastlog.wire.messages.groups import (
    JoinGroupRequest,
    JoinGroupRequestProtocol,
    LeaveGroupRequest,
    MemberIdentity,
    SyncGroupRequest,
    SyncGroupRequestAssignment,
)
from fastlog.wire.messages.topics import CreatableTopic, CreateTopicsRequest
from tests.harness.broker_process import BrokerProcess
from tests.peers.apache_kafka import KAFKA_3, ApacheKafka

TOPIC = "positions"
SESSION_MS = 30 * 60 * 1000
GROUP_PARTITIONS = 50
# Groups must not wait for members that do not come, and sessions outlive the run.
SETTINGS = {"group.initial.rebalance.delay.ms": "0", "group.max.session.timeout.ms": str(SESSION_MS)}
JOIN, SYNC, COMMIT, FETCH = 2, 2, 7, 8
"""Versions of the requests; JoinGroup 2 is the last that gives out member ids at once."""


@dataclass(slots=True)
class Figures:
    """What one broker showed; lists hold one figure per round or per turn."""

    joins_per_second: list[float] = field(default_factory=list)
    commits_per_second: list[float] = field(default_factory=list)
    cpu_us_per_commit: list[float] = field(default_factory=list)
    fetches_per_second: list[float] = field(default_factory=list)
    rebalance_ms: list[float] = field(default_factory=list)
    load_from_start: list[float] = field(default_factory=list)
    load_from_port: list[float] = field(default_factory=list)
    load_cpu: list[float] = field(default_factory=list)
    bytes_per_group: list[float] = field(default_factory=list)
    resident_mb: list[float] = field(default_factory=list)
    heap_mb: list[float] = field(default_factory=list)


class Turn:
    """One broker, from an empty directory to its second start."""

    def __init__(self, broker: BrokerProcess | ApacheKafka, given: argparse.Namespace, into: Figures) -> None:
        self._broker = broker
        self._given = given
        self._into = into
        self._groups = [f"group-{index}" for index in range(given.groups)]
        self._members: list[tuple[int, str]] = []
        self._large: list[str] = []

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
        for _ in range(self._given.rebalances):
            self._rebalance()
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
        _, (created,) = lines.spread([_frame(CreateTopicsRequest(topics=[topic], timeout_ms=30_000), 5)])
        assert _decode(CreateTopicsRequest, 5, created).topics[0].error_code == 0
        find = FindCoordinatorRequest(key="group-0")
        while _decode(FindCoordinatorRequest, 1, lines.spread([_frame(find, 1)])[1][0]).error_code:
            time.sleep(0.1)
        lines.close()

    def _join(self, lines: Pipelines) -> None:
        """Every group gets one member, which owns all partitions."""
        seconds, answers = lines.spread([_frame(_join_request(group), JOIN) for group in self._groups])
        joined = [_decode(JoinGroupRequest, JOIN, answer) for answer in answers]
        assert all(answer.error_code == 0 for answer in joined), joined[0]
        self._members = [(answer.generation_id, answer.member_id) for answer in joined]
        syncs = [
            _frame(_sync_request(group, *member, [member[1]]), SYNC)
            for group, member in zip(self._groups, self._members, strict=True)
        ]
        more, answers = lines.spread(syncs)
        assert all(_decode(SyncGroupRequest, SYNC, answer).error_code == 0 for answer in answers)
        self._into.joins_per_second.append(len(self._groups) / (seconds + more))

    def _commit(self, lines: Pipelines, number: int, *, measured: bool) -> None:
        frames = [
            _frame(_commit_request(group, *member, number, self._given.partitions), COMMIT)
            for group, member in zip(self._groups, self._members, strict=True)
        ]
        before = self._cpu()
        seconds, answers = lines.spread(frames)
        cpu = self._cpu() - before
        # All answers are alike but for the correlation id, which is the same too.
        assert len(set(answers)) == 1, len(set(answers))
        (topic,) = _decode(OffsetCommitRequest, COMMIT, answers[0]).topics
        assert [item.error_code for item in topic.partitions] == [0] * self._given.partitions
        if measured:
            self._into.commits_per_second.append(len(frames) / seconds)
            self._into.cpu_us_per_commit.append(cpu / len(frames) * 1e6)

    def _fetch(self, lines: Pipelines, number: int) -> float:
        seconds, answers = lines.spread([_frame(_fetch_request(group), FETCH) for group in self._groups])
        for answer in answers:
            (group,) = _decode(OffsetFetchRequest, FETCH, answer).groups
            (topic,) = group.topics
            assert group.error_code == 0
            assert [item.committed_offset for item in topic.partitions] == [number] * self._given.partitions
        self._into.fetches_per_second.append(len(self._groups) / seconds)
        return seconds

    def _rebalance(self) -> None:
        """A group that is stable with many members is joined by one more: from the others' joining again."""
        count = self._given.members
        lines = Pipelines(self._broker.port, count + 1)
        # The first one leads; the others wait until it joins again, and all are in the next generation.
        first = _decode(JoinGroupRequest, JOIN, lines.spread([_frame(_join_request("large"), JOIN)])[1][0])
        members = [first.member_id] + [""] * (count - 1)
        members, _ = self._next_generation(lines, members)
        _, seconds = self._next_generation(lines, [*members, ""])
        self._into.rebalance_ms.append(seconds * 1000)
        # A member that is gone with its connection would be waited for.
        with_all = LeaveGroupRequest(group_id="large", members=[MemberIdentity(name) for name in self._large])
        assert _decode(LeaveGroupRequest, 3, lines.spread([_frame(with_all, 3)])[1][0]).error_code == 0
        lines.close()

    def _next_generation(self, lines: Pipelines, members: list[str]) -> tuple[list[str], float]:
        """New members (no id) wait, then all others join; (ids, seconds from then until all are told)."""
        new = [index for index, member in enumerate(members) if not member]
        lines.send({index: [_frame(_join_request("large"), JOIN)] for index in new})
        watcher = Pipelines(self._broker.port, 1)
        describe = _frame(DescribeGroupsRequest(groups=["large"]), 1)
        while True:
            (group,) = _decode(DescribeGroupsRequest, 1, watcher.spread([describe])[1][0]).groups
            if len(group.members) == len(members):
                break
            time.sleep(0.01)
        watcher.close()
        began = time.perf_counter()
        again = {
            index: [_frame(_join_request("large", member), JOIN)]
            for index, member in enumerate(members)
            if member
        }
        answers = lines.exchange(again, expected=dict.fromkeys(range(len(members)), 1))[1]
        joined = [_decode(JoinGroupRequest, JOIN, answers[index][0]) for index in range(len(members))]
        assert {(answer.error_code, answer.generation_id) for answer in joined} == {
            (0, joined[0].generation_id)
        }
        requests = {
            index: [
                _frame(
                    _sync_request(
                        *("large", answer.generation_id, answer.member_id),
                        [item.member_id for item in answer.members],
                    ),
                    SYNC,
                )
            ]
            for index, answer in enumerate(joined)
        }
        answers = lines.exchange(requests)[1]
        seconds = time.perf_counter() - began
        for (answer,) in answers.values():
            assert _decode(SyncGroupRequest, SYNC, answer).error_code == 0
        self._large = [answer.member_id for answer in joined]
        return self._large, seconds

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
            _, (answer,) = lines.spread([_frame(OffsetFetchRequest(groups=groups), FETCH)])
            rows = _decode(OffsetFetchRequest, FETCH, answer).groups
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


def _frame(request: Request, version: int) -> bytes:
    return bytes(encode_request(request, version, 1, "bench"))


def _decode(request: type[Request], version: int, frame: bytes) -> Any:
    return decode_response(request.API, version, frame)[1]


def _join_request(group: str, member_id: str = "") -> JoinGroupRequest:
    # What a consumer of one topic says of itself.
    subscription = b"\0\1\0\0\0\1\0\x09" + TOPIC.encode() + b"\xff\xff\xff\xff\0\0\0\0"
    return JoinGroupRequest(
        group_id=group,
        session_timeout_ms=SESSION_MS,
        rebalance_timeout_ms=SESSION_MS,
        member_id=member_id,
        protocol_type="consumer",
        protocols=[JoinGroupRequestProtocol("range", subscription)],
    )


def _sync_request(group: str, generation: int, member_id: str, owners: Sequence[str]) -> SyncGroupRequest:
    assignment = b"\0\1\0\0\0\1\0\x09" + TOPIC.encode() + bytes(4 + 4 * 10 + 4)
    return SyncGroupRequest(
        group_id=group,
        generation_id=generation,
        member_id=member_id,
        assignments=[SyncGroupRequestAssignment(owner, assignment) for owner in owners],
    )


def _commit_request(
    group: str, generation: int, member_id: str, offset: int, partitions: int
) -> OffsetCommitRequest:
    rows = [OffsetCommitRequestPartition(index, offset, 0, -1, "") for index in range(partitions)]
    return OffsetCommitRequest(
        group_id=group,
        generation_id_or_member_epoch=generation,
        member_id=member_id,
        topics=[OffsetCommitRequestTopic(TOPIC, rows)],
    )


def _fetch_request(group: str) -> OffsetFetchRequest:
    return OffsetFetchRequest(groups=[OffsetFetchRequestGroup(group, topics=None)])


def main() -> None:
    """Runs all turns and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=10_000)
    parser.add_argument("--partitions", type=int, default=10, help="partitions that each group commits")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=8, help="how often every group commits")
    parser.add_argument("--warm-up", type=int, default=3, help="rounds that are not measured")
    parser.add_argument("--members", type=int, default=100, help="members of the group that rebalances")
    parser.add_argument("--rebalances", type=int, default=5)
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
            (f"rebalance of {given.members} members, ms", ours.rebalance_ms, theirs.rebalance_ms, False),
        )
    ]
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
