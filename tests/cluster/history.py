"""What producers and readers of a log write down, one JSON object a line, and how it is read back.

Times are nanoseconds of CLOCK_MONOTONIC. Each producer and each reader has a file. Values are unique numbers.

| `e`    | fields                                                                                        |
|--------|-----------------------------------------------------------------------------------------------|
| sent   | t, records: [partition, value] each, in the order in which they were given to the client      |
| acked  | t, records: [partition, offset, value] each                                                   |
| failed | t, partition, value, error, sure: whether it is certain that the record is not in the log     |
| fatal  | t, error: the producer has given up for good                                                  |
| begun  | t, partitions: the reader begins to read these anew, wherever                                 |
| read   | t, records: [partition, offset, value] each, in the order in which they came                  |
| lost   | t, error: the reader's place is not in the log, and it reads no more                          |
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.chaos.history import read_events

_GIVEN_UP: Final = ("_UNKNOWN_PARTITION", "_UNKNOWN_TOPIC", "UNKNOWN_TOPIC_OR_PART")

Row = tuple[int, int, int]
"""Partition, offset, value."""
NO_OFFSET: Final = -1
"""Where a record is that librdkafka takes for acknowledged since what it sent later is: the first answer was
an error that does not tell whether the records are there, and those after them were taken."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A record that was not acknowledged. Unless it is `sure`, it may be in the log or come there."""

    partition: int
    value: int
    error: str
    sure: bool


@dataclass(slots=True)
class ProducerHistory:
    """What one producer did; an idempotent one has its records in this order in each partition."""

    sent: list[tuple[int, int]] = field(default_factory=list)
    """Partition and value."""
    acked: list[Row] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)


@dataclass(slots=True)
class LogHistory:
    """Everything that was written down of one topic, by the name of who wrote it."""

    producers: dict[str, ProducerHistory] = field(default_factory=dict)
    readers: dict[str, list[list[Row]]] = field(default_factory=dict)
    """Stretches without a new beginning, in the order of time."""
    lost: list[tuple[str, str]] = field(default_factory=list)
    """Readers that found their place gone, with what they were told."""
    fatal: list[tuple[str, str]] = field(default_factory=list)
    """Producers that found the log not to go on where it was, likewise."""
    final: list[Row] | None = None
    """All that the topic has, read from the beginning to the end when all was over."""

    def add(self, name: str, event: dict[str, Any]) -> None:
        """Takes one event in."""
        match event["e"]:
            case "sent":
                self._producer(name).sent.extend((row[0], row[1]) for row in event["records"])
            case "acked":
                self._producer(name).acked.extend(_rows(event))
            case "failed":
                failed = Failed(event["partition"], event["value"], event["error"], event["sure"])
                self._producer(name).failed.append(failed)
            case "begun":
                self.readers.setdefault(name, []).append([])
            case "read":
                self.readers[name][-1].extend(_rows(event))
            case "fatal":
                self.fatal.append((name, event["error"]))
            case "lost":
                self.lost.append((name, event["error"]))
            case other:
                raise ValueError(f"{name} wrote an unknown event {other!r}")

    def _producer(self, name: str) -> ProducerHistory:
        return self.producers.setdefault(name, ProducerHistory())

    @property
    def acked(self) -> int:
        """How many records were acknowledged."""
        return sum(len(producer.acked) for producer in self.producers.values())

    @property
    def failures(self) -> list[Failed]:
        """All records that were not."""
        return [failed for producer in self.producers.values() for failed in producer.failed]

    @property
    def unexplained(self) -> list[Failed]:
        """Those among them that a cluster has to answer for.

        librdkafka gives up what is queued for a partition, sent or not, when a broker says in Metadata that
        there is no such topic. Apache Kafka's say so when they have started and no controller has told them
        of any yet.
        """
        return [failed for failed in self.failures if failed.error not in _GIVEN_UP]


class Writer:
    """The file of one producer or reader."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, event: str, **fields: Any) -> None:
        """One event; its time is now."""
        self._file.write(json.dumps({"e": event, "t": time.monotonic_ns(), **fields}) + "\n")

    def records(self, event: str, records: Sequence[Sequence[int]]) -> None:
        """The same with records; nothing when there are none."""
        if records:
            self.write(event, records=records)


def read_log_history(files: Iterable[Path], final: Iterable[Row] | None = None) -> LogHistory:
    """All events of all files, and the last look at the topic."""
    history = LogHistory(final=None if final is None else sorted(final))
    for path in files:
        for event in read_events(path):
            history.add(path.stem, event)
    return history


def _rows(event: dict[str, Any]) -> Iterable[Row]:
    return ((row[0], row[1], row[2]) for row in event["records"])
