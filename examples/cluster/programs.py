"""The programs of the cluster: what they are called, where they live, whether they run."""

from __future__ import annotations

import asyncio
import ctypes
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.peers.apache_kafka import KafkaOnZooKeeper
from tests.peers.zookeeper import EnsembleMember

__all__ = ["Program", "fastlog_broker", "kafka_broker", "keeper", "stop_all", "zookeeper_member"]

_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None)
_STOPS_WITHIN: Final = 10.0


class Program:
    """One program: it may die, and be started again with the same command on the same port and directory."""

    def __init__(self, name: str, port: int, directory: Path, command: Callable[[], Sequence[str]]) -> None:
        self.name: Final = name
        self.port: Final = port
        self.log: Final = directory / f"{name}.log"
        self._directory: Final = directory
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._died: float | None = None

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process, while it lives."""
        return self._process.pid if self._process is not None and self.lives() else None

    def lives(self) -> bool:
        """Whether it runs; the moment when it was first seen not to is noted."""
        if self._process is None or self._process.poll() is not None:
            if self._died is None:
                self._died = time.monotonic()
            return False
        return True

    @property
    def dead_for(self) -> float:
        """Seconds since it was first seen dead, 0 while it lives."""
        return 0.0 if self.lives() or self._died is None else time.monotonic() - self._died

    def start(self) -> None:
        """Starts it. It ends with this program, however that ends."""
        self._directory.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                list(self._command()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                # Ctrl-C is for us alone: we stop the others in order.
                start_new_session=True,
                preexec_fn=lambda: _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
            )
        self._died = None

    async def ready(self, *, seconds: float = 90) -> None:
        """Waits until its port accepts. Raises RuntimeError with the last words of its log."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                if not self.lives() or time.monotonic() > deadline:
                    words = self.log.read_text(errors="replace")[-1500:]
                    raise RuntimeError(f"{self.name} does not start; {self.log}:\n{words}") from None
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return

    def stop(self) -> None:
        """SIGTERM, after ten seconds SIGKILL; returns when it is gone."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


async def stop_all(programs: Sequence[Program]) -> None:
    """Stops them at the same time: cleanly, or after ten seconds by force."""
    await asyncio.gather(*(asyncio.to_thread(program.stop) for program in programs))


def keeper(directory: Path, port: int) -> Program:
    """A fastlog-keeper, which is a coordination service on one machine."""
    command = [sys.executable, "-m", "fastlog.cli.keeper_main", "--listen", f"127.0.0.1:{port}"]
    return Program("keeper", port, directory, lambda: [*command, "--data-dir", str(directory / "keeper")])


def zookeeper_member(member: EnsembleMember) -> Program:
    """One server of an ensemble of Apache ZooKeeper."""
    name = f"zookeeper{member.number:02}"
    return Program(name, member.port, member.directory, member.command)


def fastlog_broker(node: int, directory: Path, port: int, connect: str) -> Program:
    """A broker of this package."""
    name = f"fastlog-broker{node:02}"
    settings = {
        "broker.id": node,
        "zookeeper.connect": connect,
        "zookeeper.session.timeout.ms": 6000,
        "offsets.topic.replication.factor": 3,
        "fastlog.http.port": -1,
    }
    command = [sys.executable, "-m", "fastlog.cli.broker.main", "--listen", f"127.0.0.1:{port}"]
    command += ["--data-dir", str(directory / name / "data")]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    return Program(name, port, directory / name, lambda: command)


def kafka_broker(node: int, directory: Path, connect: str) -> Program:
    """A broker of Apache Kafka 3.9 in ZooKeeper mode, to compare with."""
    name = f"kafka-broker{node:02}"
    settings = {"zookeeper.session.timeout.ms": "6000", "offsets.topic.replication.factor": "3"}
    broker = KafkaOnZooKeeper(directory / name, connect, broker_id=node, settings=settings, heap="256m")
    return Program(name, broker.port, directory / name, broker.command)
