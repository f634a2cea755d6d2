"""Records of one partition out of the answer to a fetch, as a consumer should see them.

The walking is native (`fastlog_core::batch::FetchedRecords`): what is before the position, markers and
aborted transactions are left out, and a record becomes an object when it is taken.
"""

from __future__ import annotations

from typing import Final

from fastlog.client.errors import ClientError
from fastlog.client.metadata import TopicPartition
from fastlog.errors import ErrorCode
from fastlog.errors.by_code import CorruptMessage
from fastlog.native import FetchedRecords, Record

__all__ = ["CorruptBatch", "Record", "damage_of"]


class CorruptBatch(CorruptMessage):
    """A batch that cannot be read. `next_offset` is where the following one should start."""

    def __init__(self, name: TopicPartition, offset: int, next_offset: int, problem: str) -> None:
        text = f"partition {name}: the batch at offset {offset} is damaged: {problem}"
        if next_offset > offset:
            text += f". What follows it starts at offset {next_offset}"
        super().__init__(ErrorCode.CORRUPT_MESSAGE, text)
        self.partition: Final = name
        self.offset: Final = offset
        self.next_offset: Final = next_offset


def damage_of(name: TopicPartition, fetched: FetchedRecords) -> ClientError | None:
    """The error of a batch that ended the reading, if one did."""
    damage = fetched.damage
    return None if damage is None else CorruptBatch(name, *damage)
