"""`fastlog console` as a process of its own, and the links that it prints."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.harness.net import free_port
from tests.harness.waiting import wait_until

__all__ = ["ConsoleProcess"]

_LINK: Final = re.compile(r"http://\S+#token=\S+")


class ConsoleProcess:
    """Serves `bootstrap` on a free port of loopback; `options` are those of the command."""

    def __init__(self, directory: Path, bootstrap: str, *options: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = directory / f"console-{self.port}.log"
        self._command = [
            *(sys.executable, "-m", "fastlog.cli.tool.main", "console"),
            *("-b", bootstrap, "--listen", f"127.0.0.1:{self.port}", *options),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log_text(self) -> str:
        """What it has said."""
        return self._log.read_text(errors="replace")

    def link(self) -> str:
        """The newest link; its token is good once."""
        return _LINK.findall(self.log_text)[-1]

    def __enter__(self) -> Self:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            wait_until(self._is_up, lambda: f"the console printed no link: {self.log_text[-3000:]}", seconds=90)
        except BaseException:
            self._end()
            raise
        return self

    def _is_up(self) -> bool | None:
        assert self._process is not None
        assert self._process.poll() is None, f"the console ended: {self.log_text[-3000:]}"
        return _LINK.search(self.log_text) is not None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
