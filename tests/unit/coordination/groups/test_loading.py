"""What is read at start: the last record of each key counts, and one bad record does not matter."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from fastlog.coordination.groups.batches import make_batch, read_records, take_latest
from fastlog.coordination.groups.committed_offsets import CommittedOffset, TopicPartition
from fastlog.coordination.groups.loading import LoadedPartition, load_partition
from fastlog.coordination.groups.records import (
    encode_group_key,
    encode_group_value,
    encode_offset_key,
    encode_offset_value,
    encode_offsets,
)
from fastlog.coordination.groups.results import StoredGroup
from fastlog.coordination.groups.transactional_offsets import LatestRecords
from fastlog.native import Log, LogConfig, build_batch, crc32c
from fastlog.native.shapes import BuildRecord

GROUPS, TOPICS = ("a", "b", "a\0b"), ("t", "tt")
Step = tuple[str, str, int, int | None]
"""Group, topic, partition, and the offset or None for a tombstone; partition -1 is the group itself."""
STEPS = st.tuples(
    st.sampled_from(GROUPS),
    st.sampled_from(TOPICS),
    st.integers(-1, 2),
    st.none() | st.integers(0, 2**62),
)


def stored(generation: int) -> StoredGroup:
    return StoredGroup("consumer", generation, "range", None, 7, ())


def record(step: Step) -> tuple[bytes, bytes | None]:
    group, topic, partition, offset = step
    if partition < 0:
        return encode_group_key(group), None if offset is None else encode_group_value(stored(offset % 100))
    committed = None if offset is None else CommittedOffset(offset, 3, "m" * (offset % 2), 9)
    value = None if committed is None else encode_offset_value(committed)
    return encode_offset_key(group, topic, partition), value


def model(steps: list[Step]) -> tuple[dict[str, int], dict[str, dict[TopicPartition, int]]]:
    """Plain dictionaries, one step after the other."""
    groups: dict[str, int] = {}
    offsets: dict[str, dict[TopicPartition, int]] = {}
    for group, topic, partition, offset in steps:
        if partition < 0:
            groups.pop(group, None)
            if offset is not None:
                groups[group] = offset % 100
            continue
        offsets.setdefault(group, {}).pop((topic, partition), None)
        if offset is not None:
            offsets[group][topic, partition] = offset
    return groups, {group: kept for group, kept in offsets.items() if kept}


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(STEPS, min_size=1, max_size=20), max_size=6))
def test_the_last_record_of_each_key_counts(batches: list[list[Step]]) -> None:
    latest: dict[bytes, bytes | None] = {}
    for steps in batches:
        batch = make_batch([record(step) for step in steps], 1)
        # The next batch is cut off: it does not count, and is read again with the next piece.
        assert take_latest(batch + batch[:40], latest) == (len(steps), read_records(batch)[1])
    loaded = LoadedPartition()
    loaded.apply(latest.items())
    groups, offsets = model([step for steps in batches for step in steps])
    assert {name: group.generation for name, group in loaded.groups.items()} == groups
    assert {
        name: {position: committed.offset for position, committed in found.items()}
        for name, found in loaded.offsets.items()
    } == offsets
    assert loaded.skipped == 0


def test_a_log_is_read_in_pieces(tmp_path: Path) -> None:
    log = Log.open(str(tmp_path / "log"), LogConfig())
    for offset in range(50):
        log.append(make_batch([record(("a", "t", part, offset + part)) for part in range(3)], 1))
    loaded = load_partition(log, log.log_end_offset, 300)
    assert loaded.records == 150
    found = {position: committed.offset for position, committed in loaded.offsets["a"].items()}
    assert found == {("t", 0): 49, ("t", 1): 50, ("t", 2): 51}


def test_bad_records_are_left_out() -> None:
    loaded = LoadedPartition()
    key, value = record(("a", "t", 0, 5))
    assert value is not None
    bad_value = encode_offset_key("a", "t", 1), b"\0\3\0"
    # The same beginning as a good key, and bytes after its end.
    long_key = key + b"\0\0\0\1"
    loaded.apply(
        [(key, value), bad_value, (b"\0\1\0\5", b""), (b"\x7f\0", b"?"), (key, value), (long_key, value)]
    )
    assert loaded.skipped == 3
    assert loaded.offsets["a"][("t", 0)].offset == 5


def test_a_commit_is_encoded_as_its_single_records() -> None:
    committed = {
        ("t", 0): CommittedOffset(1, 2, "", 3),
        ("t", 1): CommittedOffset(1, 2, "text", 3),
        ("u", 9): CommittedOffset(1, -1, "", 3, 99),
    }
    assert encode_offsets("g", committed) == [
        (encode_offset_key("g", *position), encode_offset_value(offset))
        for position, offset in committed.items()
    ]


MARKER_AT = 61 + 5
"""Where the key of a control record begins: the header, then five fields of one byte each."""


def transactional(producer_id: int, *steps: Step) -> bytes:
    """A batch of a transaction."""
    rows: list[BuildRecord] = [(*record(step), [], 1) for step in steps]
    return build_batch(rows, producer_id=producer_id, producer_epoch=0, base_sequence=0, transactional=True)


def marker(producer_id: int, *, commits: bool) -> bytes:
    """The control batch that ends a transaction, as Kafka's coordinator writes it."""
    key = b"\0\0" + (b"\0\1" if commits else b"\0\0")
    batch = bytearray(build_batch([(key, bytes(6), [], 1)], producer_id=producer_id, producer_epoch=0))
    assert batch[MARKER_AT : MARKER_AT + 4] == key
    batch[21:23] = b"\0\x30"
    batch[17:21] = crc32c(bytes(batch[21:])).to_bytes(4, "big")
    return bytes(batch)


def loaded_offsets(*batches: bytes) -> dict[TopicPartition, int]:
    """The offsets of group a, with the batches taken in one by one and all at once."""
    found = []
    for pieces in (list(batches), [b"".join(batches)]):
        latest = LatestRecords()
        for piece in pieces:
            assert latest.take(piece)[1] == 1
        loaded = LoadedPartition()
        loaded.apply(latest.values.items())
        assert loaded.skipped == 0
        found.append({position: at.offset for position, at in loaded.offsets.get("a", {}).items()})
    assert found[0] == found[1]
    return found[0]


def test_offsets_of_transactions_count_when_these_commit() -> None:
    first, second = ("a", "t", 0, 5), ("a", "t", 1, 6)
    plain = make_batch([record(("a", "t", 0, 3))], 1)
    inside = transactional(7, first)
    assert loaded_offsets(inside, marker(7, commits=True)) == {("t", 0): 5}
    assert loaded_offsets(inside, marker(7, commits=False)) == {}
    assert loaded_offsets(inside) == {}
    assert loaded_offsets(plain, inside) == {("t", 0): 3}
    assert loaded_offsets(plain, inside, marker(7, commits=True)) == {("t", 0): 5}
    # A commit from outside that came later.
    assert loaded_offsets(inside, plain, marker(7, commits=True)) == {("t", 0): 3}
    other = transactional(8, second)
    both = (inside, other, marker(8, commits=True), marker(7, commits=False))
    assert loaded_offsets(*both) == {("t", 1): 6}
    again = transactional(7, ("a", "t", 0, 9))
    both = (inside, marker(7, commits=True), again, marker(7, commits=False))
    assert loaded_offsets(*both) == {("t", 0): 5}
