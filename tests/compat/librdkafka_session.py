"""Runs of librdkafka's test-runner: several at a time share the subtests of one test."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.compat.client_programs import ROOT
from tests.peers.librdkafka import librdkafka_runner

# What the runner writes around its words.
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Ended:
    """How one run ended."""

    code: int
    words: str

    @property
    def passed(self) -> list[str]:
        """The names of the subtests that passed, each as often as it did."""
        return re.findall(r"^.*\[ (do_test_\w+):.*: PASS \(", self.words, re.MULTILINE)


class Runs:
    """Begun runs; leaving the context kills what still runs."""

    def __init__(self, bootstrap: str, directory: Path) -> None:
        self._runner = librdkafka_runner(ROOT / "tests/compat/clients/librdkafka/subtests.c")
        self.java = self._runner.parent / "java"
        """The sources of the programs that tests start."""
        self._directory = directory
        self._bootstrap = bootstrap
        self._begun: dict[str, subprocess.Popen[bytes]] = {}
        self._ending = ExitStack()
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "test.conf").write_text(f"metadata.broker.list={bootstrap}\n")

    def __enter__(self) -> Runs:
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def begin(
        self,
        name: str,
        number: str,
        *options: str,
        shares: int = 1,
        skip: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Starts the test with this number ("0103") in so many processes; `name` is what `end` is asked for.

        `skip` has functions of subtests with commas between them.
        """
        for share in range(shares):
            wanted = {
                "TESTS": number,
                "RDKAFKA_TEST_CONF": str(self._directory / "test.conf"),
                "SUBTESTS_SKIP": skip,
                "SUBTESTS_SHARE": f"{share}/{shares}",
                **(environment or {}),
            }
            run = self._start(f"{name}-{share}", [str(self._runner), "-p1", *options], wanted)
            self._begun[f"{name}-{share}"] = self._ending.enter_context(run)

    @contextmanager
    def _start(
        self, name: str, command: list[str], environment: Mapping[str, str]
    ) -> Iterator[subprocess.Popen[bytes]]:
        with (self._directory / name).open("wb") as file:
            run = subprocess.Popen(
                command,
                cwd=self._directory,
                env=os.environ | environment,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        try:
            yield run
        finally:
            run.kill()
            run.wait()

    def end(self, name: str) -> list[Ended]:
        """Waits for all processes of a test."""
        return [
            Ended(run.wait(), _COLOURS.sub("", (self._directory / which).read_text(errors="replace")))
            for which, run in self._begun.items()
            if which.startswith(f"{name}-")
        ]
