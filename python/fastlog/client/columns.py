"""Records as columns: one object for all records of a poll or of a read, and none for each record.

The columns are lent by native memory. With numpy installed they are read-only arrays, else memoryviews of
the same numbers; Arrow's consumers (pyarrow, polars, duckdb, pandas) take the whole table by its PyCapsule
methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, cast, overload

from fastlog.client.metadata import TopicPartition
from fastlog.native import Record, Table, TableBuilder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fastlog.client.consumer.records import CorruptBatch

__all__ = ["DEFAULT_MAX_BYTES", "BytesColumn", "HeaderColumn", "Part", "RecordColumns"]

DEFAULT_MAX_BYTES = 16 * 1024 * 1024
"""Size of a table at which it takes no more records, where nothing else is said."""


class Part(NamedTuple):
    """Rows of one partition, which follow each other."""

    partition: TopicPartition
    start: int
    """The first row."""
    stop: int
    """One more than the last row."""
    next_offset: int
    """The offset to go on from."""


class BytesColumn(Sequence["bytes | None"]):
    """`n` nullable byte strings, laid out as Arrow's LargeBinary but for the validity, a byte for each row.

    Row `i` is `data[offsets[i]:offsets[i + 1]]`; where `validity[i]` is false it is null, and empty there.
    """

    def __init__(self, table: Table, name: str) -> None:
        self._table = table
        self._name = name
        self._raw = memoryview(table.buffer(f"{name}_data"))
        self._starts = memoryview(table.buffer(f"{name}_offsets"))
        self._there = memoryview(table.buffer(f"{name}_validity"))

    @property
    def data(self) -> NDArray[np.uint8]:
        """All bytes, shape (sum of lengths,)."""
        return cast("NDArray[np.uint8]", _array(self._raw))

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where each row starts and the last one ends, shape (n + 1,)."""
        return cast("NDArray[np.int64]", _array(self._starts))

    @property
    def validity(self) -> NDArray[np.bool_]:
        """Whether each row is not null, shape (n,)."""
        return cast("NDArray[np.bool_]", _array(self._there))

    def __len__(self) -> int:
        return len(self._there)

    @overload
    def __getitem__(self, index: int) -> bytes | None: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes | None]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes | None] | None:
        """A copy of a row, or None for null; or of some rows."""
        if isinstance(index, slice):
            return [self[row] for row in range(len(self))[index]]
        row = range(len(self))[index]
        if not self._there[row]:
            return None
        return bytes(self._raw[self._starts[row] : self._starts[row + 1]])


class HeaderColumn(Sequence["list[tuple[str, bytes | None]]"]):
    """The headers of `n` records: those of row `i` are entries `offsets[i]` to `offsets[i + 1]`."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._count = len(table)

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where the headers of each row start and those of the last one end, shape (n + 1,)."""
        return cast("NDArray[np.int64]", _column(self._table, "header_offsets"))

    @cached_property
    def names(self) -> BytesColumn:
        """Names of all headers, in UTF-8."""
        return BytesColumn(self._table, "header_name")

    @cached_property
    def values(self) -> BytesColumn:
        """Values of all headers."""
        return BytesColumn(self._table, "header_value")

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> list[tuple[str, bytes | None]]: ...
    @overload
    def __getitem__(self, index: slice) -> list[list[tuple[str, bytes | None]]]: ...
    def __getitem__(
        self, index: int | slice
    ) -> list[tuple[str, bytes | None]] | list[list[tuple[str, bytes | None]]]:
        """The headers of a row, or of some rows."""
        if isinstance(index, slice):
            return [self._table.headers(row) for row in range(self._count)[index]]
        return self._table.headers(range(self._count)[index])


class RecordColumns:
    """Records of one or several partitions, those of each in the order of the log; `n` rows.

    Like a sequence of `Record`, each made when it is looked at; it does not call itself one, since polars
    would look at each then. Arrow's consumers get a struct array of topic, partition, offset, timestamp (null
    for none), key, value and headers, without a copy; what they make of it keeps the memory alive by itself.
    """

    def __init__(self, table: Table, damage: CorruptBatch | None = None) -> None:
        self._table = table
        self.damage = damage
        """The damaged batch that ended the reading of a partition, behind its good rows; None for none."""

    @classmethod
    def of(cls, builder: TableBuilder, damage: CorruptBatch | None = None) -> RecordColumns:
        """What was collected. The builder is finished."""
        return cls(builder.finish(), damage)

    # -- columns --------------------

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Offsets in their partitions, shape (n,)."""
        return cast("NDArray[np.int64]", _column(self._table, "offsets"))

    @cached_property
    def timestamps(self) -> NDArray[np.int64]:
        """Milliseconds since the Unix epoch, -1 for none, shape (n,)."""
        return cast("NDArray[np.int64]", _column(self._table, "timestamps"))

    @cached_property
    def partitions(self) -> NDArray[np.int32]:
        """The partition of each row, shape (n,). With several topics `parts` says which is of which."""
        return cast("NDArray[np.int32]", _column(self._table, "partitions"))

    @cached_property
    def keys(self) -> BytesColumn:
        """Keys."""
        return BytesColumn(self._table, "key")

    @cached_property
    def values(self) -> BytesColumn:
        """Values."""
        return BytesColumn(self._table, "value")

    @cached_property
    def headers(self) -> HeaderColumn:
        """Headers."""
        return HeaderColumn(self._table)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Which rows are of which partition, in the order of the rows; all rows are in one of them."""
        return tuple(
            Part(TopicPartition(topic, partition), start, stop, next_offset)
            for topic, partition, start, stop, next_offset in self._table.parts
        )

    # -- records --------------------

    def __len__(self) -> int:
        return len(self._table)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        """A row as a record, or some rows."""
        if isinstance(index, slice):
            return [self._table.record(row) for row in range(len(self._table))[index]]
        return self._table.record(range(len(self._table))[index])

    def __iter__(self) -> Iterator[Record]:
        return (self._table.record(row) for row in range(len(self._table)))

    def __repr__(self) -> str:
        parts = ", ".join(f"{part.partition}: {part.stop - part.start}" for part in self.parts)
        return f"<RecordColumns {{{parts}}}>"

    # -- Arrow --------------------

    def __arrow_c_schema__(self) -> object:
        """The type of the struct array, as a PyCapsule."""
        return self._table.__arrow_c_schema__()

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        """Type and array as PyCapsules. There is one type: what is requested is not regarded."""
        return self._table.__arrow_c_array__(requested_schema)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """A stream of one array as a PyCapsule; may be asked for any number of times."""
        return self._table.__arrow_c_stream__(requested_schema)


def _column(table: Table, name: str) -> Any:
    return _array(memoryview(table.buffer(name)))


def _array(view: memoryview) -> Any:
    """The view as an array of numpy, if there is numpy."""
    make = _numpy_array()
    return view if make is None else make(view)


@cache
def _numpy_array() -> Callable[[memoryview], Any] | None:
    try:
        from numpy import asarray
    except ImportError:
        return None
    return asarray
