"""One place in a cluster: an id, a port and a directory. A broker of either kind runs there."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

from tests.cluster.kinds import Kind
from tests.harness.broker_process import BrokerProcess
from tests.harness.net import free_port
from tests.peers.apache_kafka import KafkaOnZooKeeper

_CLEAN_ENDS: Final = (0, 128 + signal.SIGTERM, -signal.SIGTERM)
"""A JVM that ends in order because of SIGTERM says 143."""

_NO_LEADER: Final = "cannot become follower since the new leader -1 is unavailable"
"""Kafka's brokers say so of each partition that its controller finds nobody to lead, too."""


class Member:
    """The place survives its processes; the kind may change from one to the next."""

    def __init__(
        self,
        directory: Path,
        number: int,
        connect: str,
        kind: Kind,
        *,
        settings: Mapping[str, str],
        heap: str,
        quick: bool,
        command: list[str] | None = None,
    ) -> None:
        self.directory = directory
        self.number = number
        """Its broker id."""
        self.port = free_port()
        self.kind: Kind = kind
        self.frozen = False
        self.connect = connect
        """Where it finds the tree."""
        self._heap, self._quick = heap, quick
        self.settings = dict(settings)
        """Those of its next process."""
        self.listeners: list[str] = []
        """NAME://host:port of those beside the plain one."""
        # What runs as fastlog's broker, where it is not the one of this tree.
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted = False
        """Whether it is to run."""

    @property
    def address(self) -> str:
        """`host:port` of its listener."""
        return f"127.0.0.1:{self.port}"

    @property
    def data_dir(self) -> Path:
        """Its log directory, the same one for both kinds."""
        return self.directory / "data"

    @property
    def running(self) -> bool:
        """Whether its process lives, be it stopped by SIGSTOP."""
        return self._process is not None and self._process.poll() is None

    @property
    def log_text(self) -> str:
        """What its processes have said. Apache Kafka says nothing unless `KAFKA_LOG` asks for it."""
        server = self.directory / "server.log"
        return self.fastlog_text + (server.read_text(errors="replace") if server.exists() else "")

    @property
    def fastlog_text(self) -> str:
        """The same of its fastlog brokers alone."""
        path = self.directory / "broker.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def complaints(self) -> list[str]:
        """What its Apache Kafka brokers call errors, if `KAFKA_LOG` has them say anything."""
        path = self.directory / "server.log"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        return [line for line in lines if " ERROR " in line and _NO_LEADER not in line]

    @property
    def pid(self) -> int:
        """Of its last process."""
        assert self._process is not None, f"broker {self.number} was not started"
        return self._process.pid

    def cpu_seconds(self) -> float:
        """What its process has used so far, user and system."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def launch(self, kind: Kind | None = None) -> None:
        """Starts a broker of its kind, or of another one from now on; returns at once."""
        assert not self.running, f"broker {self.number} runs"
        self.kind = kind or self.kind
        broker = self._broker()
        broker.port = self.port
        broker.launch()
        self._process, self.frozen, self._wanted = broker.process, False, True

    def _broker(self) -> BrokerProcess | KafkaOnZooKeeper:
        if self.kind == "fastlog":
            place = {"broker.id": str(self.number), "zookeeper.connect": self.connect}
            return BrokerProcess(
                self.directory,
                settings={**self.settings, **place},
                command=self._command,
                listeners=self.listeners,
            )
        listeners = ",".join([f"PLAINTEXT://{self.address}", *self.listeners])
        return KafkaOnZooKeeper(
            *(self.directory, self.connect),
            broker_id=self.number,
            settings={"listeners": listeners, **self.settings},
            heap=self._heap,
            quick=self._quick,
        )

    def check(self) -> None:
        """Raises AssertionError when its process ended by itself."""
        code = self._process.poll() if self._process is not None and self._wanted else None
        assert code is None, f"broker {self.number} ({self.kind}) ended with {code}:\n{self.log_text[-4000:]}"

    def kill(self) -> None:
        """kill -9, in whatever state it is."""
        self._wanted = False
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)
        self.frozen = False

    def terminate(self) -> None:
        """SIGTERM, upon which it gives its leaderships away."""
        self._signal(signal.SIGTERM)
        self._wanted = False

    def wait_end(self, *, seconds: float = 90) -> None:
        """Returns when it has ended in order."""
        assert self._process is not None
        code = self._process.wait(seconds)
        assert code in _CLEAN_ENDS, f"broker {self.number} ended with {code}:\n{self.log_text[-4000:]}"

    def _signal(self, number: signal.Signals) -> None:
        self.check()
        assert self._process is not None, f"broker {self.number} was not started"
        self._process.send_signal(number)
