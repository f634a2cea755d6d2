"""Faults that others have had in their logs, as public bug reports tell them, played to this engine."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from fastlog.native import Log, LogConfig, RejectedBatch, build_batch, read_batches

DAY = 86_400_000
NOW = 1_790_000_000_000
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]

Timed = tuple[bytes, int]
"""(key, timestamp)"""


def timed(records: Sequence[Timed], codec: str = "none", size: int = 10) -> bytes:
    """A batch of records with these keys and times."""
    return build_batch([(key, key * size, [], time) for key, time in records], codec=codec)


def everything(log: Log) -> dict[int, tuple[bytes | None, int]]:
    """(key, timestamp) of all records from the log's start on, by offset."""
    found: dict[int, tuple[bytes | None, int]] = {}
    at = log.log_start_offset
    while at < log.log_end_offset:
        rows = [row for row in read_batches(log.read(at, 1 << 20)) if row[0] >= at]
        if not rows:
            break
        found |= {offset: (key, time) for offset, time, key, _, _ in rows}
        at = rows[-1][0] + 1
    return found


@pytest.mark.parametrize("codec", CODECS)
def test_compaction_leaves_the_times_of_records_alone(tmp_path: Path, codec: str) -> None:
    """The first record of a batch goes, and the others, out of order, keep their times.

    https://github.com/redpanda-data/redpanda/pull/30998: they moved by the distance of the one that went,
    months into the future.
    """
    log = Log.open(str(tmp_path), LogConfig(compact=True, delete=False))
    log.append(timed([(b"a", NOW), (b"b", NOW - 200 * DAY), (b"c", NOW - 1), (b"d", NOW + 5)], codec))
    log.append(timed([(b"a", NOW - 300 * DAY), (b"d", NOW - 7)], codec))
    log.roll()
    log.append(timed([(b"e", NOW)]))
    before = everything(log)
    log.compact(-1, log.log_end_offset, NOW)
    assert everything(log) == {offset: before[offset] for offset in (1, 2, 4, 5, 6)}
    assert log.max_timestamp_offset() == (NOW, 6, 0)
    assert log.offset_for_timestamp(NOW - 100 * DAY) == (NOW - 1, 2, 0)
    log.close()


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("codec", ["none", "lz4"])
def test_times_far_apart_in_any_order(tmp_path: Path, codec: str, clean: bool) -> None:
    """Lookups by time find the first record that is late enough, whatever came before and in between.

    https://github.com/redpanda-data/redpanda/issues/4035 and .../pull/4010: times behind that of a segment's
    first batch, or more than 2^32 ms from it, wrapped around in the index.
    """
    config = LogConfig(segment_bytes=1200, index_interval_bytes=0, retention_ms=-1)
    times = [NOW, NOW - 60 * DAY, 0, NOW - 1, NOW + 60 * DAY, 1, 2**33, NOW + 7, NOW - DAY, 5, NOW + 60 * DAY]
    log = Log.open(str(tmp_path), config)
    for time in times:
        log.append(timed([(b"x", time), (b"y", max(time - 3, 0))], codec))
    if clean:
        log.close()
    else:
        # As after kill -9, and with indexes that have to be made again.
        copy = tmp_path.with_name(f"{tmp_path.name}-copy")
        shutil.copytree(tmp_path, copy)
        for index in copy.glob("*.timeindex"):
            index.unlink()
        log.close()
        tmp_path = copy
    log = Log.open(str(tmp_path), config, clean_shutdown=clean)
    assert log.segment_count > 1
    records = everything(log)
    for wanted in sorted(
        {0, 1, 2, 2**32, NOW - 61 * DAY, NOW + 61 * DAY, *times, *(time + 1 for time in times)}
    ):
        late = [(time, offset) for offset, (_, time) in records.items() if time >= wanted]
        found = log.offset_for_timestamp(wanted)
        assert (None if found is None else found[:2]) == (late[0] if late else None), wanted
    assert log.max_timestamp_offset() == (NOW + 60 * DAY, 8, 0)
    log.close()


def test_lookups_never_lead_below_the_start_of_the_log(tmp_path: Path) -> None:
    """Records were deleted up to the middle of a batch; its first ones are there, but not for anybody.

    https://github.com/apache/kafka/pull/5229 (KAFKA-6975): whoever went by the batch's first offset got lost.
    """
    log = Log.open(str(tmp_path), LogConfig())
    log.append(timed([(b"a", NOW + 9), (b"b", NOW + 1), (b"c", NOW + 2), (b"d", NOW + 3)]))
    assert log.advance_log_start_offset(2) == 2
    assert log.offset_for_timestamp(NOW) == (NOW + 2, 2, 0)
    assert log.offset_for_timestamp(NOW + 4) is None
    assert log.max_timestamp_offset() == (NOW + 3, 3, 0)
    log.close()


def test_padded_time_indexes_cost_no_data(tmp_path: Path) -> None:
    """Indexes that end in zeros say nothing about age.

    https://github.com/apache/kafka/pull/8936 (KAFKA-10207): the last entry counted, which was 0, and
    retention took the segments at the start.
    """
    config = LogConfig(segment_bytes=1024, index_interval_bytes=0, retention_ms=DAY)
    log = Log.open(str(tmp_path), config)
    for number in range(20):
        log.append(timed([(b"k", NOW + number)], size=200))
    segments = log.segment_count
    assert segments > 3
    log.close()
    for index in (*tmp_path.glob("*.timeindex"), *tmp_path.glob("*.index")):
        with index.open("ab") as file:
            file.write(bytes(1200))
    log = Log.open(str(tmp_path), config, clean_shutdown=True)
    assert log.apply_retention(NOW + DAY - 1) == 0
    assert log.segment_count == segments
    assert log.offset_for_timestamp(NOW + 7) == (NOW + 7, 7, 0)
    assert len(everything(log)) == 20
    log.close()


@pytest.mark.parametrize("clean_from", [3, 7, 1000])
def test_a_cleaner_checkpoint_within_or_beyond_the_active_segment(tmp_path: Path, clean_from: int) -> None:
    """There is nothing to clean then, and the cleaner is not sent there again and again.

    https://github.com/apache/kafka/pull/8469 (KAFKA-9826).
    """
    log = Log.open(str(tmp_path), LogConfig(compact=True, delete=False))
    for _ in range(3):
        log.append(timed([(b"k", NOW)]))
    log.roll()
    for _ in range(5):
        log.append(timed([(b"k", NOW)]))
    state = log.compaction_state(clean_from, log.log_end_offset, NOW)
    if state.checkpoint_valid:
        assert state.cleanable_bytes == 0
    report = log.compact(clean_from, log.log_end_offset, NOW)
    again = log.compaction_state(report.cleaned_to, log.log_end_offset, NOW)
    assert again.cleanable_bytes == 0
    assert list(everything(log))[-5:] == [3, 4, 5, 6, 7]
    log.close()


def test_holes_between_segments_do_not_stop_the_cleaner(tmp_path: Path) -> None:
    """What is gone at the end of a segment leaves a hole, and the next run starts in it.

    https://github.com/apache/kafka/pull/7932 (KAFKA-8764): the map never got beyond the hole.
    """
    log = Log.open(str(tmp_path), LogConfig(compact=True, delete=False))
    log.append(timed([(b"a", NOW), (b"b", NOW)]))
    log.append(timed([(b"b", NOW), (b"c", NOW)]))
    log.roll()
    log.append(timed([(b"c", NOW), (b"b", NOW)]))
    log.roll()
    log.append(timed([(b"z", NOW)]))
    # First up to the second segment's end, then from offsets that are not there any more.
    log.compact(-1, log.log_end_offset, NOW)
    assert list(everything(log)) == [0, 4, 5, 6]
    for clean_from in (1, 2, 3):
        report = log.compact(clean_from, log.log_end_offset, NOW)
        assert report.cleaned_to == 6
    assert list(everything(log)) == [0, 4, 5, 6]
    log.close()


@pytest.mark.parametrize("codec", CODECS)
def test_a_batch_above_the_limit_of_today_is_compacted(tmp_path: Path, codec: str) -> None:
    """https://github.com/apache/kafka/pull/4953 (KAFKA-6834): the cleaner died of batches that were let in
    when more was allowed.
    """
    log = Log.open(str(tmp_path), LogConfig(compact=True, delete=False, max_message_bytes=1 << 22))
    rows = [(b"%d" % number, NOW) for number in range(30)]
    log.append(timed(rows, codec, size=20_000))
    log.append(timed(rows[1:], codec, size=20_000))
    log.roll()
    log.append(timed([(b"z", NOW)]))
    log.update_config(LogConfig(compact=True, delete=False, max_message_bytes=100))
    report = log.compact(-1, log.log_end_offset, NOW)
    assert report.cleaned_to == 59
    assert list(everything(log)) == [0, *range(30, 60)]
    log.close()


def test_a_map_smaller_than_a_segment_gets_there_in_several_runs(tmp_path: Path) -> None:
    """https://github.com/apache/kafka/pull/1725 (KAFKA-3894): a segment with more keys than the map has room
    for was never cleaned.
    """
    log = Log.open(str(tmp_path), LogConfig(compact=True, delete=False))
    for _ in range(2):
        for first in range(0, 400, 40):
            log.append(timed([(b"%d" % number, NOW) for number in range(first, first + 40)]))
    log.roll()
    log.append(timed([(b"z", NOW)]))
    clean_from = -1
    for _ in range(100):
        report = log.compact(clean_from, log.log_end_offset, NOW, memory_bytes=4096)
        assert report.cleaned_to > clean_from
        clean_from = report.cleaned_to
        if not report.map_full:
            break
    assert clean_from == 800
    assert list(everything(log)) == list(range(400, 801))
    log.close()


def test_an_idle_log_that_was_emptied_goes_on(tmp_path: Path) -> None:
    """https://github.com/apache/kafka/pull/5986 (KAFKA-6388): an empty active segment, long idle or with an
    index without room, was rolled to itself, and the log took no record any more.
    """
    config = LogConfig(segment_bytes=1024, segment_ms=1, retention_ms=1, index_max_bytes=12)
    log = Log.open(str(tmp_path), config)
    log.append(timed([(b"k", NOW)]))
    for _ in range(3):
        log.roll()
        log.apply_retention(NOW + DAY)
    assert log.log_start_offset == log.log_end_offset == 1
    log.close()
    for index in tmp_path.glob("*index"):
        index.write_bytes(b"")
    log = Log.open(str(tmp_path), config, clean_shutdown=True, log_start_offset=1)
    for number in range(5):
        assert log.append(timed([(b"k", NOW + number * DAY)])).first_offset == 1 + number
        log.roll()
    assert len(everything(log)) == 5
    log.close()


def test_offsets_far_apart(tmp_path: Path) -> None:
    """https://github.com/apache/kafka/pull/4692 (KAFKA-6264): the cleaner died of segments whose offsets are
    further apart than an index entry can say.
    """
    log = Log.open(str(tmp_path), LogConfig(compact=True, delete=False))
    for offset, key in ((0, b"a"), (5, b"b"), (1 << 31, b"a"), ((1 << 31) + 9, b"c"), (1 << 33, b"b")):
        log.append_as_follower(batch_at(offset, key), leader_epoch=0)
    log.roll()
    log.append_as_follower(batch_at((1 << 33) + 1, b"z"), leader_epoch=0)
    log.compact(-1, log.log_end_offset, NOW)
    kept = [1 << 31, (1 << 31) + 9, 1 << 33, (1 << 33) + 1]
    assert list(everything(log)) == kept
    log.close()
    for clean in (True, False):
        log = Log.open(str(tmp_path), LogConfig(compact=True, delete=False), clean_shutdown=clean)
        assert list(everything(log)) == kept
        log.close()


def test_a_log_at_the_end_of_all_offsets(tmp_path: Path) -> None:
    """The same thought to its end: what has no offset, or none behind it, is refused, and the log opens."""
    last = (1 << 63) - 1
    log = Log.open(str(tmp_path), LogConfig())
    log.append_as_follower(batch_at(last - 4, b"a"), leader_epoch=0)
    log.append_as_follower(batch_at(last - 3, b"b"), leader_epoch=0)
    with pytest.raises(ValueError, match="last offset delta"):
        log.append_as_follower(batch_at(last, b"c"), leader_epoch=0)
    with pytest.raises(RejectedBatch, match="no offsets are left"):
        log.append(timed([(b"d", NOW)] * 3))
    assert log.append(timed([(b"d", NOW)] * 2)).end_offset == last
    with pytest.raises(RejectedBatch, match="no offsets are left"):
        log.append(timed([(b"e", NOW)]))
    log.close()
    log = Log.open(str(tmp_path), LogConfig())
    assert list(everything(log)) == [last - 4, last - 3, last - 2, last - 1]
    log.close()


def batch_at(offset: int, key: bytes) -> bytes:
    """A batch of one record as a leader sends it."""
    return build_batch([(key, b"v", [], NOW)], base_offset=offset, leader_epoch=0)
