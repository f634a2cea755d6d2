"""Record batches as numpy columns: one native call for a whole buffer, no Python object per record.

Needs numpy, which `pip install fastlog[numpy]` brings along. The arrays are read-only views of memory that
the native module made; they keep it alive.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

from fastlog.base.quick_dataclass import dataclass
from fastlog.native import decode_columns

__all__ = ["BytesColumn", "RecordColumns", "decode"]


@dataclass(frozen=True, slots=True, eq=False)
class BytesColumn:
    """`n` nullable byte strings, laid out as Arrow's LargeBinary but for the validity of one byte per row.

    Row `i` is `data[offsets[i]:offsets[i + 1]]`; where `validity[i]` is false it is null, and empty there.
    """

    data: NDArray[np.uint8]
    """All bytes, shape (sum of lengths,)."""
    offsets: NDArray[np.int64]
    """Where each row starts and the last one ends, shape (n + 1,)."""
    validity: NDArray[np.bool_]
    """Whether each row is not null, shape (n,)."""

    def __len__(self) -> int:
        return len(self.validity)

    def __getitem__(self, index: int) -> bytes | None:
        """A copy of one row, or None for null. Raises IndexError; negative indexes count from the end."""
        row = range(len(self))[index]
        if not self.validity[row]:
            return None
        return self.data[self.offsets[row] : self.offsets[row + 1]].tobytes()

    def __iter__(self) -> Iterator[bytes | None]:
        return (self[row] for row in range(len(self)))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Bytes of each row, 0 for null, shape (n,)."""
        return np.diff(self.offsets)


@dataclass(frozen=True, slots=True, eq=False)
class RecordColumns:
    """The records of a buffer of batches, in its order: `n` rows, headers left out."""

    offsets: NDArray[np.int64]
    """Offsets in the partition, shape (n,)."""
    timestamps: NDArray[np.int64]
    """Milliseconds since the Unix epoch, -1 for none, shape (n,)."""
    keys: BytesColumn
    values: BytesColumn

    def __len__(self) -> int:
        return len(self.offsets)


def decode(data: Buffer) -> RecordColumns:
    """Reads every whole batch in `data`, such as the records of one partition in the answer to a fetch.

    Control batches are skipped, and so is a last batch that is cut off. Batches may start below the offset
    that was asked for, so rows may too. Releases the GIL. Raises MalformedRequest on a wrong CRC, a damaged
    record or a payload that does not decompress.
    """
    raw = decode_columns(data)

    def numbers(name: str) -> NDArray[np.int64]:
        return np.frombuffer(memoryview(raw[name]), dtype=np.int64)

    def strings(name: str) -> BytesColumn:
        return BytesColumn(
            data=np.frombuffer(memoryview(raw[f"{name}_data"]), dtype=np.uint8),
            offsets=numbers(f"{name}_offsets"),
            validity=np.frombuffer(memoryview(raw[f"{name}_validity"]), dtype=np.bool_),
        )

    return RecordColumns(
        offsets=numbers("offsets"),
        timestamps=numbers("timestamps"),
        keys=strings("key"),
        values=strings("value"),
    )
