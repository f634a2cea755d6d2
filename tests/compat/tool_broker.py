"""What the tests of tools share: a broker that is killed on the way, and the counts of what came of it."""

from __future__ import annotations

import collections
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol

from confluent_kafka.admin import AdminClient, NewTopic

from tests.compat import careless_disk
from tests.compat.exactly_once import read
from tests.harness.broker_process import BrokerProcess


class Tally(Protocol):
    """The fixture `tally`: notes records in, records out, and how many of these are different ones."""

    def __call__(self, tool: str, sent: int, found: int, distinct: int) -> None: ...


def untold(tool: str, sent: int, found: int, distinct: int) -> None:
    """A `Tally` for tests of the tests, which have no row in the table."""


class ToolBroker(BrokerProcess):
    """A broker for one tool. `careless` names a spoilt one (see `careless_disk`), for tests of the tests."""

    replicas = 1
    """Of each topic, also of those that tools make."""
    told = ""
    """What the table of records adds to the name of a tool."""

    def __init__(
        self, directory: Path, *, careless: str = "", settings: Mapping[str, str] | None = None
    ) -> None:
        command = careless_disk.command(careless) if careless else None
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KAFKA_")}
        if careless:
            environment["PYTHONPATH"] = str(Path(__file__).parents[2])
        super().__init__(
            directory,
            settings={
                "group.initial.rebalance.delay.ms": "0",
                "offsets.topic.num.partitions": "2",
                **(settings or {}),
            },
            command=command,
            environment=environment,
        )
        self._careless = bool(careless)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._careless:
            # How it ends does not matter.
            self.kill()
        super().__exit__(kind, error, trace)
        if kind is None:
            assert "Traceback" not in self.log_text, self.log_text[-4000:]

    def start(self, *extra: str, timeout: float = 60) -> float:
        """As of any broker, with time enough beside JVMs that start as well."""
        return super().start(*extra, timeout=timeout)

    @property
    def ports(self) -> list[int]:
        """Where brokers listen: one place."""
        return [self.port]

    def create(self, topic: str, partitions: int) -> None:
        """Makes a topic; returns when it is there."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 2})
        admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(30)

    def restart(self) -> None:
        """kill -9, and a new start."""
        self.kill()
        self.start()

    def values(self, topic: str, partitions: int) -> list[str]:
        """All that a new reader is given."""
        return values(self.bootstrap, topic, partitions)


def values(bootstrap: str, topic: str, partitions: int) -> list[str]:
    """All that a new reader is given of a topic."""
    found = read(bootstrap, topic, partitions, "read_committed")
    return [(value or b"").decode() for part in found for _, value in part]


def differences(expected: Iterable[str], found: Iterable[str]) -> str:
    """What is missing, what is there more than once, and what was never sent; "" when all is right."""
    wanted, there = collections.Counter(expected), collections.Counter(found)
    missing, more = wanted - there, there - wanted
    twice = {value: count for value, count in more.items() if value in wanted}
    made_up = more.keys() - wanted.keys()
    if not missing and not more:
        return ""
    return (
        f"{missing.total()} missing: {sorted(missing)[:5]}, {sum(twice.values())} more than once: "
        f"{sorted(twice)[:5]}, {len(made_up)} never sent: {sorted(made_up)[:5]}"
    )


def check_once(tally: Tally, tool: str, expected: list[str], found: list[str]) -> None:
    """Each record has come, and once."""
    tally(tool, len(expected), len(found), len(set(found)))
    wrong = differences(expected, found)
    assert not wrong, f"{tool}: {wrong}"


def check_at_least_once(tally: Tally, tool: str, expected: list[str], found: list[str]) -> None:
    """Each record has come, none was made up; some may be there again, by the tool's own doing."""
    tally(tool, len(expected), len(found), len(set(found)))
    wrong = differences(expected, set(found))
    assert not wrong, f"{tool}: {wrong}"
