"""A long-running program under test: what it says, and its end by choice or by kill -9."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.waiting import wait_until

# On few cores a short-lived JVM starts fastest with its first compiler and the serial collector.
JVM_FLAGS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")


def java_command(
    java: str, class_path: str, main_class: str, *args: str, heap: str = "256m", flags: Sequence[str] = ()
) -> list[str]:
    """The command line of a long-running Java program with a small heap and slf4j-simple's log at WARN."""
    logging = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true")
    return [java, f"-Xmx{heap}", *JVM_FLAGS, *logging, *flags, "-cp", class_path, main_class, *args]


class AppProcess:
    """One process with its output in a file. Leaving the context kills it, whatever state it is in."""

    def __init__(
        self, command: Sequence[str], log: Path, *, environment: Mapping[str, str] | None = None
    ) -> None:
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment or os.environ,
                cwd=log.parent,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def text(self) -> str:
        """All that it has said."""
        return self.log.read_text(errors="replace")

    def lines(self, prefix: str) -> list[str]:
        """What follows `prefix` in each line that begins with it."""
        return re.findall(rf"^{re.escape(prefix)}(.*)$", self.text, re.MULTILINE)

    def wait_for(self, pattern: str, *, seconds: float = 60) -> str:
        """Waits until `pattern`, a regular expression, is in its output; fails when the process ends."""

        def look() -> str | None:
            ended = self.process.poll() is not None
            found = re.search(pattern, self.text, re.MULTILINE)
            assert found or not ended, f"{self.log.name} ended before {pattern!r}:\n{self.text[-4000:]}"
            return found and found[0]

        return wait_until(look, lambda: f"{pattern!r} in {self.log}:\n{self.text[-4000:]}", seconds=seconds)

    def kill(self) -> None:
        """kill -9; nothing when it has ended."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()

    def close_input(self, *, seconds: float = 60) -> int:
        """Closes its standard input, which asks it to end; returns the exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(timeout=seconds)

    def terminate(self, *, seconds: float = 60) -> int:
        """SIGTERM; returns the exit code."""
        self.process.terminate()
        return self.process.wait(timeout=seconds)
