"""TLS and SCRAM beside Apache Kafka's, in one run: `python -m benches.macro.security`.

Both brokers have the same certificate (P-256) and the same listeners: PLAINTEXT, SSL, and SASL_SSL with
SCRAM-SHA-512. librdkafka sends and reads records of 10 KiB over PLAINTEXT and over SSL; what the broker's
process used of the CPU meanwhile is told for each GB (2^30 bytes), which other work on the machine changes
little. Then connections come in and go, and then many stay and do nothing.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import psutil
from confluent_kafka.admin import (
    AdminClient,
    NewTopic,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from benches.macro.secure_load import (
    PARTITIONS,
    RECORD_BYTES,
    Settings,
    Visitor,
    consume,
    produce,
    staying,
    visits,
)
from benches.table import print_table
from tests.harness.broker_process import BrokerProcess
from tests.harness.certificates import Authority
from tests.harness.net import free_port, wait_for_port
from tests.peers.apache_kafka import KAFKA_3, ApacheKafka

_USER: Final = "alice"
_PASSWORD: Final = "wonderland"  # noqa: S105 - of a benchmark
_JAAS: Final = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
_GB: Final = 2**30
_MORE: Final = frozenset({"MB/s", "a second"})
"""Of measures that end so more is better; of others less is."""

Figures = dict[str, list[float]]


class Peer:
    """One broker with the three listeners; `ports` by their names."""

    def __init__(self, kind: str, directory: Path, authority: Authority) -> None:
        self.kind = kind
        self.ports = {name: free_port() for name in ("SSL", "SASL_SSL")}
        store = authority.directory / "broker.store.pem"
        settings = {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(store),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(authority.certificate),
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": _JAAS,
            "log.segment.bytes": str(256 * 2**20),
        }
        self.broker: BrokerProcess | ApacheKafka
        if kind == "fastlog":
            self.broker = BrokerProcess(
                directory,
                settings=settings,
                listeners=[f"{name}://127.0.0.1:{port}" for name, port in self.ports.items()],
            )
        else:
            self.broker = ApacheKafka(directory, version=KAFKA_3)
            controller = free_port()
            clients = {"PLAINTEXT": self.broker.port, **self.ports}
            listed = ",".join(f"{name}://127.0.0.1:{port}" for name, port in clients.items())
            self.broker._settings = settings | {
                "listeners": f"{listed},CONTROLLER://127.0.0.1:{controller}",
                "advertised.listeners": listed,
                "controller.quorum.voters": f"1@127.0.0.1:{controller}",
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,"
                "CONTROLLER:PLAINTEXT",
            }
        self.broker.start()
        for port in self.ports.values():
            wait_for_port("127.0.0.1", port, process=self.broker.process, timeout=60)
        self._process = psutil.Process(self.broker.process.pid)
        self.admin = AdminClient({"bootstrap.servers": self.broker.bootstrap})
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        user = UserScramCredentialUpsertion(_USER, info, _PASSWORD.encode())
        for future in self.admin.alter_user_scram_credentials([user]).values():
            future.result(timeout=30)

    def settings(self, way: str, authority: Authority) -> Settings:
        """librdkafka's, to reach a listener."""
        if way == "PLAINTEXT":
            return {"bootstrap.servers": self.broker.bootstrap}
        return {
            "bootstrap.servers": f"127.0.0.1:{self.ports[way]}",
            "security.protocol": way,
            "ssl.ca.location": str(authority.certificate),
        }

    def make_topic(self, name: str) -> None:
        """One with some partitions."""
        for future in self.admin.create_topics([NewTopic(name, PARTITIONS, 1)]).values():
            future.result(timeout=30)

    def cpu_of(self, work: Callable[[], float]) -> tuple[float, float]:
        """(what it returns, the seconds of CPU that the broker used meanwhile)."""
        before = self._process.cpu_times()
        took = work()
        after = self._process.cpu_times()
        return took, after.user - before.user + after.system - before.system

    def resident_kib(self) -> float:
        """Memory of its process."""
        return self._process.memory_info().rss / 1024


def main() -> None:
    """Runs all turns and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3, help="how often each broker does all of it")
    parser.add_argument("--megabytes", type=int, default=1024, help="of records in and out, each way")
    parser.add_argument("--visits", type=int, default=2000, help="connections that come and go")
    parser.add_argument("--staying", type=int, default=2000, help="connections that do nothing")
    parser.add_argument("--only", default="", choices=["", "records", "connections"])
    parser.add_argument("--brokers", nargs="+", default=["fastlog", "kafka"], choices=["fastlog", "kafka"])
    given = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    results: Mapping[str, Figures] = {"fastlog": {}, "kafka": {}}
    loads = []
    with tempfile.TemporaryDirectory(prefix="fastlog-bench-") as scratch:
        authority = Authority(Path(scratch) / "tls")
        authority.store("broker")
        for turn in range(given.turns):
            for name in given.brokers if turn % 2 == 0 else given.brokers[::-1]:
                print(f"turn {turn + 1}: {name}, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
                _turn(
                    Peer(name, Path(scratch) / f"{name}-{turn}", authority), authority, given, results[name]
                )
                loads.append(os.getloadavg()[0])
    _report(*(results[name] for name in given.brokers))
    print(f"\nload average (1 min) between {min(loads):.1f} and {max(loads):.1f}")


def _turn(peer: Peer, authority: Authority, given: argparse.Namespace, figures: Figures) -> None:
    def note(what: str, value: float) -> None:
        print(f"  {what}: {value:.2f}", file=sys.stderr)
        figures.setdefault(what, []).append(value)

    try:
        if given.only != "records":
            # First of all: later a JVM's heap has room that it took before, and nothing is seen to be added.
            with staying(Visitor(peer.ports["SSL"]), given.staying, peer.resident_kib) as each:
                note("SSL: KiB for each idle connection", each)
        if given.only != "connections":
            for way in ("PLAINTEXT", "SSL"):
                _records(peer, way, peer.settings(way, authority), given.megabytes, note)
        if given.only != "records":
            _connections(peer, given, note)
    finally:
        peer.broker.kill()


def _records(
    peer: Peer, way: str, settings: Settings, megabytes: int, note: Callable[[str, float], None]
) -> None:
    count = megabytes * 2**20 // RECORD_BYTES
    for name, part in (("warm-up", count // 4), ("records", count)):
        topic = f"{name}-{way}"
        peer.make_topic(topic)
        for action, what in ((produce, "in"), (consume, "out")):
            seconds, cpu = peer.cpu_of(lambda: action(settings, topic, part))  # noqa: B023 - called at once
            if name == "records":
                size = part * RECORD_BYTES
                note(f"{way}: {what}, MB/s", size / 2**20 / seconds)
                note(f"{way}: {what}, CPU s for each GB", cpu / (size / _GB))


def _connections(peer: Peer, given: argparse.Namespace, note: Callable[[str, float], None]) -> None:
    visitors = {
        "SSL": Visitor(peer.ports["SSL"]),
        "SASL_SSL, SCRAM-SHA-512": Visitor(peer.ports["SASL_SSL"], _USER, _PASSWORD),
    }
    for name, visitor in visitors.items():
        visits(visitor, given.visits // 2)
        seconds, cpu = peer.cpu_of(lambda: visits(visitor, given.visits))  # noqa: B023 - called at once
        note(f"{name}: logins a second", given.visits / seconds)
        note(f"{name}: CPU ms for each login", cpu * 1000 / given.visits)


def _report(ours: Figures, theirs: Figures | None = None) -> None:
    rows = []
    if theirs is None:
        print_table(
            ("measure", "alone"), [(what, f"{statistics.median(some):.2f}") for what, some in ours.items()]
        )
        return
    for what, mine in ours.items():
        left, right = statistics.median(mine), statistics.median(theirs[what])
        is_better = left / right if what.endswith(tuple(_MORE)) else right / left
        rows.append((what, f"{left:.2f}", f"{right:.2f}", f"{is_better:.2f}"))
    print_table(("measure", "fastlog", f"Apache Kafka {KAFKA_3}", "times better"), rows)


if __name__ == "__main__":
    main()
