"""A cluster under load to which one thing after another happens, drawn by a seed; then it heals, is checked.

`python -m tests.cluster.chaos [--minutes N] [--seed N] [--kinds kafka,kafka,fastlog] [--place ensemble]`;
`--without GUARD` runs fastlog's brokers without one of their guards (`guards/removals`).
Beside the producers and the reader of `load`, a consumer group works all the time: its members are those of
tests/chaos, and so is what its history must show.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, get_args

from tests.chaos import truth
from tests.chaos.checker import Truth
from tests.chaos.checker import check as check_group
from tests.chaos.group import GroupProcesses
from tests.chaos.history import read_history
from tests.cluster import kinds as kinds_of_members
from tests.cluster.checker import check
from tests.cluster.cluster import OFFSETS_PARTITIONS, PATIENCE_SECONDS, Cluster, Place
from tests.cluster.guards.broker import command as command_without
from tests.cluster.guards.removals import GUARDS
from tests.cluster.history import NO_OFFSET, LogHistory
from tests.cluster.kinds import Kind, Kinds
from tests.cluster.load import Load
from tests.cluster.logs import assert_equal_logs
from tests.cluster.moves import OF_BROKERS, OF_SERVERS, Move
from tests.cluster.operator import admin, create_topic, rotations
from tests.cluster.verdict import unexplained, with_batches
from tests.harness.waiting import wait_until

TOPIC: Final = "numbers"
GROUP: Final = "workers"
RATE: Final = 400
_MEMBERS: Final = 2
"""Members of the group, each a process."""


@dataclass(slots=True)
class Outcome:
    """What a run showed: what is wrong, and that the moves have been made."""

    violations: list[str]
    moves: Counter[str] = field(default_factory=Counter)
    history: LogHistory = field(default_factory=LogHistory)


class Run:
    """One run in a directory of its own."""

    def __init__(
        self, directory: Path, kinds: Kinds, place: Place, seed: int, command: list[str] | None = None
    ) -> None:
        self._directory = directory
        self._chance = random.Random(seed)
        self._cluster = Cluster(directory / "cluster", kinds, place=place, command=command)
        self._group = GroupProcesses(directory / "group", self._cluster.bootstrap, GROUP, TOPIC)
        self._moves: dict[str, Move] = {**OF_BROKERS, **(OF_SERVERS if place == "ensemble" else {})}
        if len(set(kinds)) > 1:
            self._moves["member replaced"] = self._replace
        self._made: Counter[str] = Counter()

    def run(self, seconds: float) -> Outcome:
        """From start to end. Raises AssertionError when the cluster does not go on after a move."""
        with self._cluster as cluster:
            numbers = [*cluster.members]
            create_topic(cluster, TOPIC, rotations(numbers) * 2)
            partitions = 2 * len(numbers)
            try:
                for _ in range(_MEMBERS):
                    self._group.add("confluent")
                with Load(cluster.bootstrap, TOPIC, partitions, self._directory / "log", rate=RATE) as load:
                    self._disturb(load, time.monotonic() + seconds)
                    cluster.heal()
                    history = load.finish()
                    violations = [*check(history), *self._check_group(history, partitions)]
            finally:
                self._group.close()
            violations += [f"not acknowledged: {failed}" for failed in unexplained(cluster, history)]
            violations = with_batches(cluster.data_dirs[1], violations, TOPIC) + cluster.tracebacks()
            state = cluster.wait_whole()
            replicas = {key: part.replicas for key, part in state.partitions.items()}
            try:
                assert_equal_logs(cluster.data_dirs, replicas)
            except AssertionError as error:
                violations.append(f"logs differ: {error}")
        return Outcome(violations, self._made, history)

    def _disturb(self, load: Load, until: float) -> None:
        while time.monotonic() < until:
            load.wait_for_acks(RATE, seconds=PATIENCE_SECONDS)
            name = self._chance.choice(sorted(self._moves))
            _say(f"{name} ({load.acked} acknowledged, {self._told()})")
            self._moves[name](self._cluster, TOPIC)
            self._made[name] += 1
            # Half of the moves find a cluster that has not got over the one before.
            if self._chance.random() < 0.5:
                self._cluster.wait_whole()
            time.sleep(self._chance.uniform(0, 3))

    def _replace(self, cluster: Cluster, _: str) -> None:
        """One member goes on as the other kind."""
        number = self._chance.choice([*cluster.members])
        other: Kind = "kafka" if cluster.members[number].kind == "fastlog" else "fastlog"
        cluster.restart(number, kind=other)

    def _check_group(self, history: LogHistory, partitions: int) -> list[str]:
        """What the group has done with the records, by the rules of tests/chaos."""
        bootstrap, client = self._cluster.bootstrap, admin(self._cluster)
        ends = truth.end_offsets(bootstrap, TOPIC, partitions)
        committed: dict[int, int] = {}

        def caught_up() -> bool:
            committed.update(truth.committed(client, GROUP, TOPIC, partitions))
            return committed == ends

        try:
            wait_until(caught_up, "", seconds=PATIENCE_SECONDS, pause=1)
        except AssertionError:
            return [f"lag: the group does not come to the end: {committed} of {ends}"]
        for process in self._group.running:
            process.leave()
        for process in self._group.running:
            process.wait(30)
        commits, generations = truth.read_group_log(bootstrap, GROUP, TOPIC, OFFSETS_PARTITIONS)
        facts = Truth(
            records={(partition, offset): value for partition, offset, value in history.final or ()},
            acknowledged={
                (partition, offset): value
                for producer in history.producers.values()
                for partition, offset, value in producer.acked
                if offset != NO_OFFSET
            },
            stored_commits=commits,
            stored_generations=generations,
            end_offsets=ends,
            committed=committed,
        )
        return check_group(read_history(self._group.files()), facts)

    def _told(self) -> str:
        state = self._cluster.look()
        return f"controller {state.controller} of epoch {state.controller_epoch}"


def report(outcome: Outcome) -> str:
    """Counts and violations as lines."""
    counts: Mapping[str, int] = outcome.moves
    lines = [f"{name}: {count}" for name, count in sorted(counts.items())]
    history = outcome.history
    lines.append(f"records: {len(history.final or ())}, acknowledged: {history.acked}")
    lines.append(f"given up by the client, since a broker knew of no topic: {len(history.failures)}")
    kinds = Counter(text.partition(":")[0] for text in outcome.violations)
    for kind, count in kinds.items():
        lines.append(f"{count} of kind {kind!r}")
        found = [text for text in outcome.violations if text.startswith(kind)]
        lines += [f"VIOLATION {text}" for text in found[:5]]
    return "\n".join(lines)


def main() -> int:
    """Runs, prints counts and violations; 0 when there are none."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=None, help="what happens, and in which order")
    parser.add_argument("--kinds", type=kinds_of_members.parse, default=None, help="kafka,kafka,fastlog")
    parser.add_argument("--place", choices=get_args(Place), default="ensemble")
    parser.add_argument("--directory", type=Path, help="keep all files there, and not only histories")
    parser.add_argument("--without", choices=GUARDS, help="fastlog's brokers lack this guard")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    kinds = given.kinds or kinds_of_members.clusters(whole=False)[-1]
    directory = given.directory or Path(tempfile.mkdtemp(prefix="fastlog-cluster-"))
    print(
        f"seed {seed}, {kinds_of_members.named(kinds)} on {given.place}, histories in {directory}", flush=True
    )
    # An exception leaves everything where it is.
    command = None if given.without is None else command_without(given.without)
    outcome = Run(directory, kinds, given.place, seed, command).run(given.minutes * 60)
    print(report(outcome))
    if not outcome.violations and given.directory is None:
        shutil.rmtree(directory / "cluster")
    return 1 if outcome.violations else 0


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
