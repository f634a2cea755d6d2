"""Records of tables that others have made: anything that has `__arrow_c_stream__`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from fastlog.client.producer.waiting import Outgoing
from fastlog.native import ArrowBatch

if TYPE_CHECKING:
    from typing_extensions import TypeIs

__all__ = ["ArrowTable", "Given", "check_given", "is_table", "outgoing"]


class ArrowTable(Protocol):
    """What gives its rows as a stream of Arrow's C interface.

    Columns: `value` (binary or utf8) and, as far as wanted, `key`, `timestamp` (of any unit, or a 64-bit
    integer in ms), `partition` (any integer) and `headers` (list of structs of name and value, or a map).
    `topic` and `offset` are passed over, so that what a consumer has read may be sent on; others are errors.
    """

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """A PyCapsule of the stream."""
        ...


Given = tuple[Any, "int | None", "int | None"]
"""Headers, partition and timestamp that all records of a call have, as far as they are given."""


def is_table(values: Sequence[bytes | None] | ArrowTable) -> TypeIs[ArrowTable]:
    """Whether these are records of a table, not values."""
    return not isinstance(values, (list, tuple)) and hasattr(values, "__arrow_c_stream__")


def check_given(batch: ArrowBatch, given: Given) -> None:
    """Raises ValueError for what is given twice, as a column and to the call."""
    for name, is_column, other in zip(
        ("headers", "timestamp", "partition"), batch.columns, (given[0], given[2], given[1]), strict=True
    ):
        if is_column and other is not None:
            raise ValueError(f"{name} is a column of the table, and is given to the call, too")


def outgoing(topic: str, batch: ArrowBatch, row: int, given: Given) -> Outgoing:
    """One record of a table, to be sent by itself."""
    value, key, headers, partition, timestamp_ms = batch.row(row)
    return (
        topic,
        value,
        key,
        given[0] if headers is None else headers,
        given[1] if partition is None else partition,
        given[2] if timestamp_ms is None else timestamp_ms,
        None,
    )
