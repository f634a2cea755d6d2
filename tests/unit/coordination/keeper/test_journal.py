"""The journal on a disk that is full, and in a process that lacks something: what passes costs time alone."""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fastlog.coordination.keeper import journal as module
from fastlog.coordination.keeper.changes import Created, Entry, Started
from fastlog.coordination.keeper.journal import JOURNAL, Journal, noted_end, reserve, write_durably
from fastlog.native import StorageError
from fastlog.storage.causes import Cause


def storage_error(cause: Cause) -> StorageError:
    error = StorageError(cause.value)
    error.cause, error.no_space = cause.value, cause is Cause.FULL  # type: ignore[assignment]
    return error


class Failing:
    """A log that fails as often as it is told to."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = deque(errors)
        self.kept: list[bytes] = []
        self.segment_count = 1

    def append(self, records: bytes) -> object:
        self.fail()
        self.kept.append(records)
        return None

    def flush(self) -> int:
        self.fail()
        return len(self.kept)

    def reserve_ahead(self, ahead: int) -> None:
        self.fail()

    def fail(self) -> None:
        if self.errors:
            raise self.errors.popleft()


@pytest.fixture
def told() -> list[object]:
    return []


async def opened(directory: Path, told: list[object]) -> Journal:
    made = Journal(directory / JOURNAL, written=told.append, failed=told.append)
    await asyncio.to_thread(made.open)
    return made


@pytest.mark.parametrize("error", [storage_error(Cause.FULL), storage_error(Cause.SHORTAGE), MemoryError()])
async def test_what_passes_is_tried_again(
    tmp_path: Path, told: list[object], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(module, "_AGAIN_SECONDS", 0.01)
    made = await opened(tmp_path, told)
    log = made._log
    failing = Failing(error, error)
    made._log = failing  # type: ignore[assignment]
    made.append(Entry(1, 0, Started()))
    await made.settled()
    assert told == [1]
    assert len(failing.kept) == 1
    made._log = log
    await made.close()


async def test_a_full_disk_is_known_before_the_reserve_is_used_up(tmp_path: Path, told: list[object]) -> None:
    made = await opened(tmp_path, told)
    log = made._log
    assert not made.is_tight
    failing = Failing()
    made._log = failing  # type: ignore[assignment]

    def no_room(ahead: int) -> None:
        raise storage_error(Cause.FULL)

    failing.reserve_ahead = no_room  # type: ignore[method-assign]
    change = Created("/" + "x" * 1000, bytes(999_000), (), 0)
    for number in range(1, 4):
        assert not made.is_full
        assert not made.is_short
        made.append(Entry(number, 0, change))
        await made.settled()
    # As soon as less than half of it was left it was tried to get more.
    assert made.is_full
    assert made.is_short
    made._log = log
    await made.tend()
    assert not made.is_tight
    assert not made.is_full
    await made.close()


async def test_room_is_left_for_what_ends_something(tmp_path: Path, told: list[object]) -> None:
    made = await opened(tmp_path, told)
    made._reserved = module._WANTED_BYTES - 1
    assert (made.is_tight, made.is_short, made.is_full) == (True, False, False)
    made._unwritten = module._WANTED_BYTES - module._ENDING_BYTES
    assert (made.is_short, made.is_full) == (True, False)
    made._unwritten = module._WANTED_BYTES - module._LEAST_BYTES
    assert (made.is_short, made.is_full) == (True, True)
    made._unwritten = 0
    await made.close()


async def test_what_was_allocated_in_a_former_segment_does_not_count(
    tmp_path: Path, told: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SEGMENT_BYTES", 4096)
    made = await opened(tmp_path, told)
    allocated: list[int] = []
    log = made._opened()

    def reserve(ahead: int) -> None:
        allocated.append(ahead)

    failing = Failing()
    failing.reserve_ahead = reserve  # type: ignore[method-assign]
    made._log = failing  # type: ignore[assignment]
    made._segments = failing.segment_count
    made.append(Entry(1, 0, Started()))
    await made.settled()
    assert not allocated
    failing.segment_count = 2
    made.append(Entry(2, 0, Started()))
    await made.settled()
    assert allocated == [module._RESERVE_BYTES]
    made._log = log
    await made.close()


async def test_a_start_on_a_full_disk_takes_of_what_is_set_aside(
    tmp_path: Path, told: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    open_log, reserve = module.Log.open, module.reserve
    given = 0

    def give_room() -> bool:
        nonlocal given
        given += 1
        return given <= 4

    def open_with_room(*args: Any, **how: Any) -> module.Log:
        if given < 2:
            raise storage_error(Cause.FULL)
        return open_log(*args, **how)

    monkeypatch.setattr(module, "Log", SimpleNamespace(open=open_with_room))
    monkeypatch.setattr(module, "reserve", lambda log: reserve(log) if given >= 3 else 0)
    made = Journal(tmp_path / JOURNAL, written=told.append, failed=told.append, give_room=give_room)
    await asyncio.to_thread(made.open)
    assert given == 3
    assert not made.is_short
    await made.close()


async def test_a_start_without_any_room_is_no_damage(
    tmp_path: Path, told: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise storage_error(Cause.FULL)

    monkeypatch.setattr(module, "Log", SimpleNamespace(open=full))
    made = Journal(tmp_path / JOURNAL, written=told.append, failed=told.append)
    with pytest.raises(StorageError):
        await asyncio.to_thread(made.open)
    await made.close()


async def test_a_disk_that_fails_ends_it(tmp_path: Path, told: list[object]) -> None:
    made = await opened(tmp_path, told)
    log, error = made._log, storage_error(Cause.DISK)
    made._log = Failing(error)  # type: ignore[assignment]
    made.append(Entry(1, 0, Started()))
    await made.settled()
    assert told == [error]
    made._log = log
    await made.close()


async def test_the_end_is_noted_when_asked_and_at_a_stop(tmp_path: Path, told: list[object]) -> None:
    made = await opened(tmp_path, told)
    assert noted_end(tmp_path) == 0
    made.append(Entry(1, 0, Started()))
    await made.settled()
    await made.note_end()
    assert noted_end(tmp_path) == 1
    made.append(Entry(2, 0, Started()))
    await made.settled()
    assert noted_end(tmp_path) == 1
    await made.close()
    assert noted_end(tmp_path) == 2


def test_no_room_to_reserve_is_no_error() -> None:
    assert reserve(Failing()) == 4 << 20
    assert reserve(Failing(*[storage_error(Cause.FULL)] * 2)) == 1 << 20
    assert reserve(Failing(*[storage_error(Cause.FULL)] * 50)) == 0
    with pytest.raises(StorageError):
        reserve(Failing(storage_error(Cause.DISK)))


def test_batches_leave_the_queue_as_they_are_in_the_log() -> None:
    failing = Failing()
    batches = deque([b"1", b"2", b"3"])
    write_durably(failing, batches)
    assert failing.kept == [b"1", b"2", b"3"]
    assert not batches
    again = Failing(storage_error(Cause.FULL))
    batches = deque([b"1", b"2"])
    with pytest.raises(StorageError):
        write_durably(again, batches)
    assert [*batches] == [b"1", b"2"]
