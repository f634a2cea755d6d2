"""Futures over the I/O threads."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fastlog.base.tasks import Supervisor
from fastlog.native import FetchedRows, IoEngine
from fastlog.storage.failures import DirectoryFailures
from fastlog.storage.io import IoClosed, IoLoop
from fastlog.storage.partitions import PartitionTable
from fastlog.storage.room import QUIET_SECONDS
from tests.unit.storage.fakes import FakeEngine, FakeLog, storage_error

ROW_OK = (0, 5, -1, 0, None, None, 6)
ROW_FAILED = (56, -1, -1, -1, None, "broken", -1)


def row(log: Any) -> Any:
    return ("t", bytes(16), 0, 0, 0, 0, 0, None, None, False, -1, log, 0, 0, 100, False)


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


@pytest.mark.parametrize(("error", "told"), [(56, 1), (0, 0)])
async def test_failed_logs_are_reported_by_fetches_of_many(tmp_path: Any, error: int, told: int) -> None:
    failed: list[Any] = []
    io = IoLoop(IoEngine(1), failed.append)
    bad = FakeLog(str(tmp_path), None, {})
    bad.failure = "write: EIO"
    builder = io.row_builder()
    builder.add([("t", bytes(16), 0, error, 0, 0, 0, None, None, False, -1, None, 0, 0, 1, False)] * 2000, 0)
    job = io.fetch(13, 7, builder, logs=[bad], max_bytes=10, min_bytes=0)  # type: ignore[list-item]
    assert isinstance((await job)[2], FetchedRows)
    assert failed == told * [bad]
    await io.close()


async def test_a_full_disk_is_told_once_and_so_is_room(
    tmp_path: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    engine = FakeEngine()
    io = IoLoop(engine)  # type: ignore[arg-type]
    now = 100.0
    io.set_room_hook(DirectoryFailures([], PartitionTable(), lambda _: None).room_changed)
    monkeypatch.setattr(io._room, "_monotonic", lambda: now)
    for name in ("t-0", "t-1"):
        (tmp_path / name).mkdir()
    logs = [FakeLog(str(tmp_path / name), None, {}) for name in ("t-0", "t-1")]

    async def append(log: FakeLog, *, fits: bool) -> None:
        log.is_out_of_room = not fits
        job = io.produce("plan", [log], [0])  # type: ignore[arg-type, list-item]
        engine.finish(next(iter(io._waiting)), [ROW_OK if fits else ROW_FAILED])
        await job

    def said() -> list[tuple[str, bool]]:
        lines = [(record.levelname, str(tmp_path) in record.getMessage()) for record in caplog.records]
        caplog.clear()
        return lines

    await append(logs[0], fits=True)
    assert said() == []
    for log in (*logs, *logs):
        await append(log, fits=False)
    assert said() == [("WARNING", True)]
    # What is small may fit in between.
    await append(logs[0], fits=True)
    await append(logs[1], fits=False)
    now += QUIET_SECONDS - 1
    await append(logs[0], fits=True)
    assert said() == []
    now += 2
    await append(logs[0], fits=True)
    await append(logs[0], fits=True)
    assert said() == [("INFO", True)]
    await append(logs[1], fits=False)
    assert said() == [("WARNING", True)]
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


@pytest.mark.parametrize("kind", ["produce", "fetch", "send", "flush", "commit"])
@pytest.mark.parametrize("error", [TypeError("a row"), RuntimeError("closed"), KeyboardInterrupt()])
async def test_a_job_that_is_refused_leaves_no_wait_behind(kind: str, error: BaseException) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    engine = FakeEngine()
    setattr(engine, kind, refuse)
    io = IoLoop(engine)  # type: ignore[arg-type]
    log: Any = object()
    jobs: dict[str, Any] = {
        "produce": lambda: io.produce("plan", [log], [0]),  # type: ignore[arg-type]
        "fetch": lambda: io.fetch(13, 7, [row(log)], max_bytes=10, min_bytes=1),
        "send": lambda: io.send("socket", "response", 0),  # type: ignore[arg-type]
        "flush": lambda: io.flush(log),
        "commit": lambda: io.commit(log),
    }
    with pytest.raises(type(error)):
        jobs[kind]()
    assert io.pending == 0
    await io.settled(log, 0)
    await io.close()


async def test_reads_need_not_be_waited_for() -> None:
    engine = FakeEngine()
    io = IoLoop(engine)  # type: ignore[arg-type]
    log: Any = object()
    read, write = io.fetch(13, 7, [row(log)], max_bytes=10, min_bytes=1), io.flush(log)
    waiting = asyncio.create_task(io.settled(log, writes_only=True))
    write.add_done_callback(lambda _: io.flush(log))
    engine.finish(2, 20)
    assert await write == 20
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    # Who was told of the result has written again.
    assert not waiting.done()
    engine.finish(3, 30)
    await waiting
    assert not read.done()
    with pytest.raises(TimeoutError):
        await io.settled(log, 0.02)
    engine.finish(1, (0, None, []))
    await read
    await io.settled(log, 0)
    await io.close()


async def test_waits_for_jobs_that_do_not_end_have_a_bound() -> None:
    engine = FakeEngine()
    io = IoLoop(engine)  # type: ignore[arg-type]
    log: Any = object()
    job = io.flush(log)
    with pytest.raises(TimeoutError):
        await io.settled(log, 0.02)
    engine.finish(1, 10)
    assert await job == 10
    await io.settled(log, 0)
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


async def test_a_defect_over_one_result_loses_no_other(tmp_path: Any) -> None:
    """Results are handed out once: those that come in the same turn must all reach their callers."""
    engine = FakeEngine()
    tasks = Supervisor()

    def defect(log: Any) -> None:
        raise RuntimeError("a defect in what a failed log sets off")

    io = IoLoop(engine, defect, tasks.guard("io-results"))  # type: ignore[arg-type]
    bad = FakeLog(str(tmp_path), None, {})
    bad.failure = "write: EIO"
    first, second = io.flush(bad), io.flush("b")  # type: ignore[arg-type]
    engine.finish(1, storage_error("EIO"))
    engine.finish(2, 20)
    assert await second == 20
    with pytest.raises(type(storage_error("")), match="EIO"):
        await first
    assert tasks.failures == {"io-results": 1}
    await io.close()
