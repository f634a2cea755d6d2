"""The member processes of a run, and what can be done to them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.chaos.history import read_events
from tests.chaos.member import HEARTBEAT_MS, MAX_POLL_INTERVAL_MS, SESSION_MS, WORK_SECONDS
from tests.peers.apache_kafka import JavaTools
from tests.peers.maven import compiled

ROOT = Path(__file__).resolve().parents[2]
JAVA = "java "
"""A kind of this name and a release: "java 3.9.1"."""


class MemberProcess:
    """One process with one member, or with several in the case of a JVM."""

    def __init__(self, kind: str, command: list[str], events: Sequence[Path]) -> None:
        self.kind = kind
        self.events = events
        self.frozen = False
        self._log = events[0].with_suffix(".log")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)

    def member_ids(self) -> set[str]:
        """The ids under which its members have had partitions."""
        return {
            event["member"]
            for path in self.events
            if path.exists()
            for event in read_events(path)
            if event["e"] == "assigned" and event["member"]
        }

    def generation(self) -> int:
        """The lowest generation of its members that is known, 0 as long as one of them has none."""
        lowest = []
        for path in self.events:
            turns = (
                [event for event in read_events(path) if event["e"] == "assigned"] if path.exists() else []
            )
            lowest.append(turns[-1]["generation"] or 0 if turns else 0)
        return min(lowest)

    def check(self) -> None:
        """Raises AssertionError when it ended by itself."""
        code = self._process.poll()
        assert code is None, f"{self.kind} ended with {code}: {self._log.read_text()[-3000:]}"

    def kill(self) -> None:
        """kill -9, if it still runs."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """SIGSTOP."""
        self._process.send_signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)
        self.frozen = False

    def leave(self) -> None:
        """Asks it to leave the group and to end."""
        self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Until it has ended in order. A JVM that ends because of SIGTERM says 143."""
        code = self._process.wait(timeout=seconds)
        assert code in (0, 143), f"{self.kind} ended with {code}: {self._log.read_text()[-3000:]}"


class GroupProcesses:
    """All processes that ever were, and those that still are."""

    def __init__(self, directory: Path, bootstrap: str, group: str, topic: str) -> None:
        self._directory = directory
        self._where = (bootstrap, group, topic)
        self.all: list[MemberProcess] = []
        self.running: list[MemberProcess] = []
        directory.mkdir(parents=True)

    def add(self, kind: str, members: int = 1) -> MemberProcess:
        """Starts one more process with so many members."""
        number = len(self.all)
        name = kind.replace(" ", "-")
        events = [self._directory / f"{name}-{number}-{index}.jsonl" for index in range(members)]
        command = self._java(kind, events) if kind.startswith(JAVA) else self._python(kind, events[0])
        process = MemberProcess(kind, command, events)
        self.all.append(process)
        self.running.append(process)
        return process

    def files(self) -> Iterator[Path]:
        """Every file of events."""
        return (path for process in self.all for path in process.events if path.exists())

    def retire(self, process: MemberProcess, how: Callable[[MemberProcess], None]) -> None:
        """Ends a process in some way, and counts it no more."""
        self.running.remove(process)
        how(process)

    def stable(self) -> bool:
        """Whether all members that run have seen the same generation."""
        generations = {process.generation() for process in self.running}
        return len(generations) == 1 and 0 not in generations

    def close(self) -> None:
        """No process stays behind, whatever happened."""
        for process in self.all:
            process.kill()

    def _python(self, kind: str, events: Path) -> list[str]:
        return [sys.executable, "-m", "tests.chaos.member", kind, *self._where, str(events)]

    def _java(self, kind: str, events: Sequence[Path]) -> list[str]:
        tools = JavaTools(kind.removeprefix(JAVA))
        classes = compiled(ROOT / "tests/chaos/ChurnMember.java", tools.class_path)
        times = [SESSION_MS, HEARTBEAT_MS, MAX_POLL_INTERVAL_MS, int(WORK_SECONDS * 1000)]
        arguments = [*self._where, *map(str, times), *map(str, events)]
        command = tools.command("ChurnMember", *arguments, heap="128m", class_path=classes)
        # Several JVMs on few cores: quick to start matters, the fastest code does not.
        return [command[0], "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", *command[1:]]
