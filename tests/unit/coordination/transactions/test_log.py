"""Changes of several ids share jobs and batches; each is told what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from fastlog.base.clock import ManualClock
from fastlog.base.tasks import Supervisor
from fastlog.coordination.transactions.log import Election, TransactionLog
from fastlog.errors import ErrorCode as E


class Jobs:
    """`Appender` that keeps batches until a test says what became of them."""

    committer = purgatory = None

    def __init__(self) -> None:
        self.jobs: list[list[Any]] = []

    def write(self, batches: Sequence[Any], **_: object) -> None:
        """As `Appender.write`."""
        self.jobs.append(list(batches))

    @property
    def written(self) -> list[list[list[bytes]]]:
        """Keys by job and batch."""
        return [[[key for key, _ in batch.records] for batch in job] for job in self.jobs]

    def end(self, number: int, code: E = E.NONE) -> None:
        """All batches of a job have this outcome."""
        for batch in self.jobs[number]:
            batch.appended([(int(code), 0 if not code else -1, -1, 0, None, None, 1 if not code else -1)])


class Case:
    def __init__(self) -> None:
        self.jobs = Jobs()
        self.tasks = Supervisor()
        appender: Any = self.jobs
        self.log = TransactionLog(appender, ManualClock(), self.tasks)
        self.told: list[tuple[bytes, E]] = []
        self.elections = [Election(number, self._replica(), 1) for number in range(2)]

    @staticmethod
    def _replica() -> Any:
        return SimpleNamespace(
            log=None,
            leader_epoch=1,
            waits_for_disk=False,
            leader_error=lambda: 0,
            write_error=lambda _: 0,
            on_appended=lambda _: None,
            ack_error=lambda *_: 0,
        )

    def ask(self, key: bytes, *, partition: int = 0, size: int = 10, timeout_ms: int = 1000) -> None:
        def then(code: E) -> None:
            self.told.append((key, code))

        self.log.append(self.elections[partition], [(key, bytes(size))], timeout_ms, then)


@pytest.fixture
async def case() -> Case:
    return Case()


async def turn() -> None:
    await asyncio.sleep(0)


async def test_what_is_asked_for_in_a_turn_shares_a_job_and_in_a_partition_a_batch(case: Case) -> None:
    for key, partition in ((b"a", 0), (b"b", 1), (b"c", 0)):
        case.ask(key, partition=partition)
    await turn()
    assert case.jobs.written == [[[b"a", b"c"], [b"b"]]]
    case.jobs.end(0)
    assert sorted(case.told) == [(b"a", E.NONE), (b"b", E.NONE), (b"c", E.NONE)]


async def test_one_job_is_under_way_and_the_next_gathers(case: Case) -> None:
    case.ask(b"a")
    await turn()
    case.ask(b"b")
    await turn()
    case.ask(b"c")
    await turn()
    assert case.jobs.written == [[[b"a"]]]
    case.jobs.end(0)
    await turn()
    assert case.jobs.written == [[[b"a"]], [[b"b", b"c"]]]
    assert case.told == [(b"a", E.NONE)]
    closing = asyncio.ensure_future(case.log.close())
    await turn()
    assert not closing.done()
    case.jobs.end(1)
    await asyncio.wait_for(closing, 5)


async def test_nobody_is_given_up_before_its_time_and_large_ones_do_not_share(case: Case) -> None:
    case.ask(b"a", timeout_ms=1000)
    case.ask(b"b", timeout_ms=60_000)
    case.ask(b"large", size=20_000)
    case.ask(b"c")
    await turn()
    assert case.jobs.written == [[[b"a", b"b"], [b"large"], [b"c"]]]
    assert [batch.timeout_ms for batch in case.jobs.jobs[0]] == [60_000, 1000, 1000]


@pytest.mark.parametrize("code", [E.MESSAGE_TOO_LARGE, E.RECORD_LIST_TOO_LARGE])
async def test_nobody_fails_because_of_what_another_one_has_asked_for(case: Case, code: E) -> None:
    case.ask(b"a")
    case.ask(b"b")
    await turn()
    case.jobs.end(0, code)
    await turn()
    assert case.told == []
    assert case.jobs.written[1] == [[b"a"], [b"b"]]
    case.jobs.end(1, code)
    assert case.told == [(b"a", E.UNKNOWN_SERVER_ERROR), (b"b", E.UNKNOWN_SERVER_ERROR)]
    case.ask(b"c")
    await turn()
    assert case.jobs.written[2] == [[b"c"]]


async def test_a_failure_is_told_to_all_and_a_defect_of_one_not_to_others(case: Case) -> None:
    def defect(_: E) -> None:
        raise ZeroDivisionError

    case.log.append(case.elections[0], [(b"defect", b"")], 1000, defect)
    case.ask(b"a")
    await turn()
    case.jobs.end(0, E.NOT_ENOUGH_REPLICAS)
    assert case.told == [(b"a", E.COORDINATOR_NOT_AVAILABLE)]
    assert case.tasks.failures["transaction-log"] == 1


async def test_a_partition_that_is_led_elsewhere_takes_nothing(case: Case) -> None:
    case.elections[0].replica.leader_epoch = 2
    case.ask(b"late")
    await turn()
    (job,) = case.jobs.jobs
    assert job[0].replicas == [None]
    job[0].end_refused()
    assert case.told == [(b"late", E.NOT_COORDINATOR)]
    case.ask(b"b", partition=1)
    await turn()
    assert case.jobs.written[1] == [[b"b"]]
