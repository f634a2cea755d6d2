"""A broker under transactions that is killed, stopped and frozen at random; then it heals, and is checked."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from confluent_kafka.admin import AdminClient, NewTopic

from tests.chaos.transactions.ambush import LATE_END, LATE_RECORD, Ambushes
from tests.chaos.transactions.checker import check
from tests.chaos.transactions.history import TransactionHistory
from tests.chaos.transactions.load import TOPIC, Clients, Load
from tests.chaos.transactions.proxy import FrameProxy
from tests.chaos.transactions.wire import GIVE_UP_SECONDS
from tests.harness.broker_process import BrokerProcess
from tests.harness.net import free_port

SETTINGS: Final = {
    "transaction.state.log.num.partitions": "3",
    "offsets.topic.num.partitions": "3",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
    # Rolls, snapshots and compaction of the coordinators' topics are part of it.
    "log.segment.bytes": "262144",
    "transaction.state.log.segment.bytes": "131072",
    "offsets.topic.segment.bytes": "131072",
    "log.cleaner.backoff.ms": "1000",
    "log.cleaner.min.cleanable.ratio": "0.1",
    "log.retention.ms": "-1",
}
_START_SECONDS: Final = 240.0
"""On a machine that has much else to do."""
_FAULTS: Final = ("kill", "freeze", "stop", "kill")
EFFECTS: Final = (
    *("broker kill", "broker freeze", "broker stop", "deaths", "end: PRODUCER_FENCED"),
    *("frame late EndTxn", "frame late Produce", "frame lost answer EndTxn", "frame slow"),
    *(f"ambush {kind}" for kind in (LATE_RECORD, LATE_END)),
)
"""What has to have happened in a long run, for it to say anything."""


@dataclass(slots=True)
class Outcome:
    """What a run showed: what is wrong, and that the faults have taken effect."""

    violations: list[str]
    counts: Counter[str] = field(default_factory=Counter)
    history: TransactionHistory = field(default_factory=TransactionHistory)
    seconds: float = 0.0

    def missing(self, wanted: tuple[str, ...]) -> list[str]:
        """Faults that were to be and had no effect: then the run has shown nothing."""
        return [
            name for name in wanted if not sum(n for key, n in self.counts.items() if key.startswith(name))
        ]


class SingleRun:
    """A run in a directory of its own; `command` starts another broker than ours as it is."""

    def __init__(
        self,
        directory: Path,
        seed: int,
        *,
        clients: Clients | None = None,
        every: tuple[float, float] = (3.0, 9.0),
        command: list[str] | None = None,
        patience: float = GIVE_UP_SECONDS,
    ) -> None:
        self._chance = random.Random(seed)
        self._every = every
        self._clients = clients or Clients()
        way = free_port()
        settings = {**SETTINGS, "advertised.listeners": f"PLAINTEXT://127.0.0.1:{way}"}
        self._broker = BrokerProcess(directory / "broker", settings=settings, command=command)
        ambushes = Ambushes(*(self._clients.kinds or (LATE_RECORD, LATE_END)))
        proxy = FrameProxy(lambda: self._broker.port, way, seed, ambushes=ambushes)
        self._load = Load(directory / "histories", self._clients, seed, [way], [proxy], ambushes, patience)
        self._counts: Counter[str] = Counter()

    def run(self, seconds: float) -> Outcome:
        """From start to end."""
        began = time.monotonic()
        try:
            self._broker.start(timeout=_START_SECONDS)
            self._load.start_proxies()
            self._make_topic()
            self._load.start()
            self._load.wait_for(10)
            began = time.monotonic()
            self._disturb(began + seconds)
            took = time.monotonic() - began
            history = self._load.finish()
            violations = check(history)
            if "Traceback" in self._broker.log_text:
                violations.append(f"traceback: {self._broker.log_text.partition('Traceback')[2][:2000]}")
            if self._broker.stop(timeout=_START_SECONDS) != 0:
                violations.append("stop: the broker does not end in order")
        finally:
            self._load.close()
            if self._broker.process.poll() is None:
                self._broker.kill()
        self._counts.update(self._load.counts())
        return Outcome(violations, self._counts, history, took)

    def _make_topic(self) -> None:
        admin = AdminClient({"bootstrap.servers": self._broker.bootstrap, "log_level": 2})
        topic = NewTopic(TOPIC, self._clients.partitions, 1)
        admin.create_topics([topic])[TOPIC].result(30)

    def _disturb(self, until: float) -> None:
        told = time.monotonic()
        while (now := time.monotonic()) < until and self._load.goes_on(5):
            if now - told > 30:
                told = now
                say(f"{self._load.transactions} transactions, {self._load.rows} records read")
            time.sleep(min(self._chance.uniform(*self._every), max(until - time.monotonic(), 0)))
            fault = self._chance.choice(_FAULTS)
            self._counts[f"broker {fault}"] += 1
            process = self._broker.process
            assert process.poll() is None, f"the broker has ended:\n{self._broker.log_text[-4000:]}"
            if fault == "freeze":
                process.send_signal(signal.SIGSTOP)
                time.sleep(self._chance.uniform(0.2, 5))
                process.send_signal(signal.SIGCONT)
                continue
            if fault == "kill":
                self._broker.kill()
            else:
                assert self._broker.stop(timeout=_START_SECONDS) == 0, self._broker.log_text[-4000:]
            self._broker.start(timeout=_START_SECONDS)


def report(outcome: Outcome) -> str:
    """Counts and violations as lines."""
    history = outcome.history
    lines = [f"{name}: {count}" for name, count in sorted(outcome.counts.items())]
    fates = ", ".join(f"{count} {fate}" for fate, count in sorted(history.fates.items()))
    total = sum(history.fates.values())
    lines.append(f"{total} transactions ({fates}) in {outcome.seconds:.0f} s of faults")
    lines.append(f"{len(history.final or ())} records in the end, unseen and lost: 0 unless said below")
    looks = sum(len(told) for told in history.stable.values())
    lines.append(
        f"{looks} looks at last stable offsets, {sum(map(len, history.positions.values()))} at positions"
    )
    kinds = Counter(text.partition(":")[0] for text in outcome.violations)
    for kind, count in kinds.items():
        lines.append(f"{count} of kind {kind!r}")
        found = [text for text in outcome.violations if text.startswith(kind)]
        lines += [f"VIOLATION {text}" for text in found[:5]]
    return "\n".join(lines)


def say(text: str) -> None:
    """A line on standard error."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
