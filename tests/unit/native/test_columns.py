"""Columns of record batches against the same records as tuples."""

import gc
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fastlog.native import MalformedRequest, build_batch, columns, read_batches
from fastlog.native.shapes import BuildRecord
from tests.unit.native.data import batch, rebased

RECORDS: list[BuildRecord] = [
    (b"key", b"value", [("h", b"1")], 1000),
    (None, None, [], 900),
    (b"", b"x" * 5000, [], -1),
]


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_rows_of_several_batches(codec: str) -> None:
    data = build_batch(RECORDS, codec=codec, base_offset=40) + build_batch(RECORDS[:1], base_offset=1 << 40)
    rows = columns.decode(data)
    assert len(rows) == 4
    assert rows.offsets.dtype == np.int64
    assert rows.offsets.tolist() == [40, 41, 42, 1 << 40]
    assert rows.timestamps.tolist() == [1000, 900, -1, 1000]
    assert list(rows.keys) == [b"key", None, b"", b"key"]
    assert list(rows.values) == [b"value", None, b"x" * 5000, b"value"]
    assert rows.values.lengths.tolist() == [5, 0, 5000, 5]
    assert rows.keys.validity.tolist() == [True, False, True, True]
    assert rows.keys.offsets.tolist() == [0, 3, 3, 3, 6]
    assert rows.keys.data.tobytes() == b"keykey"


def test_single_rows() -> None:
    values = columns.decode(build_batch(RECORDS)).values
    assert len(values) == 3
    assert values[0] == values[-3] == b"value"
    assert values[1] is None
    for index in (3, -4):
        with pytest.raises(IndexError):
            values[index]


@pytest.mark.parametrize("data", [b"", bytearray(), b"x" * 60, batch(b"one")[:-1]])
def test_no_whole_batch_is_no_rows(data: bytes) -> None:
    rows = columns.decode(data)
    assert len(rows) == len(rows.keys) == len(rows.values) == 0
    assert list(rows.keys) == []
    assert rows.keys.offsets.tolist() == [0]


def test_control_batches_and_a_cut_last_batch_are_left_out() -> None:
    one, two = batch(b"one"), rebased(batch(b"two"), 2)
    marker = rebased(batch(b"marker", attributes=0x30), 1)
    rows = columns.decode(one + marker + two + one[:-1])
    assert rows.offsets.tolist() == [0, 2]
    assert list(rows.values) == [b"one", b"two"]


def test_damage_is_an_error() -> None:
    damaged = bytearray(batch(b"one"))
    damaged[-1] ^= 1
    with pytest.raises(MalformedRequest, match="checksum"):
        columns.decode(damaged)


def test_arrays_are_read_only_views_that_keep_their_memory() -> None:
    rows = columns.decode(build_batch(RECORDS))
    arrays: list[NDArray[Any]] = [
        rows.offsets,
        rows.timestamps,
        rows.values.data,
        rows.values.offsets,
        rows.values.validity,
    ]
    for array in arrays:
        assert not array.flags.owndata
        assert not array.flags.writeable
        assert array.flags.aligned
    data = rows.values.data
    del rows, arrays
    gc.collect()
    assert data.tobytes() == b"value" + b"x" * 5000


def test_other_buffers() -> None:
    data = build_batch(RECORDS)
    for buffer in (bytearray(data), memoryview(data), np.frombuffer(data, dtype=np.uint8)):
        assert columns.decode(buffer).offsets.tolist() == [0, 1, 2]
    with pytest.raises(BufferError):
        columns.decode(memoryview(data)[::2])


def test_several_threads_at_once() -> None:
    data = b"".join(build_batch(RECORDS * 20, codec="zstd", base_offset=60 * n) for n in range(50))
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(len(columns.decode(data)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [3000] * 4


nullable = st.none() | st.binary(max_size=50)
records: st.SearchStrategy[list[BuildRecord]] = st.lists(
    st.tuples(nullable, nullable, st.just([]), st.integers(-1, 1 << 42)), min_size=1, max_size=20
)


@settings(max_examples=50, deadline=None)
@given(
    batches=st.lists(records, max_size=4), codec=st.sampled_from(["none", "gzip", "snappy", "lz4", "zstd"])
)
def test_columns_say_what_tuples_say(batches: list[list[BuildRecord]], codec: str) -> None:
    data = b"".join(build_batch(one, codec=codec, base_offset=100 * n) for n, one in enumerate(batches))
    rows = columns.decode(data)
    found = zip(rows.offsets.tolist(), rows.timestamps.tolist(), rows.keys, rows.values, strict=True)
    assert list(found) == [(o, t, k, v) for o, t, k, v, _ in read_batches(data)]
