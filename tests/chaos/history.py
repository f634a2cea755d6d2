"""What the processes of a run write down, one JSON object a line, and how it is read back.

Times are nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share. Events:

| `e`      | fields                                                                                      |
|----------|---------------------------------------------------------------------------------------------|
| assigned | t, generation (null: the client does not know it any more), member (its id), partitions     |
| revoked  | t, generation, partitions                                                                   |
| handled  | t, records: [partition, offset, value] each; written before the offsets are committed       |
| commit   | began, t (the answer), generation, offsets {partition: offset}, error (null: it is done)    |
| trouble  | t, error: something that a client reported and went on from                                 |
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Assigned:
    """A process got partitions as the member of one generation."""

    process: str
    time: int
    generation: int | None
    member: str
    partitions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Handled:
    """A process handled records: (partition, offset, value) each."""

    process: str
    time: int
    records: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Commit:
    """One attempt to commit; `error` is None when the broker took it. Generation None: it changed."""

    process: str
    began: int
    ended: int
    generation: int | None
    offsets: dict[int, int]
    error: str | None


@dataclass(slots=True)
class History:
    """Everything that was written down, each list in the order of time within a process."""

    assigned: list[Assigned] = field(default_factory=list)
    handled: list[Handled] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def add(self, process: str, event: dict[str, Any]) -> None:
        """Takes one event in."""
        match event["e"]:
            case "assigned":
                partitions = tuple(event["partitions"])
                self.assigned.append(
                    Assigned(process, event["t"], event["generation"], event["member"], partitions)
                )
            case "handled":
                records = tuple((row[0], row[1], row[2]) for row in event["records"])
                self.handled.append(Handled(process, event["t"], records))
            case "commit":
                offsets = {int(partition): offset for partition, offset in event["offsets"].items()}
                self.commits.append(
                    Commit(
                        *(process, event["began"], event["t"]),
                        *(event["generation"], offsets, event["error"]),
                    )
                )
            case "trouble":
                self.troubles.append(f"{process}: {event['error']}")
            case "revoked":
                pass
            case other:
                raise ValueError(f"{process} wrote an unknown event {other!r}")


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """The events of one file. A last line without its end is what kill -9 leaves behind, and left out."""
    for line in path.read_bytes().split(b"\n")[:-1]:
        yield json.loads(line)


def read_history(files: Iterable[Path]) -> History:
    """All events of all processes."""
    history = History()
    for path in files:
        for event in read_events(path):
            history.add(path.stem, event)
    return history
