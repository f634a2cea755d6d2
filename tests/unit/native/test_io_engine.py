"""IoEngine under an asyncio loop: every token comes back once, with the right rows."""

import asyncio
import os
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastlog.native import Chunk, IoEngine, Log, LogConfig, ProducePlan, StorageError
from fastlog.native.shapes import FetchResult, FetchRow, IoResult, ProduceResult
from tests.unit.native.data import batch, frame, produce_request, rebased

TOPIC_ID = bytes(range(16))


class Loop:
    """The engine behind futures, as the broker uses it."""

    def __init__(self) -> None:
        self.engine = IoEngine(2)
        self.waiting: dict[int, asyncio.Future[IoResult]] = {}
        self.wakeups = 0
        self.loop = asyncio.get_running_loop()
        self.loop.add_reader(self.engine.fileno(), self.wake)

    def wake(self) -> None:
        self.wakeups += 1
        for token, result in self.engine.drain():
            self.waiting.pop(token).set_result(result)

    def token(self) -> tuple[int, asyncio.Future[IoResult]]:
        token, future = len(self.waiting) + 1, self.loop.create_future()
        while token in self.waiting:
            token += 1
        self.waiting[token] = future
        return token, future

    async def produce(self, plan: ProducePlan, targets: list[Log | int]) -> list[ProduceResult]:
        token, future = self.token()
        self.engine.produce(token, plan, targets, [0] * len(targets))
        result = await future
        assert isinstance(result, list)
        return result

    async def fetch(self, rows: list[FetchRow], version: int = 11, **limits: int | bool) -> FetchResult:
        token, future = self.token()
        limits = {"max_bytes": 1 << 20, "min_bytes": 1} | limits
        self.engine.fetch(token, version, 42, rows, **limits)  # type: ignore[arg-type]
        result = await future
        assert isinstance(result, tuple)
        return result

    def close(self) -> None:
        self.loop.remove_reader(self.engine.fileno())
        self.engine.close()


@pytest.fixture
async def io() -> AsyncIterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log.open(str(tmp_path / "t-0"), LogConfig())


def row(log: Log | None, offset: int = 0, **changes: object) -> FetchRow:
    fields: dict[str, object] = {
        "topic": "t",
        "topic_id": TOPIC_ID,
        "partition": 0,
        "error_code": 0,
        "high_watermark": 10,
        "last_stable_offset": 9,
        "log_start_offset": 0,
        "diverging_epoch": None,
        "current_leader": None,
        "committed": False,
        "preferred_read_replica": -1,
        "log": log,
        "fetch_offset": offset,
        "max_offset": 1 << 62,
        "partition_max_bytes": 1 << 20,
        "force": True,
    }
    assert changes.keys() <= fields.keys()
    return tuple((fields | changes).values())  # type: ignore[return-value]


async def test_produce_rows_keep_their_order(io: Loop, log: Log) -> None:
    bad = bytearray(batch(b"bad"))
    bad[-1] ^= 1
    rows = [("t", 0, batch(b"one", b"two")), ("t", 1, batch(b"x")), ("t", 0, bytes(bad)), ("t", 0, None)]
    plan = ProducePlan.parse(frame(produce_request(rows)))
    results = await io.produce(plan, [log, 3, log, log])
    assert results[0] == (0, 0, -1, 0, None, None, 2)
    assert results[1] == (3, -1, -1, -1, None, None, -1)
    assert results[2][0] == 2
    assert results[2][5]
    assert results[3][0] == 87
    assert [result[1] for result in results] == [0, -1, -1, -1]
    assert log.log_end_offset == 2


async def test_produce_in_an_older_epoch_is_sent_to_the_new_leader(io: Loop, log: Log) -> None:
    log.lead(5)
    plan = ProducePlan.parse(frame(produce_request([("t", 0, batch(b"one"))])))
    assert (await io.produce(plan, [log]))[0][0] == 6
    assert log.log_end_offset == 0


async def test_zstd_needs_version_7(io: Loop, log: Log) -> None:
    records = batch(b"one", attributes=4)
    old = ProducePlan.parse(frame(produce_request([("t", 0, records)], version=6)))
    assert (await io.produce(old, [log]))[0][0] == 76


async def test_produce_checks_its_arguments(io: Loop, log: Log) -> None:
    plan = ProducePlan.parse(frame(produce_request([("t", 0, batch(b"one"))])))
    with pytest.raises(ValueError, match="1 rows"):
        io.engine.produce(1, plan, [log, log], [0, 0])
    with pytest.raises(ValueError, match="1 rows"):
        io.engine.produce(1, plan, [log], [])
    with pytest.raises(TypeError):
        io.engine.produce(1, plan, ["log"], [0])  # type: ignore[list-item]


async def test_fetch_builds_the_response(io: Loop, log: Log) -> None:
    records = batch(b"one")
    log.append(records)
    total, chunk, rows = await io.fetch([row(log)], version=11, session_id=6, throttle_ms=8)
    assert total == len(records)
    assert rows == [(0, 0, len(records))]
    expected = struct.pack(">iihi", 42, 8, 0, 6) + struct.pack(">ih", 1, 1) + b"t" + struct.pack(">i", 1)
    expected += struct.pack(">ihqqqii", 0, 0, 10, 9, 0, -1, -1) + struct.pack(">i", len(records))
    expected += rebased(records, 0)
    assert isinstance(chunk, Chunk)
    assert bytes(chunk) == struct.pack(">i", len(expected)) + expected
    assert len(chunk) == 4 + len(expected)
    with memoryview(chunk) as view:
        assert view.readonly


async def test_fetch_waits_for_min_bytes_unless_there_is_other_news(io: Loop, log: Log) -> None:
    log.append(batch(b"one"))
    size = log.size_bytes
    quiet = [row(log)]
    assert await io.fetch(quiet, min_bytes=size + 1) == (size, None, [(0, 0, size)])
    for news in (
        row(log, diverging_epoch=(1, 5)),
        row(log, preferred_read_replica=2),
        row(log, offset=99),
    ):
        assert (await io.fetch([*quiet, news], min_bytes=size + 1))[1] is not None
    # Whether an error that came with its row is news is the caller's to say.
    told = row(None, error_code=3)
    assert (await io.fetch([*quiet, told], min_bytes=size + 1))[1] is None
    assert (await io.fetch([*quiet, told], min_bytes=0))[1] is not None
    assert (await io.fetch(quiet, min_bytes=0))[1] is not None
    assert (await io.fetch(quiet, min_bytes=size + 1, error_code=70))[1] is not None
    assert (await io.fetch([], min_bytes=1))[1] is not None


async def test_fetch_shares_the_budget_in_row_order(io: Loop, tmp_path: Path) -> None:
    logs = [Log.open(str(tmp_path / f"t-{n}"), LogConfig()) for n in range(3)]
    for each in logs[1:]:
        for _ in range(4):
            each.append(batch(b"x" * 100))
    size = logs[1].size_bytes // 4
    rows = [row(each, partition=n) for n, each in enumerate(logs)]

    async def sizes(**limits: int | bool) -> list[int]:
        return [bytes_found for _, _, bytes_found in (await io.fetch(rows, min_bytes=0, **limits))[2]]

    assert await sizes(max_bytes=1) == [0, size, 0]
    assert await sizes(max_bytes=1, hard_max_bytes=True) == [0, 0, 0]
    assert await sizes(max_bytes=-5) == [0, size, 0]
    assert await sizes(max_bytes=5 * size) == [0, 4 * size, size]
    narrow = [row(each, partition=n, partition_max_bytes=1) for n, each in enumerate(logs)]
    found = (await io.fetch(narrow, min_bytes=0))[2]
    assert [bytes_found for _, _, bytes_found in found] == [0, size, 0]


async def test_fetch_errors_and_left_out_rows(io: Loop, log: Log) -> None:
    log.append(batch(b"one"))
    rows = [
        row(log, offset=7, partition=0, force=False),
        row(log, offset=1, partition=1, force=False),
        row(log, offset=1, partition=2, force=True),
        row(None, partition=3, error_code=29, force=False),
    ]
    total, chunk, found = await io.fetch(rows, version=4)
    assert total == 0
    assert found == [(0, 1, 0), (1, 0, 0), (2, 0, 0), (3, 29, 0)]
    assert chunk is not None
    answer = bytes(chunk)
    (partitions,) = struct.unpack_from(">i", answer, 4 + 4 + 4 + 4 + 3)
    assert partitions == 3  # partition 1 has nothing to say


async def test_fetch_of_a_file_that_shrank_is_an_error_of_the_row(io: Loop, log: Log, tmp_path: Path) -> None:
    log.append(batch(b"one"))
    other = Log.open(str(tmp_path / "t-1"), LogConfig())
    other.append(batch(b"two"))
    file = tmp_path / "t-0" / "00000000000000000000.log"
    os.truncate(file, 65)
    total, chunk, rows = await io.fetch([row(log), row(other, partition=1)])
    assert rows == [(0, 56, 0), (1, 0, other.size_bytes)]
    assert total == other.size_bytes
    assert chunk is not None


async def test_fetch_checks_its_rows(io: Loop, log: Log) -> None:
    for wrong in ((), row(log)[:15], row(log, topic_id=b"short")):
        with pytest.raises(ValueError, match="16"):
            io.engine.fetch(1, 11, 0, [wrong], max_bytes=1, min_bytes=1)  # type: ignore[list-item]
    with pytest.raises(TypeError):
        io.engine.fetch(1, 11, 0, [row("log")], max_bytes=1, min_bytes=1)  # type: ignore[arg-type]


async def test_flush_and_commit(io: Loop, log: Log) -> None:
    log.append(batch(b"one"))
    token, future = io.token()
    io.engine.flush(token, log)
    assert await future == 1
    log.append(batch(b"two"))
    futures = []
    for _ in range(20):
        token, future = io.token()
        io.engine.commit(token, log)
        futures.append(future)
    assert await asyncio.gather(*futures) == [2] * 20
    assert log.recovery_point == 2


async def test_a_failed_job_answers_with_the_exception(io: Loop, log: Log) -> None:
    log.delete_files()
    for submit in (io.engine.flush, io.engine.commit):
        token, future = io.token()
        submit(token, log)
        result = await future
        assert isinstance(result, StorageError)
        assert result.code == 56


async def test_jobs_outlive_the_python_objects(io: Loop, tmp_path: Path) -> None:
    log = Log.open(str(tmp_path / "t-9"), LogConfig())
    futures = []
    for _ in range(50):
        token, future = io.token()
        plan = ProducePlan.parse(frame(produce_request([("t", 0, batch(b"one"))])))
        io.engine.produce(token, plan, [log], [0])
        futures.append(future)
        del plan
    del log
    offsets = [result[0][1] for result in await asyncio.gather(*futures) if isinstance(result, list)]
    assert sorted(offsets) == list(range(50))
    assert io.wakeups <= 50


async def test_close_finishes_what_was_submitted(log: Log) -> None:
    engine = IoEngine(2)
    plan = ProducePlan.parse(frame(produce_request([("t", 0, batch(b"one"))])))
    for token in range(100):
        engine.produce(token, plan, [log], [0])
        engine.commit(1000 + token, log)
    engine.close()
    results = engine.drain()
    assert sorted(token for token, _ in results) == [*range(100), *range(1000, 1100)]
    assert log.log_end_offset == 100
    assert engine.drain() == []
    with pytest.raises(RuntimeError, match="closed"):
        engine.flush(1, log)
    engine.close()
