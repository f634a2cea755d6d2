"""Rebalances of one large classic group beside Apache Kafka's: `python -m benches.macro.rebalances`.

A stable group is joined by one more member, or left by it; the time is from the others' joining again until
all have their assignments. It counts while requests are under way: what the load generator encodes and checks
is left out, and what it needs to send and receive is printed. Each broker's first rounds are not measured:
Java compiles.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benches.macro.group_requests import (
    DESCRIBE,
    JOIN,
    LEAVE,
    SETTINGS,
    SYNC,
    decode,
    frame,
    join_request,
    sync_request,
)
from benches.macro.pipelines import Pipelines
from benches.table import print_table
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.group_admin import DescribeGroupsRequest
from fastlog.wire.messages.groups import JoinGroupRequest, LeaveGroupRequest, MemberIdentity, SyncGroupRequest
from tests.harness.broker_process import BrokerProcess
from tests.peers.apache_kafka import KAFKA_3, ApacheKafka

_GROUP: Final = "large"


@dataclass(slots=True)
class RebalanceFigures:
    """One figure for each rebalance, in milliseconds; CPU time is that of all threads of a process."""

    total: list[float] = field(default_factory=list)
    join: list[float] = field(default_factory=list)
    sync: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    client_cpu: list[float] = field(default_factory=list)


class LargeGroup:
    """A group with a connection for each member; one of them comes and goes."""

    def __init__(self, port: int, cpu: Callable[[], float], members: int, into: RebalanceFigures) -> None:
        self._cpu = cpu
        self._into = into
        self._watcher = Pipelines(port, 1)
        self._lines = Pipelines(port, members + 1)
        self._count = members
        # The first one leads; the others wait until it joins again, and all are in the next generation.
        self._members = [self._first()]
        self._come(members - 1)
        self._next_generation(RebalanceFigures())

    def run(self, rounds: int) -> None:
        """The last member comes and goes so many times: two rebalances each."""
        for _ in range(rounds):
            self._come(1)
            self._next_generation(self._into)
            self._leave(self._members[-1:])
            del self._members[-1]
            self._next_generation(self._into)

    def close(self) -> None:
        """All members leave: one that is gone with its connection would be waited for."""
        self._leave(self._members)
        self._lines.close()
        self._watcher.close()

    def _first(self) -> str:
        """One member joins, as soon as the coordinator has loaded what it has stored."""
        while True:
            (answer,) = self._lines.spread([frame(join_request(_GROUP), JOIN)])[1]
            joined = decode(JoinGroupRequest, JOIN, answer)
            if not joined.error_code:
                return str(joined.member_id)
            time.sleep(0.1)

    def _come(self, count: int) -> None:
        """So many new members ask to join, and wait for the others."""
        before = len(self._members)
        self._members += [""] * count
        request = frame(join_request(_GROUP), JOIN)
        self._lines.send({index: [request] for index in range(before, before + count)})
        describe = frame(DescribeGroupsRequest(groups=[_GROUP]), DESCRIBE)
        while True:
            (answer,) = self._watcher.spread([describe])[1]
            (group,) = decode(DescribeGroupsRequest, DESCRIBE, answer).groups
            if len(group.members) == len(self._members):
                return
            time.sleep(0.01)

    def _leave(self, names: Sequence[str]) -> None:
        leave = LeaveGroupRequest(group_id=_GROUP, members=[MemberIdentity(name) for name in names])
        (answer,) = self._watcher.spread([frame(leave, LEAVE)])[1]
        assert decode(LeaveGroupRequest, LEAVE, answer).error_code == 0

    def _next_generation(self, into: RebalanceFigures) -> None:
        """Those with an id join again, then all ask for their assignments."""
        everybody = range(len(self._members))
        again = {
            index: [frame(join_request(_GROUP, member), JOIN)]
            for index, member in enumerate(self._members)
            if member
        }
        cpu, client_cpu = self._cpu(), time.process_time()
        join, answers = self._lines.exchange(again, expected=dict.fromkeys(everybody, 1))
        client_cpu = time.process_time() - client_cpu
        joined = [decode(JoinGroupRequest, JOIN, answers[index][0]) for index in everybody]
        assert {(answer.error_code, answer.generation_id) for answer in joined} == {
            (0, joined[0].generation_id)
        }
        self._members = [answer.member_id for answer in joined]
        assert sorted(item.member_id for answer in joined for item in answer.members) == sorted(self._members)
        requests = {}
        for index, answer in enumerate(joined):
            owners = [item.member_id for item in answer.members]
            request = sync_request(_GROUP, answer.generation_id, answer.member_id, owners)
            requests[index] = [frame(request, SYNC)]
        client_began = time.process_time()
        sync, answers = self._lines.exchange(requests)
        client_cpu += time.process_time() - client_began
        into.cpu.append((self._cpu() - cpu) * 1000)
        for (answer,) in answers.values():
            decoded = decode(SyncGroupRequest, SYNC, answer)
            assert decoded.error_code == 0
            assert decoded.assignment
        into.client_cpu.append(client_cpu * 1000)
        into.join.append(join * 1000)
        into.sync.append(sync * 1000)
        into.total.append((join + sync) * 1000)


def cpu_seconds(pid: int) -> float:
    """What all threads of a process have used, to the nanosecond, but for threads that have ended."""
    total = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((thread / "schedstat").read_text().split()[0])
        except OSError:
            continue  # it has ended
    return total / 1e9


def wait_for_coordinator(port: int) -> None:
    """Returns when groups are served."""
    lines = Pipelines(port, 1)
    find = frame(FindCoordinatorRequest(key=_GROUP), 1)
    while decode(FindCoordinatorRequest, 1, lines.spread([find])[1][0]).error_code:
        time.sleep(0.1)
    lines.close()


def measure(
    broker: BrokerProcess | ApacheKafka, members: int, warm_up: int, rounds: int, into: RebalanceFigures
) -> None:
    """Rebalances of one broker that runs."""
    pid = broker.process.pid
    figures = RebalanceFigures()
    group = LargeGroup(broker.port, lambda: cpu_seconds(pid), members, figures)
    group.run(warm_up + rounds)
    group.close()
    for name in RebalanceFigures.__slots__:
        getattr(into, name).extend(getattr(figures, name)[2 * warm_up :])


def main() -> None:
    """Runs all turns and prints a table for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, nargs="+", default=[100, 1000], help="sizes of the group")
    parser.add_argument("--rounds", type=int, default=20, help="two rebalances each")
    parser.add_argument("--warm-up", type=int, default=20, help="rounds that are not measured")
    parser.add_argument("--turns", type=int, default=1, help="how often each broker runs all of it")
    parser.add_argument("--kafka", default=KAFKA_3, help="the release of Apache Kafka")
    parser.add_argument("--only", choices=("fastlog", "kafka"), help="without a comparison")
    given = parser.parse_args()
    results = {name: {size: RebalanceFigures() for size in given.members} for name in ("fastlog", "kafka")}
    with tempfile.TemporaryDirectory(prefix="fastlog-bench-") as scratch:
        for turn in range(given.turns):
            for name in ("fastlog", "kafka") if turn % 2 == 0 else ("kafka", "fastlog"):
                if given.only not in (None, name):
                    continue
                print(f"turn {turn + 1}: {name}", file=sys.stderr)
                directory = Path(scratch) / f"{name}-{turn}"
                with (
                    BrokerProcess(directory, settings=SETTINGS)
                    if name == "fastlog"
                    else ApacheKafka(directory, version=given.kafka, settings=SETTINGS)
                ) as broker:
                    wait_for_coordinator(broker.port)
                    for size in given.members:
                        measure(broker, size, given.warm_up, given.rounds, results[name][size])
    for size in given.members:
        print(f"\n{size} members, milliseconds: median (least)\n")
        rows = rebalance_rows(results["fastlog"][size], results["kafka"][size])
        print_table(("measure", "fastlog", f"Apache Kafka {given.kafka}", "times better"), rows)


def rebalance_rows(ours: RebalanceFigures, theirs: RebalanceFigures) -> list[tuple[str, str, str, str]]:
    """What `print_table` takes."""
    rows = []
    for what, name in (
        ("rebalance", "total"),
        ("of it until all have joined", "join"),
        ("of it until all have assignments", "sync"),
        ("CPU of the broker", "cpu"),
        ("CPU of the load generator", "client_cpu"),
    ):
        mine, other = _median(getattr(ours, name)), _median(getattr(theirs, name))
        cells = _cell(getattr(ours, name)), _cell(getattr(theirs, name))
        rows.append((what, *cells, f"{other / mine:.2f}"))
    return rows


def _median(figures: Sequence[float]) -> float:
    return statistics.median(figures) if figures else float("nan")


def _cell(figures: Sequence[float]) -> str:
    return f"{statistics.median(figures):.2f} ({min(figures):.2f})" if figures else "-"


if __name__ == "__main__":
    main()
