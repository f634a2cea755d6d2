"""What it costs to check batches when they are read for the first time since the log was opened.

Three reads of the same log, from the page cache, in pieces of 1 MiB: by the process that wrote it (nothing is
checked, as before there was a check), for the first time after a restart, and again.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benches.table import print_table
from fastlog.native import Log, LogConfig, build_batch

_LOG_BYTES = 192 << 20
_PIECE = 1 << 20


def _read_through(log: Log) -> float:
    """MB/s of user data from the start to the end, without decoding."""
    end, offset, size = log.log_end_offset, 0, 0
    began = time.perf_counter()
    while offset < end:
        chunk = memoryview(log.read(offset, _PIECE))
        size += len(chunk)
        at = 0
        # The offsets of whole batches tell where to go on.
        while at + 27 <= len(chunk):
            length = 12 + int.from_bytes(chunk[at + 8 : at + 12])
            if at + length > len(chunk):
                break
            offset = int.from_bytes(chunk[at : at + 8]) + int.from_bytes(chunk[at + 23 : at + 27]) + 1
            at += length
    return size / (time.perf_counter() - began) / 1e6


@pytest.mark.parametrize(("name", "records", "value"), [("64 KiB", 64, 1000), ("1 MiB", 1024, 1000)])
def test_first_read_of_a_log(tmp_path: Path, name: str, records: int, value: int) -> None:
    config = LogConfig(segment_bytes=_LOG_BYTES * 2, max_message_bytes=4 << 20)
    log = Log.open(str(tmp_path / "t-0"), config)
    batch = build_batch([(None, b"x" * value, [], 1)] * records)
    for _ in range(_LOG_BYTES // len(batch)):
        log.append(batch)
    unchecked = max(_read_through(log) for _ in range(3))
    log.roll()
    log.close()
    first = again = 0.0
    for _ in range(3):
        opened = Log.open(
            str(tmp_path / "t-0"), config, clean_shutdown=True, recovery_point=log.log_end_offset
        )
        first = max(first, _read_through(opened))
        again = max(again, _read_through(opened))
    print(f"\nreading a log of {name} batches, best of 3")
    rows = [
        (label, f"{speed:.0f}", f"{speed / unchecked:.2f}")
        for label, speed in (("unchecked", unchecked), ("first, checked", first), ("again", again))
    ]
    print_table(("read", "MB/s", "share"), rows)
