"""One partition of a fetch: what the client asked for, and in a session what it was last told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.replication.progress import NEVER

if TYPE_CHECKING:
    from fastlog.native.shapes import FetchPlanRow
    from fastlog.replication.partition import PartitionKey
    from fastlog.server.fetch.interest import FetchInterest

ZERO_TOPIC_ID: Final = bytes(16)

FetchKey = tuple[str | bytes, int]
"""(topic name up to version 12 or topic id from version 13 on, partition)."""


class FetchPartition:
    """A partition that a client fetches, by name or by id. `told_*` is the last answer in this session.

    It watches the partition for its `interest` (`Watcher`).
    """

    __slots__ = (
        "fetch_offset",
        "found",
        "interest",
        "known_epoch",
        "last_fetched_epoch",
        "log_start_offset",
        "max_bytes",
        "partition",
        "place",
        "told_high_watermark",
        "told_log_start",
        "topic",
        "topic_id",
    )

    def __init__(self, row: FetchPlanRow, place: int) -> None:
        self.topic = row[0]
        self.topic_id = row[1]
        self.partition = row[2]
        self.interest: FetchInterest | None = None
        """For whom it was watched; None before, and when it was forgotten."""
        self.place = place
        """Its turn among the others when bytes are given out: the smallest first."""
        self.found: PartitionKey | None = None
        """Where the last look found it; None before, and when there was an error instead."""
        self.told_high_watermark = -1
        self.told_log_start = -1
        self.known_epoch = row[3]
        self.fetch_offset = row[4]
        self.last_fetched_epoch = row[5]
        self.log_start_offset = row[6]
        """Where a follower's log begins."""
        self.max_bytes = row[7]

    @property
    def asked_ms(self) -> int:
        """When a follower last asked for it, be it by a request that did not name it (`Asking`)."""
        return NEVER if self.interest is None else self.interest.asked_ms

    def update(self, row: FetchPlanRow) -> None:
        """Takes over what a later request of the session says."""
        self.known_epoch = row[3]
        self.fetch_offset = row[4]
        self.last_fetched_epoch = row[5]
        self.log_start_offset = row[6]
        self.max_bytes = row[7]

    def ask_as(self, later: FetchPartition) -> None:
        """The same, of a request whose rows were gathered."""
        self.known_epoch = later.known_epoch
        self.fetch_offset = later.fetch_offset
        self.last_fetched_epoch = later.last_fetched_epoch
        self.log_start_offset = later.log_start_offset
        self.max_bytes = later.max_bytes

    def moved(self) -> None:
        """The partition is not what it was."""
        if self.interest is not None:
            self.interest.note(self)

    def must_tell(self, high_watermark: int, log_start: int) -> bool:
        """Whether an answer without records has news for the client."""
        return high_watermark != self.told_high_watermark or log_start != self.told_log_start

    def told(self, error_code: int, high_watermark: int, log_start: int) -> None:
        """Notes an answer. After an error the next good answer is news in any case."""
        self.told_high_watermark = -1 if error_code else high_watermark
        self.told_log_start = log_start


def row_key(row: FetchPlanRow) -> FetchKey:
    """The key of a row of a plan."""
    return (row[0] if row[1] is None else row[1], row[2])  # type: ignore[return-value]
