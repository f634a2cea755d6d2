"""Records out of a fetch: what is before the position, a marker, aborted, cut off or damaged."""

from __future__ import annotations

import pickle
from typing import NamedTuple

import pytest

from fastlog.client.consumer.records import CorruptBatch, Record, damage_of
from fastlog.client.metadata import TopicPartition
from fastlog.native import FetchedRecords, build_batch
from tests.harness.batches import TIME, batch

NAME = TopicPartition("t", 3)
TRANSACTIONAL, CONTROL, APPEND_TIME = 1 << 4, 1 << 5, 1 << 3


def of(producer: int, base: int, *values: bytes) -> bytes:
    return batch(*values, base_offset=base, producer=(producer, 0, 0), attributes=TRANSACTIONAL)


def marker(producer: int, base: int) -> bytes:
    attributes = TRANSACTIONAL | CONTROL
    return batch(b"\0\0\0\0\0\0", base_offset=base, producer=(producer, 0, -1), attributes=attributes)


class Found(NamedTuple):
    """What was read, and the offset to go on from."""

    records: list[Record]
    position: int


def read_fetched(
    name: TopicPartition,
    data: bytes | memoryview | None,
    position: int,
    aborted: list[tuple[int, int]] | None = None,
    *,
    until: int | None = None,
    at_a_time: int = 1 << 30,
) -> Found:
    """All records of an answer. Raises CorruptBatch when there are none before the damage."""
    fetched = FetchedRecords(name.topic, name.partition, data or b"", position, until, aborted or [])
    records: list[Record] = []
    while not fetched.is_over:
        records += fetched.take(at_a_time)
    error = damage_of(name, fetched)
    if error is not None and not records:
        raise error
    return Found(records, fetched.position)


def values(records: list[Record]) -> list[bytes | None]:
    return [record.value for record in records]


def test_records_before_the_position_are_skipped_and_a_cut_batch_is_left() -> None:
    data = batch(b"a", b"b", b"c", base_offset=10) + batch(b"d", base_offset=13)
    cut = batch(b"e", base_offset=14)[:-1]
    found = read_fetched(NAME, data + cut, 11)
    assert found.records[0] == Record("t", 3, 11, TIME + 1, b"k", b"b", [], False, 0)
    assert values(found.records) == [b"b", b"c", b"d"]
    assert found.position == 14
    assert read_fetched(NAME, memoryview(data)[:50], 10) == read_fetched(NAME, None, 10)


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_every_codec_with_headers_and_nulls(codec: str) -> None:
    rows = [(None, None, [("h", b"1"), ("h", None)], 5), (b"", b"", [], 6)]
    found = read_fetched(NAME, build_batch(rows, codec=codec, base_offset=7), 0)
    assert found.records == [
        Record("t", 3, 7, 5, None, None, [("h", b"1"), ("h", None)], False),
        Record("t", 3, 8, 6, b"", b"", [], False),
    ]


def test_append_time_is_the_batches_time() -> None:
    (first, second) = read_fetched(NAME, batch(b"a", b"b", attributes=APPEND_TIME), 0).records
    assert (first.timestamp, first.is_append_time) == (second.timestamp, True) == (TIME + 1, True)


def test_markers_are_no_records_but_move_the_position() -> None:
    found = read_fetched(NAME, of(9, 0, b"a") + marker(9, 1), 0)
    assert values(found.records) == [b"a"]
    assert found.position == 2
    assert read_fetched(NAME, marker(9, 1), 1).position == 2


def test_aborted_transactions_are_skipped_up_to_their_marker_and_nothing_else() -> None:
    data = b"".join(
        [
            of(1, 0, b"committed 1"),
            marker(1, 1),
            of(1, 2, b"aborted 1", b"aborted 1"),
            of(2, 4, b"committed 2"),
            batch(b"plain", base_offset=5, producer=(1, 0, 0)),
            marker(1, 6),
            of(1, 7, b"committed again"),
            of(2, 8, b"committed 2 again"),
            marker(2, 9),
            of(2, 10, b"aborted 2"),
            marker(2, 11),
        ]
    )
    found = read_fetched(NAME, data, 0, [(2, 10), (1, 2)])
    assert values(found.records) == [
        b"committed 1",
        b"committed 2",
        b"plain",
        b"committed again",
        b"committed 2 again",
    ]
    assert found.position == 12
    # From the middle of the aborted transaction: its start is before what came.
    assert values(read_fetched(NAME, data[len(of(1, 0, b"committed 1")) :], 3, [(1, 2)]).records)[0] == (
        b"committed 2"
    )
    # Without the list (read_uncommitted) they are all there.
    assert len(read_fetched(NAME, data, 0).records) == 8


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[:30] + b"\xff" + data[31:], "fails its checksum"),
        (lambda data: data[:16] + b"\x01" + data[17:], "format version 1, and only 2 can be read"),
        (lambda data: data[:8] + b"\0\0\0\x05" + data[12:], "its header cannot be: length 5"),
        (lambda data: data[:8] + b"\xff\xff\xff\xf0" + data[12:], "its header cannot be: length -16"),
        (lambda data: data[:23] + b"\xff\xff\xff\xff" + data[27:], "last offset delta -1"),
    ],
    ids=["crc", "magic", "short", "negative", "delta"],
)
def test_damage_is_an_error_that_names_the_place(damage: object, words: str) -> None:
    good, bad = batch(b"a", base_offset=5), damage(batch(b"b", b"c", base_offset=6))  # type: ignore[operator]
    with pytest.raises(CorruptBatch, match=words) as caught:
        read_fetched(NAME, bad, 6)
    assert str(caught.value).startswith("partition t-3: the batch at offset 6 is damaged: ")
    assert caught.value.offset == 6
    # What is good before it comes first; the next fetch starts with the damage.
    found = read_fetched(NAME, good + bad, 5)
    assert values(found.records) == [b"a"]
    assert found.position == 6


def test_the_offset_after_a_damaged_batch_is_told() -> None:
    bad = batch(b"b", b"c", base_offset=6, crc_change=1)
    with pytest.raises(CorruptBatch, match="What follows it starts at offset 8") as caught:
        read_fetched(NAME, bad, 6)
    assert caught.value.next_offset == 8


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_records_are_taken_some_at_a_time_and_not_beyond_the_end(codec: str) -> None:
    data = b"".join(
        build_batch([(None, b"%d" % n, [], n) for n in range(base, base + 7)], codec=codec, base_offset=base)
        for base in (0, 7, 14)
    )
    whole = read_fetched(NAME, data, 3)
    for at_a_time in (1, 4, 7, 100):
        assert read_fetched(NAME, data, 3, at_a_time=at_a_time) == whole
    part = read_fetched(NAME, data, 3, until=9, at_a_time=4)
    assert values(part.records) == [b"%d" % number for number in range(3, 9)]
    assert read_fetched(NAME, data, 3, until=3).records == []


def test_a_record_is_a_value() -> None:
    (record,) = read_fetched(NAME, batch(b"a"), 0).records
    assert record == pickle.loads(pickle.dumps(record))  # noqa: S301 - made here
    assert hash(record) == hash(Record("t", 3, 0, 1, None, None))
    assert record != Record("t", 3, 0, TIME, b"k", b"b")
    assert record != "a"
    assert "value=b'a'" in repr(record)
    match record:
        case Record(topic, partition, offset, _, key, value):
            assert (topic, partition, offset, key, value) == ("t", 3, 0, b"k", b"a")
