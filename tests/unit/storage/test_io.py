"""Futures over the I/O threads."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fastlog.storage.io import IoClosed, IoLoop
from tests.unit.storage.fakes import FakeEngine, FakeLog, storage_error

ROW_OK = (0, 5, -1, 0, None, None, 6)
ROW_FAILED = (56, -1, -1, -1, None, "broken", -1)


def row(log: Any) -> Any:
    return ("t", bytes(16), 0, 0, 0, 0, 0, None, None, None, -1, log, 0, 0, 100, False)


async def test_results_reach_the_right_caller() -> None:
    engine = FakeEngine()
    io = IoLoop(engine)  # type: ignore[arg-type]
    first, second = io.flush("a"), io.commit("b")  # type: ignore[arg-type]
    third = io.fetch(13, 7, [], max_bytes=10, min_bytes=1)
    tokens = [token for _, token, _ in engine.jobs]
    engine.finish(tokens[2], (0, None, []))
    engine.finish(tokens[1], 20)
    engine.finish(tokens[0], 10)
    assert await asyncio.gather(first, second, third) == [10, 20, (0, None, [])]
    assert io.pending == 0
    await io.close()
    assert engine.closed


async def test_an_error_result_is_raised() -> None:
    engine = FakeEngine()
    io = IoLoop(engine)  # type: ignore[arg-type]
    job = io.flush("a")  # type: ignore[arg-type]
    engine.finish(1, storage_error("EIO"))
    with pytest.raises(type(storage_error("")), match="EIO"):
        await job
    await io.close()


@pytest.mark.parametrize("kind", ["produce", "fetch", "flush"])
async def test_failed_logs_are_reported_whatever_the_job(tmp_path: Any, kind: str) -> None:
    engine = FakeEngine()
    failed: list[Any] = []
    io = IoLoop(engine, failed.append)  # type: ignore[arg-type]
    good, bad = (FakeLog(str(tmp_path), None, {}) for _ in range(2))
    bad.failure = "write: EIO"
    if kind == "produce":
        job: Any = io.produce("plan", [good, bad, 3], [0, 0, 0])  # type: ignore[arg-type, list-item]
        engine.finish(1, [ROW_OK, ROW_FAILED, (3, -1, -1, -1, None, None, -1)])
    elif kind == "fetch":
        job = io.fetch(13, 7, [row(good), row(bad), row(None)], max_bytes=10, min_bytes=1)
        engine.finish(1, (0, None, [(0, 0, 0), (1, 56, 0), (2, 0, 0)]))
    else:
        job = io.flush(bad)  # type: ignore[arg-type]
        engine.finish(1, storage_error("EIO"))
    await asyncio.wait([job])
    assert job.exception() is None or kind == "flush"
    assert failed == [bad]
    await io.close()


async def test_a_full_disk_reports_no_log(tmp_path: Any) -> None:
    engine = FakeEngine()
    failed: list[Any] = []
    io = IoLoop(engine, failed.append)  # type: ignore[arg-type]
    job = io.produce("plan", [FakeLog(str(tmp_path), None, {})], [0])  # type: ignore[arg-type, list-item]
    engine.finish(1, [ROW_FAILED])
    assert await job == [ROW_FAILED]
    assert failed == []
    await io.close()


async def test_a_cancelled_caller_does_not_disturb_others() -> None:
    engine = FakeEngine()
    io = IoLoop(engine)  # type: ignore[arg-type]
    first, second = io.flush("a"), io.flush("b")  # type: ignore[arg-type]
    first.cancel()
    engine.finish(1, 10)
    engine.finish(2, 20)
    assert await second == 20
    await io.close()


async def test_a_log_is_settled_when_none_of_its_jobs_is_left() -> None:
    engine = FakeEngine()
    io = IoLoop(engine)  # type: ignore[arg-type]
    log: Any = object()
    await io.settled(log)
    abandoned, second = io.flush(log), io.commit(log)
    io.flush("other")  # type: ignore[arg-type]
    abandoned.cancel()
    waiting = asyncio.create_task(io.settled(log))
    engine.finish(2, 20)
    assert await second == 20
    await asyncio.sleep(0)
    # The caller of the first job is gone, but the job is not.
    assert not waiting.done()
    engine.finish(1, 10)
    await waiting
    await io.close()


async def test_closing_hands_out_results_and_refuses_new_jobs() -> None:
    engine = FakeEngine()
    io = IoLoop(engine)  # type: ignore[arg-type]
    done, lost = io.flush("a"), io.flush("b")  # type: ignore[arg-type]
    engine.finish(1, 10)
    await io.close()
    await io.close()
    assert await done == 10
    with pytest.raises(IoClosed):
        await lost
    with pytest.raises(IoClosed):
        io.flush("c")  # type: ignore[arg-type]
