"""What a leader asks the coordinator before it lets partitions into a transaction, and how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from fastlog.coordination.transactions import gate
from fastlog.coordination.transactions.state import TopicPartition
from fastlog.coordination.transactions.verification import Codes
from fastlog.errors import ErrorCode

A, B = ("a", 0), ("b", 1)
NONE, WAIT = ErrorCode.NONE, ErrorCode.CONCURRENT_TRANSACTIONS
FENCED = ErrorCode.PRODUCER_FENCED


class Logs:
    """Guards of partitions, and a coordinator whose answers come with markers."""

    def __init__(self, *answers: tuple[Codes, frozenset[TopicPartition]]) -> None:
        self.guards: dict[TopicPartition, int] = {A: 1, B: 2}
        self.asked: list[tuple[str, tuple[int, int], frozenset[TopicPartition], bool]] = []
        self.refusals: Counter[ErrorCode] = Counter()
        self.patience = gate.Patience(0, 10)
        self._answers = list(answers)

    def begin(self) -> Mapping[TopicPartition, int]:
        """What is not open yet."""
        return dict(self.guards)

    def is_here(self, _: str) -> bool:
        """Another broker is the coordinator."""
        return False

    async def verify(
        self,
        transactional_id: str,
        identity: tuple[int, int],
        partitions: frozenset[TopicPartition],
        *,
        adds: bool = False,
    ) -> Codes:
        """See `Verifier`."""
        self.asked.append((transactional_id, identity, partitions, adds))
        codes, marked = self._answers.pop(0)
        for key in marked:
            self.guards[key] += 10
        return {key: codes[key] for key in partitions}

    async def ask(self, *, adds: bool) -> Codes:
        """Has them asked about."""
        return await gate.ask(
            self, "id", (7, 3), self.begin, adds=adds, patience=self.patience, refusals=self.refusals
        )


NOBODY: frozenset[TopicPartition] = frozenset()
BOTH = {A: NONE, B: NONE}


async def test_a_yes_is_taken_at_its_word() -> None:
    logs = Logs((BOTH, NOBODY))
    assert await logs.ask(adds=True) == BOTH
    assert logs.asked == [("id", (7, 3), frozenset({A, B}), True)]


async def test_a_marker_during_the_question_has_it_asked_again() -> None:
    """The yes is for the transaction behind the marker, the guard of before it is worth nothing."""
    logs = Logs((BOTH, frozenset({B})), (BOTH, NOBODY))
    assert await logs.ask(adds=True) == BOTH
    assert len(logs.asked) == 2
    assert not logs.refusals


async def test_a_no_is_not_asked_again() -> None:
    logs = Logs(({A: NONE, B: FENCED}, frozenset({B})))
    assert await logs.ask(adds=True) == {A: NONE, B: FENCED}
    assert logs.refusals == {FENCED: 1}


async def test_under_the_first_protocol_a_marker_ends_it() -> None:
    logs = Logs((BOTH, frozenset({A})))
    assert await logs.ask(adds=False) == BOTH
    assert len(logs.asked) == 1


async def test_it_waits_for_the_transaction_before() -> None:
    logs = Logs(({A: NONE, B: WAIT}, NOBODY), (BOTH, NOBODY))
    assert await logs.ask(adds=True) == BOTH


async def test_the_producer_waits_when_the_leader_has_waited_long_enough() -> None:
    """Also for a partition whose marker came at the last moment."""
    logs = Logs(({A: NONE, B: WAIT}, frozenset({A})))
    logs.patience = gate.Patience(0, 0)
    assert await logs.ask(adds=True) == {A: WAIT, B: WAIT}
    assert len(logs.asked) == 1


async def test_what_is_open_is_not_asked_about() -> None:
    logs = Logs()
    logs.guards.clear()
    assert await logs.ask(adds=True) == {}
