"""A `fastlog-broker` as a process of its own, as users run it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.metadata_place import metadata_settings
from tests.harness.net import free_port, wait_for_port


class BrokerProcess:
    """One broker process on a data directory; it can be killed and started again on the same port."""

    def __init__(
        self,
        directory: Path,
        *,
        settings: Mapping[str, str] | None = None,
        command: list[str] | None = None,
        environment: Mapping[str, str] | None = None,
        listeners: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self.data_dir = directory / "data"
        self.port = free_port()
        # Many brokers at a time: whoever wants metrics and probes of one chooses its port.
        self._settings = {"fastlog.http.port": "-1", **metadata_settings(directory), **(settings or {})}
        self._command = command or [sys.executable, "-m", "fastlog.cli.broker.main"]
        self._environment = environment or {
            name: value for name, value in os.environ.items() if not name.startswith("KAFKA_")
        }
        # NAME://host:port of those beside the plain one.
        self._listeners = list(listeners)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """`host:port` of the listener."""
        return f"127.0.0.1:{self.port}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running process."""
        assert self._process is not None, "the broker was not started"
        return self._process

    @property
    def log_text(self) -> str:
        """Everything that the broker has said."""
        return (self.directory / "broker.log").read_text(errors="replace")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            # Nobody else would end it.
            if self._process is not None and self._process.poll() is None:
                self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()

    def start(self, *extra: str, timeout: float = 60) -> float:
        """Starts the broker; returns the seconds until its port accepted a connection."""
        began = time.monotonic()
        self.launch(*extra)
        self.wait(timeout=timeout)
        return time.monotonic() - began

    def wait(self, *, timeout: float = 60) -> None:
        """Returns when the port of a broker that was launched accepts a connection."""
        try:
            wait_for_port("127.0.0.1", self.port, process=self._process, timeout=timeout)
        except (RuntimeError, TimeoutError) as error:
            raise AssertionError(f"the broker did not start: {error}\n{self.log_text[-4000:]}") from error

    def launch(self, *extra: str) -> None:
        """Starts the broker; returns at once."""
        self.directory.mkdir(parents=True, exist_ok=True)
        settings = [part for name, value in self._settings.items() for part in ("--set", f"{name}={value}")]
        settings += [part for text in self._listeners for part in ("--listen", text)]
        with (self.directory / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self._command,
                    "--listen",
                    self.bootstrap,
                    "--data-dir",
                    str(self.data_dir),
                    *settings,
                    *extra,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
            )

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self, *, timeout: float = 30) -> int:
        """SIGTERM and wait; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=timeout)

    def resident_mb(self) -> float:
        """Resident memory of the process in MiB (VmRSS)."""
        return self._status_mb("VmRSS")

    def peak_resident_mb(self) -> float:
        """Highest resident memory so far in MiB (VmHWM)."""
        return self._status_mb("VmHWM")

    def virtual_mb(self) -> float:
        """Address space of the process in MiB (VmSize)."""
        return self._status_mb("VmSize")

    def _status_mb(self, field: str) -> float:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) / 1024
        raise AssertionError(f"no {field} for process {self.process.pid}")
