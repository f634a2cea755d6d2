"""Lock, reserve, marks and checkpoints of one log directory."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastlog.base import files
from fastlog.base.files import write_atomically
from fastlog.storage import log_dir
from fastlog.storage.checkpoints import LOG_START_OFFSETS, RECOVERY_POINTS
from fastlog.storage.dir_lock import LOCK_FILE, DirectoryLock, DirectoryLocked
from fastlog.storage.disk_guard import DiskReserve
from fastlog.storage.log_dir import CLEAN_SHUTDOWN_FILE, LogDirectory, LogDirectoryError

HOLDER = """
import sys
from pathlib import Path
from fastlog.storage.dir_lock import DirectoryLock
DirectoryLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""

JVM_LIKE_HOLDER = """
import fcntl, sys
file = open(sys.argv[1] + "/.lock", "w")
fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("program", [HOLDER, JVM_LIKE_HOLDER])
def test_another_process_is_kept_out_and_named(tmp_path: Path, program: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(DirectoryLocked, match=f"process {holder.pid}.*log.dirs"):
            DirectoryLock(tmp_path).acquire()
        holder.stdin.close()
    lock = DirectoryLock(tmp_path)
    lock.acquire()
    lock.release()


def test_a_second_broker_in_this_process_is_kept_out(tmp_path: Path) -> None:
    first, second = DirectoryLock(tmp_path), DirectoryLock(tmp_path)
    first.acquire()
    with pytest.raises(DirectoryLocked, match=f"process {os.getpid()}"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        holder.kill()
    lock = DirectoryLock(tmp_path)
    lock.acquire()
    assert (tmp_path / LOCK_FILE).read_text() == f"{os.getpid()}\n"
    lock.release()


def test_a_lock_file_of_any_length_names_its_holder_or_nobody(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    lock.acquire()
    os.truncate(tmp_path / LOCK_FILE, 1 << 40)
    with pytest.raises(DirectoryLocked, match="in use by"):
        DirectoryLock(tmp_path).acquire()
    lock.release()


class FullDisk:
    """Makes writes to files that do not have their blocks yet fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = True
        real_write, real_allocate = os.write, os.posix_fallocate

        def write(descriptor: int, data: bytes) -> int:
            if self.full and os.fstat(descriptor).st_blocks == 0:
                raise OSError(errno.ENOSPC, "full")
            return real_write(descriptor, data)

        def allocate(descriptor: int, start: int, size: int) -> None:
            if self.full:
                raise OSError(errno.ENOSPC, "full")
            real_allocate(descriptor, start, size)

        monkeypatch.setattr(files.os, "write", write)
        monkeypatch.setattr(files.os, "posix_fallocate", allocate)


def test_a_full_disk_is_written_into_the_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reserve = DiskReserve(tmp_path, slots=2, slot_bytes=8192)
    assert reserve.fill() == 2
    disk = FullDisk(monkeypatch)
    target = tmp_path / "metadata"
    for content in (b"first", b"second"):
        write_atomically(target, content, reserve)
        assert target.read_bytes() == content
    with pytest.raises(OSError, match="full"):
        write_atomically(target, b"third", reserve)
    assert target.read_bytes() == b"second"
    assert reserve.fill() == 0
    disk.full = False
    assert reserve.fill() == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".fastlog-reserve-0",
        ".fastlog-reserve-1",
        "metadata",
    ]


def test_without_the_reserve_a_full_disk_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FullDisk(monkeypatch)
    with pytest.raises(OSError, match="full"):
        write_atomically(tmp_path / "metadata", b"data")


def test_the_reserve_grows_with_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reserve = DiskReserve(tmp_path, slots=1, slot_bytes=4096)
    reserve.fill()
    write_atomically(tmp_path / "metadata", b"x" * 10_000, reserve)
    assert reserve.fill() == 1
    disk = FullDisk(monkeypatch)
    write_atomically(tmp_path / "metadata", b"y" * 12_000, reserve)
    assert (tmp_path / "metadata").read_bytes() == b"y" * 12_000
    # A slot that is too small for what is to be written stays where it is.
    disk.full = False
    reserve.fill()
    disk.full = True
    assert reserve.take(1_000_000) is None
    assert reserve.take(1_000) is not None


def test_a_slot_that_cannot_grow_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reserve = DiskReserve(tmp_path, slots=1, slot_bytes=4096)
    reserve.fill()
    FullDisk(monkeypatch)
    reserve.expect(100_000)
    assert reserve.fill() == 0
    assert reserve.take(4096) is not None


def test_a_directory_is_made_locked_and_unlocked(tmp_path: Path) -> None:
    directory = LogDirectory(tmp_path / "a" / "b")
    directory.open()
    with pytest.raises(DirectoryLocked):
        LogDirectory(tmp_path / "a" / "b").open()
    directory.close()
    LogDirectory(tmp_path / "a" / "b").open()


def test_a_file_is_not_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LogDirectoryError, match="not a directory"):
        LogDirectory(tmp_path / "file").open()


def test_leftovers_of_a_crash_are_removed(tmp_path: Path) -> None:
    (tmp_path / "fastlog.metadata.tmp").touch()
    (tmp_path / ".fastlog-reserve-0.taken").touch()
    (tmp_path / "in-the-way.tmp").mkdir()
    (tmp_path / "somebodys.tmp").mkdir()
    (tmp_path / "somebodys.tmp" / "file").touch()
    LogDirectory(tmp_path).open()
    names = {path.name for path in tmp_path.iterdir()}
    assert not {"fastlog.metadata.tmp", ".fastlog-reserve-0.taken", "in-the-way.tmp"} & names
    assert (tmp_path / "somebodys.tmp" / "file").exists()


@pytest.mark.parametrize("content", ["", '{"version":0,"brokerEpoch":4}'])
def test_the_clean_shutdown_mark_is_taken_once(tmp_path: Path, content: str) -> None:
    directory = LogDirectory(tmp_path)
    (tmp_path / CLEAN_SHUTDOWN_FILE).write_text(content)
    assert directory.take_clean_shutdown_mark()
    assert not directory.take_clean_shutdown_mark()
    directory.write_clean_shutdown_mark()
    assert directory.take_clean_shutdown_mark()


def test_checkpoints_survive_and_damage_costs_only_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = LogDirectory(tmp_path)
    directory.write_checkpoints({("t", 0): 50}, {("t", 0): 10}, turn=directory.checkpoint_turn())
    assert directory.read_recovery_points() == {("t", 0): 50}
    assert directory.read_log_start_offsets() == {("t", 0): 10}
    assert directory.checkpointed == {("t", 0)}
    for name in ("recovery-point-offset-checkpoint", "log-start-offset-checkpoint"):
        (tmp_path / name).write_bytes(b"\0" * 40)
    assert directory.read_recovery_points() == {}
    assert directory.read_log_start_offsets() == {}
    assert "checked from their start" in caplog.text
    assert "DeleteRecords must be repeated" in caplog.text


def test_a_slow_writer_does_not_bring_back_the_offsets_of_a_deleted_partition(tmp_path: Path) -> None:
    directory = LogDirectory(tmp_path)
    before, after = directory.checkpoint_turn(), directory.checkpoint_turn()
    directory.write_checkpoints({}, {}, turn=after)
    directory.write_checkpoints({("t", 0): 50}, {("t", 0): 10}, turn=before)
    assert directory.read_log_start_offsets() == {}
    assert directory.checkpointed == set()


@pytest.mark.parametrize("failing", [RECOVERY_POINTS, LOG_START_OFFSETS])
def test_a_turn_is_not_skipped_for_a_later_one_that_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    directory = LogDirectory(tmp_path)
    before, after = directory.checkpoint_turn(), directory.checkpoint_turn()

    def full(path: Path, *args: object) -> None:
        if path.name == failing:
            raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(log_dir, "write_offsets", full)
        with pytest.raises(OSError, match="full"):
            directory.write_checkpoints({("t", 0): 60}, {("t", 0): 20}, turn=after)
        with pytest.raises(OSError, match="full"):
            directory.write_checkpoints({("t", 0): 50}, {("t", 0): 10}, turn=before)
    directory.write_checkpoints({("t", 0): 50}, {("t", 0): 10}, turn=before)
    assert directory.read_log_start_offsets() == {("t", 0): 10}


def test_offsets_that_a_slow_writer_has_gathered_count_as_written(tmp_path: Path) -> None:
    directory = LogDirectory(tmp_path)
    directory.write_checkpoints({}, {}, turn=directory.checkpoint_turn())
    slow = directory.checkpoint_turn({("t", 0): 50}, {("u", 0): 10})
    assert [directory.may_be_checkpointed((topic, 0)) for topic in "tuv"] == [True, True, False]
    directory.write_checkpoints({}, {}, turn=directory.checkpoint_turn())
    # From now on it is skipped.
    assert not directory.may_be_checkpointed(("t", 0))
    directory.write_checkpoints({("t", 0): 50}, {("t", 0): 10}, turn=slow)
    assert directory.read_log_start_offsets() == {}


def test_flock_is_really_held(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    lock.acquire()
    with (tmp_path / LOCK_FILE).open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    lock.release()
