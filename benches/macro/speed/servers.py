"""The brokers that are compared, each a process of its own whose CPU and memory are read."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import psutil

from fastlog.wire.messages.topics import CreatableTopic, CreatableTopicConfig, CreateTopicsRequest
from tests.harness.broker_process import BrokerProcess
from tests.harness.link import Link
from tests.harness.waiting import wait_until
from tests.peers.apache_kafka import ApacheKafka

__all__ = ["Broker", "Server", "Usage", "fastlog", "kafka"]

_CREATE_VERSION: Final = 5


class Broker(Protocol):
    """What the harness knows of a broker of any kind."""

    port: int

    @property
    def bootstrap(self) -> str:
        """`host:port`."""
        ...

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running process."""
        ...

    def start(self) -> float:
        """Starts it; seconds until its port took a connection."""
        ...

    def stop(self) -> object:
        """Stops it."""
        ...


@dataclass(frozen=True, slots=True)
class Usage:
    """What a broker has used so far, or between two looks."""

    cpu: float
    """Seconds."""
    switches: int
    """Context switches of all threads."""

    def since(self, before: Usage) -> Usage:
        """What was used from `before` on."""
        return Usage(self.cpu - before.cpu, self.switches - before.switches)


@dataclass(slots=True)
class Server:
    """A broker under measurement."""

    name: str
    broker: Broker
    cores: set[int] | None
    """Where it runs; None: anywhere."""
    start_seconds: float = 0
    topics: int = field(default=0)

    def start(self) -> None:
        """Starts it, and notes how long that took."""
        self.start_seconds = self.broker.start()
        if self.cores:
            for thread in psutil.Process(self.broker.process.pid).threads():
                os.sched_setaffinity(thread.id, self.cores)

    @property
    def process(self) -> psutil.Process:
        """Its process."""
        return psutil.Process(self.broker.process.pid)

    def usage(self) -> Usage:
        """CPU and context switches up to now."""
        process = self.process
        times, switches = process.cpu_times(), 0
        for thread in process.threads():
            try:
                lines = Path(f"/proc/{process.pid}/task/{thread.id}/status").read_text().splitlines()
            except FileNotFoundError:
                continue
            switches += sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)
        return Usage(times.user + times.system, switches)

    def resident(self) -> float:
        """Resident memory in MiB."""
        return float(self.process.memory_info().rss) / 2**20

    def topic(self, partitions: int, **configs: str) -> str:
        """Makes a topic of a new name (`_` for `.` in the names of its settings), led by the broker."""
        self.topics += 1
        name = f"speed-{self.topics}"
        rows = [CreatableTopicConfig(key.replace("_", "."), value) for key, value in configs.items()]
        topic = CreatableTopic(name, partitions, 1, assignments=[], configs=rows)
        request = CreateTopicsRequest([topic], timeout_ms=120_000)

        def make() -> bool:
            with Link(self.broker.port, timeout=150) as link:
                made: Any = link.call(request, _CREATE_VERSION)
            # 36: the answer before was lost, or came too late.
            return made.topics[0].error_code in (0, 36)

        wait_until(make, f"{name} cannot be made", seconds=150, pause=0.5)
        time.sleep(1)
        return name


def fastlog(directory: Path, settings: Mapping[str, str]) -> Broker:
    """Our broker, its metadata in its own keeper."""
    return BrokerProcess(directory, settings=settings)


def kafka(version: str) -> Callable[[Path, Mapping[str, str]], Broker]:
    """Apache Kafka of a release, with the heap that its scripts give it."""

    def make(directory: Path, settings: Mapping[str, str]) -> Broker:
        return ApacheKafka(directory, version=version, settings=settings)

    return make
