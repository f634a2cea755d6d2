"""Three brokers under transactions, of whom leaders and coordinators are killed, stopped and frozen.

Each broker is known to clients and to the others by a proxy, so that what they say to each other may be late,
too: WriteTxnMarkers and the questions of leaders to coordinators.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path
from typing import Final

from fastlog.coordination.topic_names import GROUP_METADATA_TOPIC, TRANSACTION_STATE_TOPIC
from tests.chaos.transactions.ambush import (
    FORMER_MARKER,
    LATE_ANSWER,
    LATE_END,
    LATE_MARKER,
    LATE_RECORD,
    Ambushes,
)
from tests.chaos.transactions.checker import check
from tests.chaos.transactions.load import TOPIC, Clients, Load
from tests.chaos.transactions.proxy import FrameProxy
from tests.chaos.transactions.single import Outcome, say
from tests.chaos.transactions.wire import GIVE_UP_SECONDS
from tests.cluster import moves
from tests.cluster.cluster import Cluster, Place
from tests.cluster.logs import assert_equal_logs
from tests.cluster.operator import create_topic, rotations
from tests.harness.net import free_port

EFFECTS: Final = (
    *("kill", "freeze", "stop", "deaths", "end: PRODUCER_FENCED"),
    *("frame late EndTxn", "frame late Produce", "frame late WriteTxnMarkers", "frame slow"),
    *(f"ambush {kind}" for kind in (LATE_RECORD, LATE_ANSWER, LATE_MARKER, FORMER_MARKER, LATE_END)),
)
"""What has to have happened in a long run, for it to say anything."""
_SETTINGS: Final = {
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
    "offsets.topic.num.partitions": "3",
    "log.cleaner.backoff.ms": "1000",
    "log.cleaner.min.cleanable.ratio": "0.1",
}
_AMBUSHES: Final = 0.25
"""Of how many kills a marker is under way."""
_TOPICS: Final = (TOPIC, TRANSACTION_STATE_TOPIC, GROUP_METADATA_TOPIC)
_MOVES: Final[dict[str, moves.Move]] = {
    "kill": moves.kill_leader,
    "stop": moves.stop_leader,
    "freeze": moves.freeze_leader,
}


class ClusterRun:
    """A run in a directory of its own; `command` starts other brokers than ours as they are."""

    def __init__(
        self,
        directory: Path,
        seed: int,
        *,
        place: Place = "keeper",
        clients: Clients | None = None,
        command: list[str] | None = None,
        patience: float = GIVE_UP_SECONDS,
    ) -> None:
        self._chance = random.Random(seed)
        self._clients = clients or Clients(partitions=6)
        self._cluster = Cluster(
            directory / "cluster", ("fastlog",) * 3, place=place, settings=_SETTINGS, command=command
        )
        ambushes = Ambushes(*(self._clients.kinds or (LATE_RECORD, LATE_ANSWER, LATE_MARKER, LATE_END)))
        proxies = []
        for number, member in self._cluster.members.items():
            proxy = FrameProxy(
                lambda member=member: member.port,  # type: ignore[misc]
                free_port(),
                seed + number,
                ambushes=ambushes,
            )
            member.settings["advertised.listeners"] = f"PLAINTEXT://127.0.0.1:{proxy.port}"
            proxies.append(proxy)
        ports = [proxy.port for proxy in proxies]
        self._numbers = dict(zip(ports, self._cluster.members, strict=True))
        self._load = Load(directory / "histories", self._clients, seed, ports, proxies, ambushes, patience)
        self._counts: Counter[str] = Counter()

    def run(self, seconds: float) -> Outcome:
        """From start to end."""
        load = self._load
        try:
            load.start_proxies()
            with self._cluster as cluster:
                numbers = [*cluster.members]
                create_topic(cluster, TOPIC, (rotations(numbers) * 2)[: self._clients.partitions])
                load.start()
                load.wait_for(10)
                began = time.monotonic()
                self._disturb(began + seconds)
                took = time.monotonic() - began
                cluster.heal()
                history = load.finish()
                violations = [*check(history), *cluster.tracebacks()]
                state = cluster.wait_whole()
                replicas = {key: part.replicas for key, part in state.partitions.items()}
                try:
                    assert_equal_logs(
                        cluster.data_dirs, {key: replicas[key] for key in replicas if key[0] == TOPIC}
                    )
                except AssertionError as error:
                    violations.append(f"logs differ: {error}")
        finally:
            load.close()
        self._counts.update(load.counts())
        return Outcome(violations, self._counts, history, took)

    def _disturb(self, until: float) -> None:
        while time.monotonic() < until and self._load.goes_on(10):
            if FORMER_MARKER in self._clients.kinds or self._chance.random() < _AMBUSHES:
                self._kill_a_coordinator()
            else:
                self._move()
            if self._chance.random() < 0.5:
                self._cluster.wait_whole()
            time.sleep(self._chance.uniform(0, 3))

    def _move(self) -> None:
        name, topic = self._chance.choice(sorted(_MOVES)), self._chance.choice(_TOPICS)
        say(f"{name}, who leads in {topic} ({self._load.transactions} transactions)")
        _MOVES[name](self._cluster, topic)
        self._counts[f"{name}, who leads in {topic}"] += 1

    def _kill_a_coordinator(self) -> None:
        """While a marker of it is under way, which arrives when the next coordinator has sent its own."""
        load = self._load
        port = load.run(load.ambushes.hold_a_marker())
        if port is None:
            say("no marker to wait for")
            return
        number = self._numbers[port]
        say(f"kill {number}, whose marker is under way ({load.transactions} transactions)")
        self._cluster.kill(number)
        self._cluster.wait_led_by_others(TRANSACTION_STATE_TOPIC, number)
        self._cluster.start(number)
        self._counts["kill with a marker under way"] += 1
