"""Timers of groups and repeated changes go on after a defect."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fastlog.base.tasks import Supervisor
from fastlog.coordination import serial_changes
from fastlog.coordination.groups import timers
from fastlog.coordination.groups.consumer import writer
from fastlog.coordination.groups.consumer.writer import GroupWriter, PendingWrites
from fastlog.coordination.serial_changes import SerialChanges


class Entry:
    timer: asyncio.TimerHandle | None = None
    timer_at = 0.0


async def test_a_timer_is_set_again_after_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timers, "_AGAIN_SECONDS", 0.01)
    tasks, done, calls = Supervisor(), asyncio.Event(), 0
    entry: Any = Entry()

    def on_time(entry: Any) -> None:
        nonlocal calls
        entry.timer = None
        calls += 1
        if calls < 3:
            raise RuntimeError("a defect")
        done.set()

    timers.arm(entry, 0.0, 0.0, on_time, tasks.guard(timers.TIMERS))
    await asyncio.wait_for(done.wait(), 20)
    assert tasks.failures == {"group-timers": 2}
    assert entry.timer is None


async def test_a_repeated_change_is_tried_again_whatever_it_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial_changes, "RETRY_SECONDS", 0.01)
    tasks, done, calls = Supervisor(), asyncio.Event(), 0
    serial = SerialChanges(tasks.guard("topic-changes"))

    async def action() -> None:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise RuntimeError("a defect")
        done.set()

    serial.retry_later(action)
    await asyncio.wait_for(done.wait(), 20)
    assert tasks.failures == {"topic-changes": 2}
    await serial.close()


async def test_an_owed_write_is_tried_again_after_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_RETRY_SECONDS", 0.01)
    tasks, done, calls = Supervisor(), asyncio.Event(), 0
    writes = GroupWriter(None, tasks.guard("group-writes"))  # type: ignore[arg-type]

    def retry(entry: object, pending: object) -> None:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise RuntimeError("a defect")
        done.set()

    monkeypatch.setattr(writes, "_retry", retry)
    writes._retry_later(None, PendingWrites())  # type: ignore[arg-type]
    await asyncio.wait_for(done.wait(), 20)
    assert tasks.failures == {"group-writes": 2}
