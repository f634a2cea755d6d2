"""One run: a group under load whose members and broker come and go; then it heals, and is checked."""

from __future__ import annotations

import itertools
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic

from tests.chaos import truth
from tests.chaos.checker import Truth, check
from tests.chaos.group import GroupProcesses, MemberProcess
from tests.chaos.history import History, read_history
from tests.chaos.load import Load
from tests.chaos.member import SESSION_MS
from tests.chaos.probes import Probes
from tests.harness.broker_process import BrokerProcess
from tests.peers.apache_kafka import KAFKA_3, KAFKA_4

GROUP, TOPIC = "churn", "numbers"
GROUP_PARTITIONS = 4
SETTINGS = {
    "group.initial.rebalance.delay.ms": "500",
    "offsets.topic.num.partitions": str(GROUP_PARTITIONS),
}
_FREEZE_SECONDS = SESSION_MS / 1000 + 2
_FAULTS = ("freeze", "probe", "kill", "probe", "leave")
_LOST = re.compile(rf"group {GROUP} lost (.*): no sign of life")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does. `processes`: (kind, members in it) each; `restarts`: (part of the time, how)."""

    processes: tuple[tuple[str, int], ...]
    partitions: int
    seconds: float
    every: float
    """Seconds from one fault to the next."""
    rate: int
    """Records a second."""
    restarts: tuple[tuple[float, str], ...]
    seed: int = 0


FULL = Plan(
    processes=(
        *((f"java {KAFKA_3}", 3), (f"java {KAFKA_3}", 1), (f"java {KAFKA_4}", 2), (f"java {KAFKA_4}", 1)),
        *((("confluent", 1),) * 7),
        *((("kafka-python", 1),) * 6),
    ),
    partitions=60,
    seconds=300,
    every=5,
    rate=400,
    restarts=((0.3, "stop"), (0.5, "stop"), (0.7, "kill")),
)
SHORT = Plan(
    processes=((f"java {KAFKA_4}", 2), ("confluent", 1), ("confluent", 1), ("kafka-python", 1)),
    partitions=12,
    seconds=22,
    every=2.5,
    rate=150,
    restarts=((0.45, "stop"),),
)


@dataclass(slots=True)
class Outcome:
    """What a run showed: what is wrong, and that the faults have taken effect."""

    violations: list[str]
    counts: Counter[str] = field(default_factory=Counter)
    history: History = field(default_factory=History)
    broker_log: str = ""

    def missing_effects(self, plan: Plan) -> list[str]:
        """Faults that were to be and had no effect: then the run has shown nothing."""
        wanted = ["killed members", "expired after kill", "left members", "added members"]
        wanted += ["frozen members", "expired after freeze", "refused probes", "generations", "records"]
        wanted += [f"broker {how}" for _, how in plan.restarts]
        return [name for name in wanted if not self.counts[name]]


class Churn:
    """A run in a directory of its own; `command` starts another broker than ours as it is."""

    def __init__(self, directory: Path, plan: Plan, command: list[str] | None = None) -> None:
        self._plan = plan
        self._chance = random.Random(plan.seed)
        self._broker = BrokerProcess(directory / "broker", settings=SETTINGS, command=command)
        self._members = GroupProcesses(directory / "members", self._broker.bootstrap, GROUP, TOPIC)
        self._probes = Probes(self._broker.port, GROUP, TOPIC)
        self._counts: Counter[str] = Counter()
        self._killed: set[str] = set()
        self._frozen: set[str] = set()
        self._thaw_at: list[tuple[float, MemberProcess]] = []
        self._violations: list[str] = []

    def run(self) -> Outcome:
        """From start to end."""
        plan = self._plan
        try:
            self._broker.start()
            admin = AdminClient(
                {"bootstrap.servers": self._broker.bootstrap, "log_level": 2, "reconnect.backoff.max.ms": 500}
            )
            admin.create_topics([NewTopic(TOPIC, plan.partitions, 1)])[TOPIC].result(30)
            load = Load(self._broker.bootstrap, TOPIC, plan.partitions, plan.rate)
            load.start()
            for kind, members in plan.processes:
                self._members.add(kind, members)
            self._until(self._members.stable, 120, "all members have an assignment")
            _say(f"{sum(count for _, count in plan.processes)} members are stable")
            self._disturb()
            self._heal(admin, load)
            return self._judge(admin, load)
        finally:
            self._members.close()
            if self._broker.process.poll() is None:
                self._broker.stop()

    # -- faults --------------------

    def _disturb(self) -> None:
        plan = self._plan
        began = time.monotonic()
        restarts = [(began + part * plan.seconds, how) for part, how in plan.restarts]
        faults = itertools.cycle(_FAULTS)
        next_fault = began
        while (now := time.monotonic()) < began + plan.seconds or self._thaw_at:
            while self._thaw_at and self._thaw_at[0][0] <= now:
                self._thaw_at.pop(0)[1].thaw()
            # Not while a member is frozen: its session would begin anew, and it would not be missed.
            if restarts and now >= restarts[0][0] and not self._thaw_at:
                self._restart(restarts.pop(0)[1])
            if next_fault <= now < began + plan.seconds:
                next_fault += plan.every
                self._fault(next(faults))
            for process in self._members.running:
                process.check()
            time.sleep(0.1)
        assert not restarts, "there was no time for all restarts"

    def _fault(self, fault: str) -> None:
        # Only what has partitions is worth a fault.
        owners = [item for item in self._members.running if not item.frozen and item.member_ids()]
        if not owners:
            return
        process = self._chance.choice(owners)
        count = len(process.events)
        _say(f"{fault} {process.kind} ({count})")
        if fault == "probe":
            self._probes.send(process.events[0])
        elif fault == "freeze":
            self._frozen |= process.member_ids()
            process.freeze()
            self._thaw_at.append((time.monotonic() + _FREEZE_SECONDS, process))
            self._counts["frozen members"] += count
        else:
            if fault == "kill":
                self._killed |= process.member_ids()
                self._members.retire(process, MemberProcess.kill)
                self._counts["killed members"] += count
            else:
                self._members.retire(process, MemberProcess.leave)
                self._counts["left members"] += count
            self._members.add(process.kind, count)
            self._counts["added members"] += count

    def _restart(self, how: str) -> None:
        _say(f"broker: {how}")
        before = self._broker.process.pid
        if how == "kill":
            self._broker.kill()
        else:
            assert self._broker.stop() == 0, self._broker.log_text[-3000:]
        self._broker.start()
        assert self._broker.process.pid != before
        self._counts[f"broker {how}"] += 1

    # -- the end --------------------

    def _heal(self, admin: AdminClient, load: Load) -> None:
        load.stop()
        ends = truth.end_offsets(self._broker.bootstrap, TOPIC, self._plan.partitions)

        def caught_up() -> bool:
            for process in self._members.running:
                process.check()
            return truth.committed(admin, GROUP, TOPIC, self._plan.partitions) == ends

        try:
            self._until(caught_up, 60, "everything is committed")
        except AssertionError:
            self._violations.append("it does not heal: not everything is committed a minute later")
        for process in self._members.running:
            process.leave()
        for process in self._members.running:
            process.wait(30)

    def _judge(self, admin: AdminClient, load: Load) -> Outcome:
        bootstrap, partitions = self._broker.bootstrap, self._plan.partitions
        history = read_history(self._members.files())
        commits, generations = truth.read_group_log(bootstrap, GROUP, TOPIC, GROUP_PARTITIONS)
        facts = Truth(
            records=truth.read_values(bootstrap, TOPIC, partitions),
            acknowledged=load.acknowledged,
            stored_commits=commits,
            stored_generations=generations,
            end_offsets=truth.end_offsets(bootstrap, TOPIC, partitions),
            committed=truth.committed(admin, GROUP, TOPIC, partitions),
        )
        violations = [*self._violations, *check(history, facts), *self._probes.accepted()]
        violations += [f"not acknowledged: {failure}" for failure in load.failures]
        if "Traceback" in self._broker.log_text:
            violations.append("the broker's log has a traceback")
        self._count(history, facts)
        return Outcome(violations, self._counts, history, self._broker.log_text)

    def _count(self, history: History, facts: Truth) -> None:
        expired = {name for match in _LOST.finditer(self._broker.log_text) for name in match[1].split(", ")}
        good = sum(commit.error is None for commit in history.commits)
        self._counts.update(
            {
                "expired after kill": len(expired & self._killed),
                "expired after freeze": len(expired & self._frozen),
                "refused probes": self._probes.refused,
                "records": len(facts.records),
                "handled": sum(len(event.records) for event in history.handled),
                "commits": good,
                "failed commits": len(history.commits) - good,
                "stored commits": len(facts.stored_commits),
                "generations": max(facts.stored_generations, default=0),
                "assignments": len(history.assigned),
                "troubles": len(history.troubles),
            }
        )

    def _until(self, done: Callable[[], bool], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, f"{what}: not in time\n{self._broker.log_text[-4000:]}"
            time.sleep(0.3)


def report(outcome: Outcome) -> str:
    """Counts and violations as lines."""
    counts: Mapping[str, int] = outcome.counts
    lines = [f"{name}: {count}" for name, count in sorted(counts.items())]
    kinds: Counter[str] = Counter()
    for text in outcome.violations:
        kind = text.partition(":")[0]
        kinds[kind] += 1
        if kinds[kind] <= 5:
            lines.append(f"VIOLATION {text}")
    lines += [f"{count} of kind {kind!r}" for kind, count in kinds.items()]
    return "\n".join(lines)


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
