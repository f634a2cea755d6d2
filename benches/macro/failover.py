"""How long nobody gets an acknowledgement after kill -9 of a leader: `python -m benches.macro.failover`.

Clusters of three, one after another, each on a ZooKeeper server: `--clusters 'fastlog*3' 'kafka*3'`. A
producer with acks=all sends a record every few milliseconds to a partition that the victim leads; what counts
is the longest time between two acknowledgements around the kill. Most of it is the session time-out, which is
the same for all. The victim is once a leader and no more, once the controller, too.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Final

from confluent_kafka import Message, Producer

from benches.table import print_table
from tests.cluster.cluster import Cluster
from tests.cluster.kinds import Kinds, named, parse, uniform
from tests.cluster.operator import create_topic
from tests.harness.waiting import wait_until

_EVERY_SECONDS: Final = 0.005
_VICTIMS: Final = ("a leader", "the leader that is the controller")


class Beat:
    """Sends a record every few milliseconds from a thread, and notes when each was acknowledged."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "linger.ms": 0,
                # What the client waits for before it looks for the new leader is not to be measured.
                "retry.backoff.ms": 10,
                "retry.backoff.max.ms": 20,
                "reconnect.backoff.ms": 10,
                "reconnect.backoff.max.ms": 50,
                "topic.metadata.refresh.fast.interval.ms": 20,
                "log_level": 0,
            }
        )
        self._topic = topic
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="beat")
        self.acked: list[float] = []
        self._thread.start()

    def close(self) -> None:
        """Sends no more, and waits for all answers."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            self._producer.produce(self._topic, b"beat", partition=0, on_delivery=self._on_delivery)
            self._producer.poll(_EVERY_SECONDS)
            time.sleep(_EVERY_SECONDS)
        self._producer.flush(60)

    def _on_delivery(self, error: object, _: Message) -> None:
        assert error is None, error
        self.acked.append(time.monotonic())


def main() -> None:
    """Kills, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clusters", nargs="+", type=parse, default=uniform())
    parser.add_argument("--kills", type=int, default=10, help="of each cluster and each kind of victim")
    parser.add_argument("--session-ms", type=int, default=6000)
    parser.add_argument("--stop", action="store_true", help="SIGTERM in place of kill -9")
    given = parser.parse_args()
    rows = []
    for kinds in given.clusters:
        gaps = _measure(kinds, given.kills, given.session_ms, stop=given.stop)
        rows += [(f"{named(kinds)}: {victim}", *_figures(found)) for victim, found in gaps.items()]
    how = "SIGTERM" if given.stop else f"kill -9, session time-out {given.session_ms} ms"
    print(f"Seconds without acknowledgements, {given.kills} times {how}")
    print_table(("victim", "p50", "p99", "longest"), rows)


def _measure(kinds: Kinds, kills: int, session_ms: int, *, stop: bool) -> dict[str, list[float]]:
    gaps: dict[str, list[float]] = {victim: [] for victim in _VICTIMS}
    settings = {"zookeeper.session.timeout.ms": str(session_ms)}
    with (
        tempfile.TemporaryDirectory(prefix="fastlog-failover-") as scratch,
        Cluster(Path(scratch), kinds, settings=settings, heap="512m", quick=False) as cluster,
    ):
        for number in range(kills):
            for victim in _VICTIMS:
                cluster.wait_whole()
                controller = cluster.controller()
                others = [member for member in cluster.members if member != controller]
                chosen = controller if victim == _VICTIMS[1] else others[number % len(others)]
                gap = _gap(cluster, f"{victim.split()[-1]}-{number}", chosen, stop=stop)
                print(f"{named(kinds)}: {victim}: {gap:.3f} s", file=sys.stderr)
                gaps[victim].append(gap)
    return gaps


def _gap(cluster: Cluster, topic: str, victim: int, *, stop: bool) -> float:
    """The longest time between two acknowledgements from just before the victim dies until others lead."""
    rest = [number for number in cluster.members if number != victim]
    create_topic(cluster, topic, [[victim, *rest]])
    beat = Beat(cluster.bootstrap, topic)
    try:
        wait_until(lambda: len(beat.acked) > 200, "nothing is acknowledged", seconds=60, pause=0.02)
        began = time.monotonic()
        if stop:
            cluster.stop(victim)
        else:
            cluster.kill(victim)
        cluster.wait_led_by_others(topic, victim)
        count = len(beat.acked)
        wait_until(lambda: len(beat.acked) > count + 200, "nobody takes over", seconds=60, pause=0.02)
    finally:
        beat.close()
    cluster.start(victim)
    around = [moment for moment in beat.acked if moment > began - 0.5]
    return max(after - before for before, after in pairwise(around))


def _figures(gaps: list[float]) -> tuple[str, str, str]:
    cuts = statistics.quantiles(gaps, n=100, method="inclusive") if len(gaps) > 1 else gaps * 99
    return f"{cuts[49]:.3f}", f"{cuts[98]:.3f}", f"{max(gaps):.3f}"


if __name__ == "__main__":
    main()
