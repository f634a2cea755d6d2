"""A `fastlog-keeper` as a process of its own, as users run it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.net import free_port, wait_for_port


class KeeperProcess:
    """One keeper on a data directory; it can be killed and started again on the same port."""

    def __init__(self, directory: Path, *, tick_ms: int = 2000, options: Sequence[str] = ()) -> None:
        self.directory = directory
        self.port = free_port()
        self._tick_ms = tick_ms
        self._options = list(options)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """`host:port`, as connect strings have it."""
        return f"127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def log_text(self) -> str:
        """Everything that the keeper has said."""
        return (self.directory / "keeper.log").read_text(errors="replace")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.running:
            self.stop()

    def start(self, *, timeout: float = 30) -> None:
        """Returns when its port accepts a connection."""
        self.directory.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "fastlog.cli.keeper_main", "--listen", self.address]
        command += [
            "--data-dir",
            str(self.directory / "data"),
            "--tick-ms",
            str(self._tick_ms),
            *self._options,
        ]
        with (self.directory / "keeper.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        self.wait_serving(timeout=timeout)

    def wait_serving(self, *, timeout: float = 30) -> None:
        """Returns when its port accepts a connection."""
        wait_for_port("127.0.0.1", self.port, process=self._process, timeout=timeout)

    def hang_up(self) -> None:
        """SIGHUP."""
        assert self._process is not None, "the keeper was not started"
        self._process.send_signal(signal.SIGHUP)

    def stop(self, timeout: float = 30) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None, "the keeper was not started"
        self._process.terminate()
        return self._process.wait(timeout)

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None, "the keeper was not started"
        self._process.kill()
        self._process.wait()
