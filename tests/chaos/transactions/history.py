"""What clients of transactions write down, one JSON object a line, and how it is read back.

Values are unique numbers. Each producer, reader and observer has a file.

| `e`      | fields                                                                                      |
|----------|---------------------------------------------------------------------------------------------|
| txn      | number, records: [partition, value] each, position (of the group, null: none)               |
| acked    | number, records: [partition, offset (-1: not told), value] each                             |
| ended    | number, fate: "committed", "aborted" or "unknown", why                                      |
| begun    | the reader begins anew, wherever                                                            |
| read     | records: [partition, offset, value] each, in the order in which they came                   |
| stable   | partition, epoch (the leader's), stable (last stable offset), end (high watermark)          |
| position | group, node, offset                                                                         |
| failed   | error: what should not happen to a client                                                   |
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.chaos.history import read_events

Row = tuple[int, int, int]
"""Partition, offset, value."""
COMMITTED, ABORTED, UNKNOWN = "committed", "aborted", "unknown"
NO_OFFSET: Final = -1


@dataclass(slots=True)
class Transaction:
    """One transaction of one producer, as its client knows it."""

    producer: str
    number: int
    sent: list[tuple[int, int]]
    """Partition and value."""
    position: int | None
    acked: list[Row] = field(default_factory=list)
    fate: str = UNKNOWN
    why: str = "its client never said"

    @property
    def name(self) -> str:
        """To tell of it."""
        return f"{self.producer}/{self.number}"


@dataclass(slots=True)
class TransactionHistory:
    """Everything that was written down, by the name of who wrote it."""

    transactions: dict[tuple[str, int], Transaction] = field(default_factory=dict)
    readers: dict[str, list[list[Row]]] = field(default_factory=dict)
    """Stretches without a new beginning, in the order of time."""
    stable: defaultdict[tuple[str, int], list[tuple[int, int, int]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """By observer and partition: leader epoch, last stable offset, high watermark, in the order of time."""
    positions: defaultdict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    """By group: broker and offset, in the order of time."""
    failures: list[tuple[str, str]] = field(default_factory=list)
    final: list[Row] | None = None
    """All that a `read_committed` consumer is given in the end, in its order."""
    ends: dict[int, tuple[int, int]] = field(default_factory=dict)
    """In the end, by partition: last stable offset and high watermark."""
    final_positions: dict[str, int] = field(default_factory=dict)
    """In the end, by group; -1 for none."""

    def add(self, name: str, event: dict[str, Any]) -> None:
        """Takes one event in."""
        match event["e"]:
            case "txn":
                sent = [(row[0], row[1]) for row in event["records"]]
                number = event["number"]
                self.transactions[name, number] = Transaction(name, number, sent, event["position"])
            case "acked":
                self.transactions[name, event["number"]].acked.extend(_rows(event))
            case "ended":
                ended = self.transactions[name, event["number"]]
                ended.fate, ended.why = event["fate"], event["why"]
            case "begun":
                self.readers.setdefault(name, []).append([])
            case "read":
                self.readers[name][-1].extend(_rows(event))
            case "stable":
                told = event["epoch"], event["stable"], event["end"]
                self.stable[name, event["partition"]].append(told)
            case "position":
                self.positions[event["group"]].append((event["node"], event["offset"]))
            case "failed":
                self.failures.append((name, event["error"]))
            case other:
                raise ValueError(f"{name} wrote an unknown event {other!r}")

    @property
    def fates(self) -> Counter[str]:
        """How many transactions ended how."""
        return Counter(one.fate for one in self.transactions.values())


class Writer:
    """The file of one client."""

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
        """One event."""
        self._file.write(json.dumps({"e": event, **fields}) + "\n")

    def records(self, event: str, records: Sequence[Sequence[int]], **fields: Any) -> None:
        """The same with records; nothing when there are none."""
        if records:
            self.write(event, records=records, **fields)


def read_history(files: Iterable[Path]) -> TransactionHistory:
    """All events of all files."""
    history = TransactionHistory()
    for path in sorted(files):
        for event in read_events(path):
            history.add(path.stem, event)
    return history


def _rows(event: dict[str, Any]) -> Iterable[Row]:
    return ((row[0], row[1], row[2]) for row in event["records"])
