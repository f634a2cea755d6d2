"""One course of events for each guard of `guards`, which is harmless with it.

Clients do what clients of Kafka do; what is late is what a network, or a machine, may have kept for a while.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from fastlog.coordination.transactions.state import TransactionState
from fastlog.coordination.transactions.verification import Codes
from fastlog.server.transaction_parts import TransactionParts
from tests.chaos.transactions.course import Course
from tests.chaos.transactions.history import ABORTED, TransactionHistory
from tests.integration.transaction_broker import of, service_of
from tests.integration.transactional_client import Identity

Script = Callable[[Course, Path], TransactionHistory]
"""What happens; files may be put into the directory."""
_SECOND: Final = 5
_JOINS: Final = 12


def late_record(course: Course, _: Path) -> TransactionHistory:
    """A record arrives when its transaction is aborted."""
    identity = course.producer.initialized()
    one = course.begin(0, (0, 1))
    course.add(identity, 0)
    course.end(one, identity, commits=False)
    course.write(one, identity, 0, 0)
    two = course.begin(1, (1, 2))
    course.add(identity, 1)
    course.write(two, identity, 0, 0)
    course.end(two, identity, commits=True)
    return course.finish()


def late_verification(course: Course, _: Path) -> TransactionHistory:
    """The coordinator says yes; before that arrives, the transaction is over and the next one has begun."""
    identity = course.producer.initialized()
    one, two = course.begin(0, (0, 1)), course.begin(1, (0, 2))
    course.add(identity, 0)
    transactions = course.running.broker.services.transactions
    assert transactions is not None
    parts: Any = transactions.made
    verifier, parts.verifier = parts.verifier, _Interrupted(parts, course)
    try:
        code = course.write(one, identity, 0, 0)
    finally:
        parts.verifier = verifier
    one.fate, one.why = ABORTED, "it was aborted before its record came"
    one.acked.clear()
    course.write(two, identity, 0 if code else 1, 0)
    course.end(two, identity, commits=True)
    return course.finish()


class _Interrupted:
    """`Verifier` whose answers come when the next transaction has begun."""

    def __init__(self, parts: TransactionParts, course: Course) -> None:
        self._verifier, self._course = parts.verifier, course

    def is_here(self, _: str) -> bool:
        """As if another broker were the coordinator: its answer takes time."""
        return False

    async def verify(
        self, name: str, identity: Identity, partitions: frozenset[tuple[str, int]], *, adds: bool = False
    ) -> Codes:
        """See `Verifier`."""
        codes = await self._verifier.verify(name, identity, partitions, adds=adds)
        service = service_of(self._course.running)
        await service.end(name, identity, commits=False, version=0)
        transaction = of(self._course.running, name)
        for _ in range(1000):
            if transaction.entry.state is TransactionState.COMPLETE_ABORT and transaction.pending is None:
                break
            await asyncio.sleep(0.01)
        await service.add_partitions(name, identity, partitions, 0)
        return codes


def late_marker(course: Course, _: Path) -> TransactionHistory:
    """The marker of the transaction before arrives once more (second protocol)."""
    identity = course.producer.initialized()
    one, two = course.begin(0, (0, 1)), course.begin(1, (0, 2))
    course.write(one, identity, 0, 0, version=_JOINS)
    identity = course.end(one, identity, commits=True, version=_SECOND)
    course.write(two, identity, 0, 0, version=_JOINS)
    course.mark(identity, 0, commits=True, transaction_version=2)
    course.end(two, identity, commits=False, version=_SECOND)
    return course.finish()


def marker_of_a_former_coordinator(course: Course, _: Path) -> TransactionHistory:
    """Somebody who coordinates no more decides."""
    identity = course.producer.initialized()
    one, two = course.begin(0, (0, 1)), course.begin(1, (0, 2))
    course.add(identity, 0)
    course.write(one, identity, 0, 0)
    course.end(one, identity, commits=True)
    course.add(identity, 0)
    course.write(two, identity, 1, 0)
    course.mark(identity, 0, commits=True, coordinator_epoch=-1)
    course.end(two, identity, commits=False)
    return course.finish()


def two_producers(course: Course, _: Path) -> TransactionHistory:
    """A producer that was replaced writes on."""
    former = course.producer.initialized()
    one, two = course.begin(0, (0, 1)), course.begin(1, (0, 2))
    one.fate, one.why = ABORTED, "its producer was replaced"
    identity = course.producer.initialized()
    course.add(identity, 0)
    course.write(one, former, 0, 0)
    one.acked.clear()
    course.write(two, identity, 0, 0)
    course.end(two, identity, commits=True)
    return course.finish()


def end_of_a_former_producer(course: Course, _: Path) -> TransactionHistory:
    """A producer that was replaced ends the transaction of its successor."""
    former = course.producer.initialized()
    identity = course.producer.initialized()
    one = course.begin(0, (0, 1), (1, 2))
    course.add(identity, 0)
    course.write(one, identity, 0, 0)
    _late_end(course, former, 4)
    course.add(identity, 1)
    course.write(one, identity, 0, 1)
    course.end(one, identity, commits=False)
    return course.finish()


def late_end(course: Course, _: Path) -> TransactionHistory:
    """EndTxn is answered when it is sent again; then the first one arrives (second protocol)."""
    first = course.producer.initialized()
    one, two = course.begin(0, (0, 1)), course.begin(1, (0, 2), (1, 3))
    course.write(one, first, 0, 0, version=_JOINS)
    identity = course.end(one, first, commits=True, version=_SECOND)
    is_raised = identity != first
    course.write(two, identity, 0 if is_raised else 1, 0, version=_JOINS)
    _late_end(course, first, _SECOND)
    course.write(two, identity, 0, 1, version=_JOINS)
    course.end(two, identity, commits=False, version=_SECOND)
    return course.finish()


def _late_end(course: Course, identity: Identity, version: int) -> None:
    """Nobody reads the answer. Lets the markers come, if there are any."""
    code = course.producer.end(identity, commits=True, version=version)[0]
    if code == 0:
        course.producer.wait_for("CompleteCommit")


def early_reader(course: Course, _: Path) -> TransactionHistory:
    """Somebody reads while a transaction is open that will be aborted."""
    identity = course.producer.initialized()
    one = course.begin(0, (0, 1))
    course.add(identity, 0)
    course.write(one, identity, 0, 0)
    course.read()
    course.end(one, identity, commits=False)
    return course.finish()


def aborted(course: Course, _: Path) -> TransactionHistory:
    """One is aborted, and one committed."""
    identity = course.producer.initialized()
    for number, commits in enumerate((False, True)):
        one = course.begin(number, (0, number))
        course.add(identity, 0)
        course.write(one, identity, number, 0)
        course.end(one, identity, commits=commits)
    return course.finish()


def early_position(course: Course, _: Path) -> TransactionHistory:
    """Somebody asks for the group's position while a transaction is open that will be aborted."""
    identity = course.producer.initialized()
    one = course.begin(0, (0, 1), position=0)
    course.add(identity, 0)
    course.write(one, identity, 0, 0)
    course.move(identity, 0)
    course.look_at_position()
    course.end(one, identity, commits=False)
    return course.finish()


def kill_after_the_answer(course: Course, directory: Path) -> TransactionHistory:
    """The broker is killed as soon as EndTxn is answered."""
    identity = course.producer.initialized(timeout_ms=1000)
    one = course.begin(0, (0, 1))
    course.add(identity, 0)
    course.write(one, identity, 0, 0)
    writer = course.running.writer
    writer.is_held = True
    try:
        code = course.producer.end(identity, commits=True)[0]
        assert code == 0
        one.fate = "committed"
        time.sleep(0.05)
        return course.after_a_kill(directory / course.name)
    finally:
        writer.is_held = False


SCRIPTS: dict[str, Script] = {
    "verification": late_record,
    "guard": late_verification,
    "marker epoch": late_marker,
    "coordinator epoch": marker_of_a_former_coordinator,
    "producer epoch": two_producers,
    "end epoch": end_of_a_former_producer,
    "raised epoch": late_end,
    "stable offset": early_reader,
    "aborted list": aborted,
    "pending offsets": early_position,
    "durable decision": kill_after_the_answer,
    "markers of the past": kill_after_the_answer,
}
"""By the guard that keeps them from doing harm."""
