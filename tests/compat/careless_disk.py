"""`fastlog-broker` that loses or repeats records in a crash: `python -m tests.compat.careless_disk HOW ...`.

A check that has never failed may be unable to. When it starts on what a killed broker has left, this one
first changes a batch of each partition of the clients' topics: with each HOW the tests of the tools that
people connect must find something.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from fastlog.cli.broker.main import main
from fastlog.native import crc32c
from tests.compat.careless_broker import MISSING, TWICE

_OFFSET, _CRC, _ATTRIBUTES, _LAST, _PRODUCER, _COUNT = 0, 17, 21, 23, 43, 57
"""Where the fields of a batch are."""
_NOBODY: Final = struct.pack(">qhi", -1, -1, -1)


def batches(data: bytes) -> Iterator[tuple[int, int]]:
    """Begin and end of each whole batch."""
    begin = 0
    while begin + 61 <= len(data):
        end = begin + 12 + int(struct.unpack_from(">i", data, begin + 8)[0])
        if end > len(data):
            return
        yield begin, end
        begin = end


def loses(data: bytes) -> bytes:
    """Without a batch in the middle. Its offsets are missing, as if the log had been compacted."""
    found = list(batches(data))
    begin, end = found[len(found) // 2]
    return data[:begin] + data[end:]


def repeats(data: bytes) -> bytes:
    """With another copy of a batch in the middle, of no producer that is known, at its end."""
    found = list(batches(data))
    (last, _), (begin, end) = found[-1], found[len(found) // 2]
    copy = bytearray(data[begin:end])
    struct.pack_into(">q", copy, _OFFSET, *_next_offset(data, last))
    copy[_PRODUCER:_COUNT] = _NOBODY
    struct.pack_into(">I", copy, _CRC, crc32c(bytes(copy[_ATTRIBUTES:])))
    return data[: found[-1][1]] + bytes(copy)


def _next_offset(data: bytes, begin: int) -> tuple[int]:
    return (struct.unpack_from(">q", data, begin)[0] + struct.unpack_from(">i", data, begin + _LAST)[0] + 1,)


HOW: Final[dict[str, Callable[[bytes], bytes]]] = {"loses": loses, "repeats": repeats}
SAID: Final = {"loses": MISSING, "repeats": TWICE}
"""By the way in which a broker is careless: what it is to be found out by."""


def spoil(data_dir: Path, change: Callable[[bytes], bytes]) -> None:
    """Changes the newest segment of each partition that has three batches or more, once."""
    for partition in data_dir.glob("*-[0-9]*"):
        mark = partition.with_name(f".careless-{partition.name}")
        if partition.name.startswith("__") or mark.exists():
            continue
        segment = max(partition.glob("*.log"), default=None)
        data = segment.read_bytes() if segment is not None else b""
        if segment is not None and len(list(batches(data))) >= 3:
            segment.write_bytes(change(data))
            for index in partition.glob(f"{segment.stem}.*index"):
                index.unlink()
            mark.touch()


def command(how: str) -> list[str]:
    """The command line, to which the broker's own arguments are added."""
    return [sys.executable, "-m", "tests.compat.careless_disk", how]


if __name__ == "__main__":
    chosen = HOW[sys.argv.pop(1)]
    where = Path(sys.argv[sys.argv.index("--data-dir") + 1])
    if where.exists():
        spoil(where, chosen)
    main()
