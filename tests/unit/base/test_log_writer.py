"""The way of the log: nobody waits, nothing is lost without being counted."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastlog.base import log_writer
from fastlog.base.log_writer import LogWriter
from tests.harness.waiting import wait_until

_SET_PIPE_SIZE = 1031


def record(text: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("x", logging.INFO, "file", 1, text, args, None)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, _SET_PIPE_SIZE, 4096)
    yield reading, writing
    os.close(reading)
    os.close(writing)


def drained(reading: int, until: Callable[[bytes], bool]) -> str:
    os.set_blocking(reading, False)
    found = b""

    def look() -> bool:
        nonlocal found
        try:
            found += os.read(reading, 1 << 20)
        except BlockingIOError:
            return False
        return until(found)

    wait_until(look, lambda: repr(found[-200:]), seconds=20, pause=0.001)
    return found.decode()


def test_a_reader_that_hangs_costs_lines_and_no_time(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "_FLUSH_SECONDS", 0.05)
    os.write(pipe[1], bytes(4095) + b"|")
    writer = LogWriter(pipe[1], most_bytes=10_000)
    for number in range(1000):
        writer.handle(record("line %03d of those that nobody reads", number))
    lost = writer.lost
    assert 500 < lost < 1000
    writer.flush()
    assert writer.lost == lost
    # There is room again: the gap is named where it is.
    text = drained(pipe[0], lambda found: found.count(b"\n") == 1000 - lost)
    writer.handle(record("after the gap"))
    text += drained(pipe[0], lambda found: b"after" in found)
    lines = text.partition("|")[2].splitlines()
    assert [line[:8] for line in lines[:-2]] == [f"line {number:03d}" for number in range(1000 - lost)]
    gap = f"{lost} lines of the log are missing here: they could not be written"
    assert lines[-2:] == [gap, "after the gap"]


def test_a_full_disk_is_counted_and_told_of_later(tmp_path: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    writer = LogWriter(full)
    for _ in range(3):
        writer.handle(record("nobody sees this"))
    writer.flush()
    assert writer.lost == 3
    # The disk has room again.
    file = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    os.dup2(file, full)
    writer.handle(record("seen"))
    writer.flush()
    assert (tmp_path / "log").read_text() == (
        "3 lines of the log are missing here: they could not be written\nseen\n"
    )
    os.close(file)
    os.close(full)


def test_a_notice_that_is_lost_is_owed_again(tmp_path: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    writer = LogWriter(full)
    for count in range(1, 4):
        writer.handle(record("nobody sees this"))
        writer.flush()
        assert writer.lost == count
    file = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    os.dup2(file, full)
    writer.handle(record("seen"))
    writer.flush()
    assert (tmp_path / "log").read_text().startswith("3 lines")
    os.close(file)
    os.close(full)


@pytest.mark.parametrize("closed", [False, True])
def test_a_reader_that_left_or_a_descriptor_that_is_closed(closed: bool) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    if closed:
        os.close(writing)
    writer = LogWriter(writing)
    writer.handle(record("nobody hears this"))
    writer.flush()
    assert writer.lost == 1
    if not closed:
        os.close(writing)


def test_a_descriptor_that_does_not_block_is_waited_for(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    writer = LogWriter(pipe[1])
    for number in range(500):
        writer.handle(record("line %03d, more than the pipe takes", number))
    text = drained(pipe[0], lambda found: found.count(b"\n") == 500)
    assert text.splitlines()[499].startswith("line 499")
    assert writer.lost == 0


def test_stdout_that_takes_nothing_holds_up_no_line(
    pipe: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "_SAY_MS", 20)
    monkeypatch.setattr(log_writer, "STDOUT", pipe[1])
    os.write(pipe[1], bytes(4096))
    file = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    writer = LogWriter(file)
    writer.say("how to reach the broker\n")
    writer.handle(record("ready"))
    writer.flush()
    assert (tmp_path / "log").read_text() == "ready\n"
    assert writer.lost == 0
    os.read(pipe[0], 4096)
    writer.say("said\n")
    assert drained(pipe[0], lambda found: found.endswith(b"\n")) == "said\n"
    os.close(file)


def test_a_message_that_cannot_be_shown(tmp_path: Path) -> None:
    file = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    writer = LogWriter(file)
    writer.handle(record("%d of them", "not a number"))
    writer.handle(record("half a character: \ud800"))
    writer.flush()
    shown = (tmp_path / "log").read_text()
    assert shown == "a message of x cannot be shown: '%d of them'\nhalf a character: \\ud800\n"
    os.close(file)


def test_a_flush_of_nothing_is_at_once() -> None:
    began = time.monotonic()
    for _ in range(100):
        LogWriter(2).flush()
    assert time.monotonic() - began < 50
