"""Columns against the same records as objects; their memory; and tables that others offer."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from typing import Any, cast

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastlog.client import columns as module
from fastlog.client.columns import RecordColumns
from fastlog.client.consumer.records import CorruptBatch
from fastlog.client.consumer.state import PartitionState
from fastlog.client.metadata import TopicPartition
from fastlog.native import ArrowReader, FetchedRecords, Record, TableBuilder, TablePool, build_batch
from fastlog.native.shapes import BuildRecord
from tests.harness.batches import batch

ALL = 1 << 62
RECORDS: list[BuildRecord] = [
    (b"key", b"value", [("h", b"1"), ("h", None)], 1000),
    (None, None, [], 900),
    (b"", b"x" * 5000, [("é", b"")], -1),
]


def fetched(data: bytes, position: int = 0, partition: int = 0, topic: str = "t") -> FetchedRecords:
    return FetchedRecords(topic, partition, data, position, None, [])


def columns(data: bytes, position: int = 0) -> RecordColumns:
    builder = TableBuilder()
    fetched(data, position).take_into(builder, ALL, ALL)
    return RecordColumns.of(builder)


def rows(data: bytes, position: int = 0) -> list[Record]:
    return fetched(data, position).take(ALL)


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_columns_of_several_batches(codec: str) -> None:
    data = build_batch(RECORDS, codec=codec, base_offset=40) + build_batch(RECORDS[:1], base_offset=1 << 40)
    found = columns(data, 41)
    assert len(found) == 3
    assert found.offsets.dtype == found.timestamps.dtype == np.int64
    assert found.offsets.tolist() == [41, 42, 1 << 40]
    assert found.timestamps.tolist() == [900, -1, 1000]
    assert found.partitions.tolist() == [0, 0, 0]
    assert list(found.keys) == [None, b"", b"key"]
    assert list(found.values) == [None, b"x" * 5000, b"value"]
    assert found.values[-1] == b"value" and found.values[:2] == [None, b"x" * 5000]
    assert found.values.data.tobytes() == b"x" * 5000 + b"value"
    assert found.values.offsets.tolist() == [0, 0, 5000, 5005]
    assert found.values.validity.tolist() == [False, True, True]
    assert list(found.headers) == [[], [("é", b"")], [("h", b"1"), ("h", None)]]
    assert found.headers.offsets.tolist() == [0, 0, 1, 3]
    assert list(found.headers.names) == ["é".encode(), b"h", b"h"]
    assert list(found.headers.values) == [b"", b"1", None]
    assert list(found) == rows(data, 41) == found[:]
    assert found[-1] == found[2] and found[2:0:-1] == [found[2], found[1]]
    for sequence in (found, found.keys, found.headers):
        for index in (3, -4):
            with pytest.raises(IndexError):
                cast("Any", sequence)[index]


def test_parts_of_several_partitions() -> None:
    builder = TableBuilder()
    for topic, partition, first in (("a", 0, 5), ("a", 2, 0), ("b", 0, 7)):
        data = batch(b"x", b"y", base_offset=first)
        fetched(data, 0, partition, topic).take_into(builder, ALL, ALL)
    found = RecordColumns.of(builder)
    a, b, c = found.parts
    assert a == (TopicPartition("a", 0), 0, 2, 7)
    assert (b.partition, b.start, b.stop, b.next_offset) == (TopicPartition("a", 2), 2, 4, 2)
    assert (c.partition, c.next_offset) == (TopicPartition("b", 0), 9)
    assert found.partitions.tolist() == [0, 0, 2, 2, 0, 0]
    assert [record.topic for record in found] == ["a"] * 4 + ["b"] * 2
    assert repr(found) == "<RecordColumns {a-0: 2, a-2: 2, b-0: 2}>"


def test_nothing_is_empty() -> None:
    for data in (b"", batch(b"one")[:-1]):
        found = columns(data)
        assert len(found) == len(found.keys) == len(found.headers) == len(found.parts) == 0
        assert list(found) == []
        assert found.offsets.tolist() == [] and found.keys.offsets.tolist() == [0]
        assert ArrowReader(found).next() is not None


def test_limits_of_rows_and_of_bytes_and_no_second_use() -> None:
    data = b"".join(build_batch([(None, b"x" * 100, [], 1)] * 50, base_offset=50 * n) for n in range(4))
    walk, builder = fetched(data), TableBuilder()
    assert walk.take_into(builder, 60, ALL) == 60
    assert builder.size == 60 * 132
    assert walk.take_into(builder, ALL, 10_000) == 16
    assert walk.take_into(builder, ALL, 10_000) == 0
    assert walk.position == len(builder) == 76
    builder.finish()
    for use in (builder.finish, lambda: walk.take_into(builder, 1, 1)):
        with pytest.raises(RuntimeError, match="finished"):
            use()


def test_memory_goes_to_later_tables_and_never_while_anybody_has_it() -> None:
    pool = TablePool()

    def made(fill: bytes, count: int) -> RecordColumns:
        builder = TableBuilder(pool)
        fetched(build_batch([(None, fill * 1000, [("h", fill)], 1)] * count)).take_into(builder, ALL, ALL)
        return RecordColumns.of(builder)

    first = made(b"a", 100)
    kept, keys = first.values.data, memoryview(first._table.buffer("offsets"))
    place = kept.ctypes.data
    reader = ArrowReader(first)
    lent = reader.next()
    assert lent is not None
    del first
    others = [made(fill, 100) for fill in (b"b", b"c")]
    assert kept.tobytes() == b"a" * 100_000 and list(keys) == list(range(100))
    assert all(other.values.data.ctypes.data != place for other in others)
    del kept, keys
    assert made(b"d", 100).values.data.ctypes.data != place, "what Arrow was lent is in use, too"
    del lent, reader
    gc.collect()
    last = made(b"e", 50)
    assert last.values.data.ctypes.data == place
    assert list(last.values) == [b"e" * 1000] * 50 and last[49].headers == [("h", b"e")]
    assert [list(other.values) for other in others] == [[b"b" * 1000] * 100, [b"c" * 1000] * 100]


def test_a_partitions_state_moves_as_with_rows_and_damage_comes_behind_the_good_rows() -> None:
    name = TopicPartition("t", 0)
    good, bad = batch(b"a", b"b", base_offset=5), batch(b"c", base_offset=7, crc_change=1)
    by_rows, by_columns = PartitionState(name, 6, None), PartitionState(name, 6, None)
    for state in (by_rows, by_columns):
        assert state.put(fetched(good + bad, 6))
    taken = by_rows.take(100)
    builder = TableBuilder()
    assert by_columns.take_into(builder, 100, ALL) == 1
    assert list(RecordColumns.of(builder)) == taken
    assert (by_columns.position, by_columns.epoch) == (by_rows.position, by_rows.epoch) == (7, 0)
    assert isinstance(by_columns.error, CorruptBatch) and isinstance(by_rows.error, CorruptBatch)
    by_columns.paused = True
    assert by_columns.take_into(TableBuilder(), 1, 1) == 0


def test_arrays_are_read_only_views_that_keep_their_memory() -> None:
    found = columns(build_batch(RECORDS))
    for array in (found.offsets, found.timestamps, found.partitions, found.values.data, found.keys.validity):
        assert not array.flags.owndata and not array.flags.writeable and array.flags.aligned
    assert found.offsets is found.offsets
    data = found.values.data
    del found, array
    gc.collect()
    assert data.tobytes() == b"value" + b"x" * 5000


def test_buffers_say_what_they_are_to_whoever_asks() -> None:
    table = columns(build_batch(RECORDS))._table
    for name, format_, size in (("offsets", "q", 8), ("partitions", "i", 4), ("key_validity", "?", 1)):
        view = memoryview(table.buffer(name))
        assert (view.format, view.itemsize, view.shape, view.strides) == (format_, size, (3,), (size,))
        assert view.readonly and view.c_contiguous and view.nbytes == 3 * size
        assert bytes(table.buffer(name)) == view.tobytes()
    assert memoryview(table.buffer("value_data")).format == "B"
    with pytest.raises(TypeError, match="not writable"):
        cast("Any", ctypes.c_char).from_buffer(table.buffer("offsets"))
    for name in ("", "offset", "x_data", "key_size", "_data"):
        with pytest.raises(KeyError):
            table.buffer(name)


def test_without_numpy_the_columns_are_memoryviews_of_the_same_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    module._numpy_array.cache_clear()
    try:
        found = columns(build_batch(RECORDS))
        assert isinstance(found.offsets, memoryview)
        assert found.offsets.tolist() == [0, 1, 2]
        assert found.values.validity.tolist() == [True, False, True]
        assert list(found) == rows(build_batch(RECORDS))
    finally:
        module._numpy_array.cache_clear()


def test_several_threads_at_once() -> None:
    data = b"".join(build_batch(RECORDS * 20, codec="zstd", base_offset=60 * n) for n in range(50))
    shared = columns(data)
    found: list[tuple[int, int]] = []

    def work() -> None:
        reader = ArrowReader(shared)
        batch_ = reader.next()
        found.append((len(columns(data)), 0 if batch_ is None else len(batch_)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(3000, 3000)] * 4


nullable = st.none() | st.binary(max_size=50)
headers = st.lists(st.tuples(st.text(max_size=5), nullable), max_size=3)
records: st.SearchStrategy[list[BuildRecord]] = st.lists(
    st.tuples(nullable, nullable, headers, st.integers(-1, 1 << 42)), min_size=1, max_size=20
)


@settings(max_examples=50, deadline=None)
@given(
    batches=st.lists(records, max_size=4), codec=st.sampled_from(["none", "gzip", "snappy", "lz4", "zstd"])
)
def test_columns_say_what_records_say_and_arrow_the_same(
    batches: list[list[BuildRecord]], codec: str
) -> None:
    data = b"".join(build_batch(one, codec=codec, base_offset=100 * n) for n, one in enumerate(batches))
    found = columns(data)
    expected = rows(data)
    assert list(found) == expected
    assert [found.offsets.tolist(), list(found.keys), list(found.values), list(found.headers)] == [
        [record.offset for record in expected],
        [record.key for record in expected],
        [record.value for record in expected],
        [record.headers for record in expected],
    ]
    taken = ArrowReader(found).next()
    assert taken is not None
    assert [taken.row(row) for row in range(len(taken))] == [
        (
            record.value,
            record.key,
            record.headers or None,
            0,
            None if record.timestamp == -1 else record.timestamp,
        )
        for record in expected
    ]


# -- capsules --------------------


def pointer(capsule: object, name: bytes) -> int:
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return cast("int", get(capsule, name))


class Stream(ctypes.Structure):
    """struct ArrowArrayStream."""

    _fields_ = (
        ("get_schema", ctypes.c_void_p),
        ("get_next", ctypes.c_void_p),
        ("get_last_error", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


class Array(ctypes.Structure):
    """struct ArrowArray."""

    _fields_ = (
        ("length", ctypes.c_int64),
        ("null_count", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("n_buffers", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("buffers", ctypes.c_void_p),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


RELEASE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
GET = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


def consume(found: RecordColumns) -> None:
    """What a consumer does: moves the array out of its capsule, and releases it later."""
    _, capsule = found.__arrow_c_array__()
    source = Array.from_address(pointer(capsule, b"arrow_array"))
    moved = Array()
    ctypes.memmove(ctypes.addressof(moved), ctypes.addressof(source), ctypes.sizeof(Array))
    source.release = None
    del found, capsule
    assert moved.length > 0
    RELEASE(moved.release)(ctypes.addressof(moved))
    assert not moved.release


def resident() -> int:
    return cast("int", psutil.Process().memory_info().rss)


def leave(found: RecordColumns) -> None:
    """Capsules that nobody reads."""
    found.__arrow_c_schema__()
    found.__arrow_c_array__()
    found.__arrow_c_stream__()


def read(found: RecordColumns) -> None:
    """As a producer does."""
    reader = ArrowReader(found)
    while (rows_ := reader.next()) is not None:
        assert len(rows_) == len(found)


@pytest.mark.parametrize(
    "use", [consume, leave, read, lambda found: found.values.data, lambda found: found[0]]
)
def test_memory_is_released_whatever_becomes_of_the_columns(use: Any) -> None:
    # Some 8 MB each.
    data = build_batch([(b"k" * 10, b"x" * 1000, [("h", b"v")], 1)] * 8000)

    def some(count: int) -> None:
        for _ in range(count):
            use(columns(data))
        gc.collect()

    some(10)
    before = resident()
    some(60)
    assert resident() - before < 60 << 20


def test_columns_that_are_gone_leave_their_memory_to_arrow() -> None:
    found = columns(build_batch(RECORDS))
    _, capsule = found.__arrow_c_array__()
    stream = found.__arrow_c_stream__()
    del found
    gc.collect()
    assert Array.from_address(pointer(capsule, b"arrow_array")).length == 3
    taken = ArrowReader(Offer(stream)).next()
    assert taken is not None and taken.row(0)[0] == b"value"


# -- tables that others offer --------------------


class Offer:
    """Offers whatever it is given."""

    def __init__(self, offered: object) -> None:
        self.offered = offered

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        if isinstance(self.offered, Exception):
            raise self.offered
        return self.offered


def capsule_of(address: int, name: bytes) -> object:
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    return new(address, name, None)


def test_what_is_no_stream_is_told() -> None:
    found = columns(build_batch(RECORDS))
    for wrong in (None, 7, b"", found.__arrow_c_schema__(), found.__arrow_c_array__()):
        with pytest.raises(TypeError, match="__arrow_c_stream__ gave"):
            ArrowReader(Offer(wrong))
    with pytest.raises(ZeroDivisionError):
        ArrowReader(Offer(ZeroDivisionError()))
    with pytest.raises(AttributeError):
        ArrowReader(object())
    used = found.__arrow_c_stream__()
    ArrowReader(Offer(used))
    with pytest.raises(ValueError, match="the stream was read before"):
        ArrowReader(Offer(used))


@pytest.mark.parametrize("code", [0, 5])
def test_a_stream_that_python_makes(code: int) -> None:
    capsule = columns(build_batch(RECORDS)).__arrow_c_stream__()
    real = Stream.from_address(pointer(capsule, b"arrow_array_stream"))
    where = ctypes.addressof(real)
    released: list[int] = []

    def get_schema(_: int, out: int) -> int:
        return cast("int", GET(real.get_schema)(where, out))

    def get_next(_: int, out: int) -> int:
        return code or cast("int", GET(real.get_next)(where, out))

    def release(address: int) -> None:
        released.append(address)
        Stream.from_address(address).release = None

    callbacks = [GET(get_schema), GET(get_next), RELEASE(release)]
    schema_at, next_at, release_at = (ctypes.cast(one, ctypes.c_void_p).value for one in callbacks)
    mine = Stream(schema_at, next_at, None, release_at, None)
    reader = ArrowReader(Offer(capsule_of(ctypes.addressof(mine), b"arrow_array_stream")))
    assert mine.release is None and not released
    if code:
        with pytest.raises(ValueError, match=r"the stream failed: Input/output error"):
            reader.next()
    else:
        taken = reader.next()
        assert taken is not None and taken.row(0)[:2] == (b"value", b"key")
        assert reader.next() is None
    del reader
    gc.collect()
    assert len(released) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("length", -1),
        ("length", 1 << 60),
        ("offset", -1),
        ("offset", 1 << 60),
        ("n_buffers", 0),
        ("buffers", None),
        ("n_children", 0),
        ("n_children", 99),
        ("children", None),
    ],
)
@pytest.mark.parametrize("column", [None, 4, 5, 6])
def test_arrays_of_python_that_cannot_be(field: str, value: int | None, column: int | None) -> None:
    if column is not None and (field, column) in {
        ("n_children", 4),
        ("n_children", 5),
        ("children", 4),
        ("children", 5),
    }:
        pytest.skip("strings have no children")
    found = columns(build_batch(RECORDS))
    capsule = found.__arrow_c_stream__()
    real = Stream.from_address(pointer(capsule, b"arrow_array_stream"))
    where = ctypes.addressof(real)

    def get_schema(_: int, out: int) -> int:
        return cast("int", GET(real.get_schema)(where, out))

    def get_next(_: int, out: int) -> int:
        result = cast("int", GET(real.get_next)(where, out))
        array = Array.from_address(out)
        if column is not None:
            at = ctypes.cast(array.children, ctypes.POINTER(ctypes.c_void_p))[column]
            array = Array.from_address(cast("int", at))
        setattr(array, field, value)
        return result

    def release(address: int) -> None:
        Stream.from_address(address).release = None

    callbacks = [GET(get_schema), GET(get_next), RELEASE(release)]
    schema_at, next_at, release_at = (ctypes.cast(one, ctypes.c_void_p).value for one in callbacks)
    mine = Stream(schema_at, next_at, None, release_at, None)
    reader = ArrowReader(Offer(capsule_of(ctypes.addressof(mine), b"arrow_array_stream")))
    with pytest.raises(ValueError):
        reader.next()
