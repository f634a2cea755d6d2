"""Kafka's tools in one JVM that stays: `ToolSession.run(TOPIC_COMMAND, "--list")` gives status and lines."""

from __future__ import annotations

import base64
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.peers.apache_kafka import JavaTools
from tests.peers.maven import compiled

SOURCE = Path(__file__).parent / "clients/ToolRunner.java"


@dataclass(frozen=True, slots=True)
class ToolResult:
    """How a tool ended."""

    status: int
    out: str
    err: str


class ToolSession:
    """The command-line tools of one Kafka release."""

    def __init__(self, version: str) -> None:
        self.version = version
        self._lock = threading.Lock()
        tools = JavaTools(version)
        classes = compiled(SOURCE, tools.class_path)
        self._process = subprocess.Popen(
            tools.command("ToolRunner", heap="256m", class_path=classes, quick=True),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()

    def run(self, main_class: str, *args: str) -> ToolResult:
        """Runs one tool to its end. The test's own timeout limits it. Threads wait for each other."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert not any("\t" in word or "\n" in word for word in args)
        with self._lock:
            self._process.stdin.write("\t".join((main_class, *args)).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline().decode()
        assert line, f"the JVM ended while it ran {main_class} {args}"
        status, out, err = line.rstrip("\n").split("\t")
        return ToolResult(int(status), base64.b64decode(out).decode(), base64.b64decode(err).decode())
