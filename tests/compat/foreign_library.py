"""What is asked of every client library that is a program of its own, in whatever language.

The programs share one command line (`clients/go/main.go` has it), so the checks are written once.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.compat.client_programs import CODECS
from tests.harness.app_process import AppProcess
from tests.harness.broker_process import BrokerProcess
from tests.harness.dataset import Record, first_difference, records, write_file
from tests.harness.waiting import wait_until

PARTITIONS = 6
# The first record of a round trip: the record of 1 MB is number 19,999.
_START = 19_800
_COUNT = 300
# What a library's administration sees of Apache Kafka 3.9.1, and must see of this broker.
ADMINISTRATION: Mapping[str, object] = {
    "created": 0,
    "created again": 36,
    "partitions": [0, 1, 2, 3],
    "max.message.bytes": ["2000000", True],
    "compression.type": ["producer", False],
    "altered": ["2500000", True],
    "earliest": 0,
    "latest": 8,
    "by time": 4,
    "at the time": 3,
    "after the end": -1,
    "committed": [5, "a note"],
    "not committed": [-1, ""],
    "listed": True,
    "type of the group": "",
    "state": "Empty",
    "earliest after delete": 3,
    "deleted group": 0,
    "deleted again": 69,
    "listed after delete": False,
    "state after delete": "Dead",
    "deleted topic": 0,
}


@dataclass(frozen=True, slots=True)
class Library:
    """One library: how its program is started, and what it can say.

    `repeated_headers` tells whether a record may have several headers of one name, `empty_is_null` whether
    its consumer takes empty for null.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    repeated_headers: bool = True
    empty_is_null: bool = False

    def run(self, action: str, file: Path, *arguments: str, seconds: float = 60) -> None:
        """Runs one action to its end; raises `AssertionError` with what it said when it fails."""
        done = subprocess.run(
            [*self.command, action, str(file), *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        words = (done.stdout + done.stderr)[-4000:]
        assert done.returncode == 0, f"{self.name} {action} {' '.join(arguments)} failed:\n{words}"

    def dataset(self) -> list[Record]:
        """Records of every shape that the library can send."""
        items = list(records(_COUNT, _START))
        if self.repeated_headers:
            return items
        return [item._replace(headers=list(dict(item.headers).items())) for item in items]

    def as_read(self, items: Sequence[Record]) -> list[Record]:
        """These records as the library's consumer shows them."""
        if not self.empty_is_null:
            return list(items)
        return [
            Record(
                item.timestamp,
                item.key or None,
                item.value or None,
                [(name, value or None) for name, value in item.headers],
            )
            for item in items
        ]


def check_round_trip(
    producer: Library, readers: Sequence[Library], codec: str, broker: BrokerProcess, directory: Path
) -> None:
    """What `producer` sends, all `readers` read byte-equal, and the broker keeps it in that codec."""
    topic = f"library-{producer.name}-{codec}"
    sent, wanted, got = directory / "sent", directory / "wanted", directory / "got"
    items = producer.dataset()
    write_file(sent, items)
    producer.run("produce", sent, broker.bootstrap, topic, codec)
    for reader in readers:
        reader.run("consume", got, broker.bootstrap, topic, codec, str(_COUNT))
        write_file(wanted, reader.as_read(items))
        difference = first_difference(wanted, got)
        assert difference is None, f"{reader.name} read {topic}: {difference}"
    with (broker.data_dir / f"{topic}-0" / f"{0:020d}.log").open("rb") as segment:
        header = segment.read(61)
    assert header[22] & 7 == CODECS.index(codec), f"{topic} holds codec {header[22] & 7}"


def administration(library: Library, bootstrap: str, directory: Path) -> dict[str, Any]:
    """What the library's administration saw."""
    file = directory / "saw"
    library.run("admin", file, bootstrap, f"{library.name}-admin", f"{library.name}-admin-group")
    saw: dict[str, Any] = json.loads(file.read_text())
    return saw


class Group:
    """A topic, and a group whose members are processes of any libraries."""

    def __init__(self, name: str, bootstrap: str, directory: Path) -> None:
        self.name, self.bootstrap, self.directory = name, bootstrap, directory
        self.admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})
        self._producer = Producer({"bootstrap.servers": bootstrap, "log_level": 2, "linger.ms": 0})
        self._sent = 0
        self._members: dict[str, AppProcess] = {}
        self.admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(30)

    def __enter__(self) -> Group:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self._members.values():
            member.kill()

    def join(self, member: str, library: Library, balancer: str) -> None:
        """Starts a member."""
        command = [*library.command, "member", str(self._file(member)), self.bootstrap, self.name, self.name]
        log = self.directory / f"{member}.log"
        self._members[member] = AppProcess([*command, balancer], log, environment=library.environment)

    def leave(self, member: str) -> None:
        """Ends a member in order."""
        process = self._members.pop(member)
        assert process.close_input() == 0, process.text[-4000:]

    def send(self, count: int) -> None:
        """So many records over all partitions, each with a number of its own."""
        for number in range(self._sent, self._sent + count):
            self._producer.produce(self.name, str(number).encode(), partition=number % PARTITIONS)
        assert self._producer.flush(30) == 0
        self._sent += count

    def handled(self, *members: str) -> Counter[tuple[int, int, int]]:
        """Partition, offset and number of what members have handled, and how often."""
        found: Counter[tuple[int, int, int]] = Counter()
        for member in members:
            if self._file(member).exists():
                for line in self._file(member).read_text().split("\n")[:-1]:
                    partition, offset, number = (int(part) for part in line.split())
                    found[partition, offset, number] += 1
        return found

    def wait_handled(self, *members: str, start: int = 0) -> None:
        """Waits until these members have handled every record from number `start` on."""
        wanted = {(number % PARTITIONS, number // PARTITIONS, number) for number in range(start, self._sent)}
        wait_until(
            lambda: set(self.handled(*members)) == wanted,
            lambda: f"{len(wanted)} records; handled: {sorted(self.handled(*members))}\n{self._said()}",
            seconds=40,
            pause=0.02,
        )

    def wait_shares(self, *shares: int) -> str:
        """Waits until the group is stable and its members have so many partitions; returns its assignor."""
        seen: list[object] = []

        def look() -> str | None:
            try:
                found = self.admin.describe_consumer_groups([self.name])[self.name].result(10)
            except KafkaException as error:
                seen[:] = [error]
                return None
            counts = sorted(len(member.assignment.topic_partitions) for member in found.members)
            seen[:] = [found.state.name, counts]
            return found.partition_assignor if seen == ["STABLE", sorted(shares)] else None

        return wait_until(look, lambda: f"{shares}, not {seen}\n{self._said()}", seconds=40, pause=0.02)

    def committed(self) -> int:
        """The sum of the committed offsets: as many as records, when all are committed."""
        wanted = [TopicPartition(self.name, number) for number in range(PARTITIONS)]
        asked = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(self.name, wanted)])
        return sum(max(0, row.offset) for row in asked[self.name].result(30).topic_partitions)

    def check_life(self, library: Library, balancer: str) -> str:
        """Two members share, one leaves, all leave, one comes back; returns the assignor that was used."""
        self.send(60)
        self.join("first", library, balancer)
        self.wait_handled("first")
        self.join("second", library, balancer)
        assignor = self.wait_shares(3, 3)
        self.send(60)
        self.wait_handled("first", "second")
        assert self.handled("second"), "the second member handled something"
        self.leave("first")
        self.wait_shares(6)
        self.send(60)
        self.wait_handled("first", "second")
        self.leave("second")
        assert self.committed() == self._sent
        self.send(60)
        self.join("third", library, balancer)
        # From what was committed on, not a record more.
        self.wait_handled("third", start=self._sent - 60)
        self.leave("third")
        return assignor

    def _file(self, member: str) -> Path:
        return self.directory / f"{member}.out"

    def _said(self) -> str:
        return "\n".join(f"{name}: {member.text[-1500:]}" for name, member in self._members.items())
