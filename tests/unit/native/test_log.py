"""Log: any buffer goes in, Kafka's error codes come out, and other threads run meanwhile."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fastlog.native import (
    CorruptLog,
    FastlogNativeError,
    Log,
    LogConfig,
    OffsetOutOfRange,
    RejectedBatch,
    StorageError,
)
from tests.unit.native.data import batch, rebased


def open_log(path: Path, *, clean: bool = False, recovery_point: int = 0, **config: int | str | bool) -> Log:
    return Log.open(
        str(path),
        LogConfig(**config),  # type: ignore[arg-type]
        clean_shutdown=clean,
        recovery_point=recovery_point,
    )


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_append_takes_any_buffer_and_leaves_it_alone(
    tmp_path: Path, wrap: Callable[[bytes], bytes | bytearray | memoryview]
) -> None:
    log = open_log(tmp_path / "t-0")
    records = batch(b"one", b"two")
    buffer = wrap(records)
    info = log.append(buffer, leader_epoch=3)
    assert (info.first_offset, info.last_offset, info.end_offset) == (0, 1, 2)
    assert (info.log_append_time, info.log_start_offset, info.duplicate) == (-1, 0, False)
    assert bytes(buffer) == records
    assert log.append(buffer, leader_epoch=3).first_offset == 2
    stored = rebased(records, 0, 3) + rebased(records, 2, 3)
    assert bytes(log.read(0, 1 << 20)) == stored
    assert bytes(log.read(3, 1 << 20)) == rebased(records, 2, 3)
    assert bytes(log.read(0, 1 << 20, max_offset=2)) == rebased(records, 0, 3)
    assert len(log.read(4, 1 << 20)) == 0
    assert len(log.read(0, 1)) == len(records)
    assert len(log.read(0, 1, min_one_batch=False)) == 0


def test_properties(tmp_path: Path) -> None:
    log = open_log(tmp_path / "t-0")
    assert log.path == str(tmp_path / "t-0")
    assert (log.log_start_offset, log.log_end_offset, log.recovery_point, log.latest_epoch) == (0, 0, 0, -1)
    assert (log.size_bytes, log.segment_count, log.unflushed_bytes, log.failure) == (0, 1, 0, None)
    records = batch(b"one")
    log.append(records, leader_epoch=2)
    assert (log.log_end_offset, log.latest_epoch, log.size_bytes) == (1, 2, len(records))
    assert log.unflushed_bytes == len(records)
    assert log.flush() == 1
    assert (log.recovery_point, log.unflushed_bytes) == (1, 0)
    assert log.segments() == [(0, len(records), 1_700_000_000_000)]
    available = log.available_bytes(0, 1)
    assert available is not None
    assert available >= len(records)
    assert log.active_producers() == []
    assert log.last_stable_offset(1) == 1
    assert log.aborted_transactions(0, 1) == []
    report = log.recovery_report
    assert (report["bytes_scanned"], report["truncated_bytes"], report["indexes_rebuilt"]) == (0, 0, 0)
    assert report["warnings"] == []


def test_rejections_carry_code_and_record_errors(tmp_path: Path) -> None:
    log = open_log(tmp_path / "t-0", max_message_bytes=200)
    records = bytearray(batch(b"one"))
    records[-1] ^= 1
    with pytest.raises(RejectedBatch) as corrupt:
        log.append(records)
    assert corrupt.value.code == 2
    assert corrupt.value.record_errors == []
    assert corrupt.value.message
    with pytest.raises(RejectedBatch) as large:
        log.append(batch(b"x" * 300))
    assert large.value.code == 10
    log.update_config(LogConfig(compact=True))
    with pytest.raises(RejectedBatch) as keyless:
        log.append(batch(b"one", b"two"))
    assert keyless.value.code == 87
    assert [index for index, _ in keyless.value.record_errors] == [0, 1]
    assert isinstance(keyless.value, FastlogNativeError)
    assert log.log_end_offset == 0


def test_duplicates_of_idempotent_producers(tmp_path: Path) -> None:
    log = open_log(tmp_path / "t-0")
    first = batch(b"one", b"two", producer_id=9, producer_epoch=0, base_sequence=0)
    log.append(first)
    again = log.append(first)
    assert (again.first_offset, again.last_offset, again.duplicate, again.end_offset) == (0, 1, True, 2)
    with pytest.raises(RejectedBatch) as gap:
        log.append(batch(b"x", producer_id=9, producer_epoch=0, base_sequence=7))
    assert gap.value.code == 45
    assert log.active_producers() == [(9, 0, 1, 1_700_000_000_000, -1, -1)]


def test_offset_out_of_range(tmp_path: Path) -> None:
    log = open_log(tmp_path / "t-0")
    for offset in (-1, 1):
        with pytest.raises(OffsetOutOfRange) as caught:
            log.read(offset, 1)
        assert caught.value.code == 1


def test_search_by_time_and_epochs(tmp_path: Path) -> None:
    log = open_log(tmp_path / "t-0")
    assert log.max_timestamp_offset() is None
    for number in range(4):
        log.append(batch(b"x", timestamp=1000 * number), leader_epoch=number // 2)
    assert log.offset_for_timestamp(1500) == (2000, 2, 1)
    assert log.offset_for_timestamp(1500, 2) is None
    assert log.offset_for_timestamp(9000) is None
    assert log.max_timestamp_offset() == (3000, 3, 1)
    assert log.end_offset_for_epoch(0) == (0, 2)
    assert log.end_offset_for_epoch(1) == (1, 4)
    assert log.lead(5) == 4
    assert log.latest_epoch == 5
    log.truncate_to(2)
    assert (log.log_end_offset, log.latest_epoch) == (2, 0)
    log.truncate_fully_and_start_at(100)
    assert (log.log_start_offset, log.log_end_offset) == (100, 100)


def test_follower_appends_keep_offsets(tmp_path: Path) -> None:
    log = open_log(tmp_path / "t-0")
    records = batch(b"one", b"two")
    info = log.append_as_follower(rebased(records, 0, 4) + rebased(records, 2, 4), leader_epoch=4)
    assert (info.first_offset, info.last_offset, info.end_offset) == (0, 3, 4)
    with pytest.raises(ValueError, match="offset 2"):
        log.append_as_follower(rebased(records, 2, 4), leader_epoch=4)


def test_retention_and_log_start(tmp_path: Path) -> None:
    log = open_log(tmp_path / "t-0", retention_ms=1000, file_delete_delay_ms=0)
    for _ in range(3):
        log.append(batch(b"x", timestamp=1000))
        log.roll()
    assert log.segment_count == 4
    assert log.advance_log_start_offset(1) == 1
    assert log.apply_retention(1500) == 1
    assert log.apply_retention(10_000, max_offset=2) == 1
    assert log.log_start_offset == 2
    assert log.purge_deleted(1 << 60) > 0
    assert not list((tmp_path / "t-0").glob("*.deleted"))
    assert log.expire_producers(0) == 0


def test_clean_close_reopens_without_a_scan_and_a_crash_cuts_the_tail(tmp_path: Path) -> None:
    path = tmp_path / "t-0"
    log = open_log(path)
    records = batch(b"one")
    for _ in range(3):
        log.append(records)
    log.close()
    reopened = open_log(path, clean=True, recovery_point=3)
    assert reopened.recovery_report["bytes_scanned"] == 0
    assert reopened.log_end_offset == 3
    del log, reopened
    file = path / "00000000000000000000.log"
    file.write_bytes(file.read_bytes()[:-5])
    torn = open_log(path)
    assert torn.log_end_offset == 2
    assert torn.recovery_report["truncated_bytes"] == len(records) - 5
    assert torn.recovery_report["bytes_scanned"] > 0


def test_damage_is_reported_and_not_papered_over(tmp_path: Path) -> None:
    path = tmp_path / "t-0"
    log = open_log(path)
    for number in range(3):
        log.append(batch(b"value %d" % number))
    log.close()
    file = path / "00000000000000000000.log"
    damaged = bytearray(file.read_bytes())
    damaged[70] ^= 0xFF
    file.write_bytes(damaged)
    with pytest.raises(CorruptLog) as caught:
        open_log(path)
    assert caught.value.code == 2
    assert file.read_bytes() == damaged


def test_storage_errors_name_the_cause(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_bytes(b"")
    with pytest.raises(StorageError) as caught:
        open_log(blocker / "t-0")
    assert caught.value.code == 56
    assert caught.value.errno == 20  # ENOTDIR
    assert not caught.value.no_space
    assert str(blocker) in str(caught.value)


def test_delete_files_also_after_a_rename(tmp_path: Path) -> None:
    log = open_log(tmp_path / "t-0")
    log.append(batch(b"one"))
    (tmp_path / "t-0").rename(tmp_path / "t-0.gone")
    log.delete_files(str(tmp_path / "t-0.gone"))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StorageError):
        log.append(batch(b"one"))
    other = open_log(tmp_path / "t-1")
    other.delete_files()
    assert list(tmp_path.iterdir()) == []


def test_other_threads_run_while_a_log_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "t-0"
    log = open_log(path)
    for _ in range(20_000):
        log.append(batch(b"a batch that has to be checked"))
    log.close()

    def ran_meanwhile() -> bool:
        span: list[float] = []

        def opening() -> None:
            span.append(time.monotonic())
            open_log(path).close()
            span.append(time.monotonic())

        opener = threading.Thread(target=opening)
        opener.start()
        turns = []
        while opener.is_alive():
            turns.append(time.monotonic())
        third = (span[1] - span[0]) / 3
        return any(span[0] + third < turn < span[1] - third for turn in turns)

    # A busy machine may give this thread no time for once, the interpreter's lock never does.
    assert any(ran_meanwhile() for _ in range(20))


def test_config_values_and_errors() -> None:
    config = LogConfig(
        compression="gzip", compression_level=9, timestamp_type="LogAppendTime", retention_bytes=5
    )
    assert (config.compression, config.compression_level) == ("gzip", 9)
    assert (config.timestamp_type, config.retention_bytes, config.segment_bytes) == (
        "LogAppendTime",
        5,
        1 << 30,
    )
    default = LogConfig()
    assert (default.compression, default.compression_level, default.retention_bytes) == ("producer", None, -1)
    with pytest.raises(ValueError, match="rar"):
        LogConfig(compression="rar")
    with pytest.raises(ValueError, match="Never"):
        LogConfig(timestamp_type="Never")
    with pytest.raises(OverflowError):
        LogConfig(segment_bytes=-1)


def test_log_append_time(tmp_path: Path) -> None:
    log = open_log(tmp_path / "t-0", timestamp_type="LogAppendTime")
    info = log.append(batch(b"one"))
    assert info.log_append_time > 1_700_000_000_000
    assert log.max_timestamp_offset() == (info.log_append_time, 0, 0)
