"""What can be done to a partition, for more than one test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.integration.doctor.asked import last_segment


def zero_tail(partition: Path) -> None:
    with last_segment(partition).open("ab") as file:
        file.write(bytes(100))


def shorten_last(partition: Path) -> None:
    log = last_segment(partition)
    log.write_bytes(log.read_bytes()[:-10])


def add(name: str, content: bytes = b"x") -> Callable[[Path], None]:
    def act(partition: Path) -> None:
        (partition / name).write_bytes(content)

    return act
