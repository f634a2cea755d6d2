"""A client of transactions over plain requests, of both protocols, which draws what it does.

It does what a careful client does: it sends a request again until it is answered, and goes on with another
epoch (InitProducerId, KIP-360) where a request of its own may still arrive: always after an end, or a
position, that it had to send twice in the first protocol, since nothing else keeps the late one from ending
its next transaction, or from moving its group back in that.
Now and then it dies in the middle of a transaction, and another one with its transactional id takes over.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from fastlog.errors import ErrorCode as E
from fastlog.native import build_batch
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest
from fastlog.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from fastlog.wire.messages.transactions import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
    EndTxnRequest,
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from tests.chaos.transactions.history import ABORTED, COMMITTED, NO_OFFSET, UNKNOWN, Row, Writer
from tests.chaos.transactions.wire import (
    AGAIN_SECONDS,
    GIVE_UP_SECONDS,
    GROUPS,
    PASSING,
    TRANSACTIONS,
    Lost,
    Stuck,
    Wire,
)

LEAP: Final = 10**9
"""Values of producer N begin at N times this."""
_NOBODY: Final = (-1, -1)
_DOUBTFUL: Final = frozenset(
    {E.COORDINATOR_NOT_AVAILABLE, E.NOT_COORDINATOR, E.REQUEST_TIMED_OUT, E.NOT_ENOUGH_REPLICAS_AFTER_APPEND}
)
"""Codes of an EndTxn that may be in the log all the same."""
_OUT: Final = frozenset({E.PRODUCER_FENCED, E.INVALID_PRODUCER_ID_MAPPING, E.INVALID_PRODUCER_EPOCH})


class Refused(Exception):
    """A code upon which the transaction cannot go on."""

    def __init__(self, code: int) -> None:
        super().__init__(E.of(code).name)
        self.code = E.of(code)


class Died(Exception):
    """The client is no more."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a producer writes, and how."""

    topic: str
    partitions: int
    raises: bool
    """Whether it speaks the second protocol (`transaction.version` 2)."""
    deaths: float = 0.03
    """Of how many transactions it dies."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a transaction is to be like, where that is not drawn."""

    at: int
    """A partition that it writes to, among others."""
    commits: bool
    before_end: Callable[[], Awaitable[None]] | None = None
    """What is done when all is written."""


@dataclass(slots=True)
class Unwritten:
    """The records of a transaction, by partition: `batches` has those that are not acknowledged."""

    number: int
    values: dict[int, list[int]]
    batches: dict[int, bytes]


class RawProducer:
    """One transactional id, whose group has its name."""

    def __init__(self, wire: Wire, name: str, number: int, place: Place, writer: Writer, seed: int) -> None:
        self._wire, self.name, self._place, self._writer = wire, name, place, writer
        self._chance = random.Random(f"{seed} {name}")
        self._value = number * LEAP
        self._number = 0
        self._identity = _NOBODY
        self._sequences: defaultdict[int, int] = defaultdict(int)
        self._is_unclear = False
        self.counts: Counter[str] = Counter()
        """What has happened to it."""

    async def run(self, ended: asyncio.Event) -> None:
        """One transaction after the other. Raises Stuck."""
        while not ended.is_set():
            await self.be_somebody()
            await self.step()
        if self._identity == _NOBODY:
            # Whatever the last one has left open is aborted now.
            await self._initialize(_NOBODY)

    async def step(self) -> None:
        """Some transactions."""
        await self._transaction()

    async def be_somebody(self) -> None:
        """Has an identity of its own, in which nothing is under way."""
        if self._identity == _NOBODY:
            await self._initialize(_NOBODY)
        elif self._is_unclear:
            await self._initialize(self._identity)

    # -- a transaction --------------------

    async def _transaction(self, plan: Plan | None = None) -> None:
        chance, place = self._chance, self._place
        partitions = set(chance.sample(range(place.partitions), chance.randint(1, place.partitions)))
        moves = chance.random() < 0.4
        commits = chance.random() < 0.7
        dies = chance.choice(("produce", "offsets", "end")) if chance.random() < place.deaths else ""
        if plan is not None:
            partitions.add(plan.at)
            commits, dies = plan.commits, ""
        counts = {partition: chance.randint(1, 3) for partition in sorted(partitions)}
        position = self._number if moves else None
        number, values = self._begin(counts, position)
        fate = UNKNOWN, ""
        try:
            try:
                if not place.raises:
                    await self._add(sorted(values))
                await self._produce(number, values, dies == "produce")
                if position is not None:
                    await self._move(position, dies == "offsets")
                if dies:
                    await self._die(commits and dies == "end")
                if plan is not None and plan.before_end is not None:
                    await plan.before_end()
            except Refused as refused:
                fate = ABORTED, f"{refused} before its end"
                self.counts[f"refused {refused}"] += 1
                await self._give_up()
            else:
                fate = await self._decide(commits)
        except Died as died:
            doubt = commits and dies == "end"
            fate = (UNKNOWN if doubt else ABORTED), f"{died}"
            self.counts["deaths"] += 1
            self._identity = _NOBODY
        self._ended(number, *fate)

    def _begin(self, counts: dict[int, int], position: int | None) -> tuple[int, dict[int, list[int]]]:
        """Its number, and so many values for each partition."""
        number = self._number
        self._number += 1
        values = {partition: self._values(count) for partition, count in counts.items()}
        rows = [[partition, value] for partition, some in values.items() for value in some]
        self._writer.write("txn", number=number, records=rows, position=position)
        return number, values

    def _ended(self, number: int, fate: str, why: str) -> None:
        self._writer.write("ended", number=number, fate=fate, why=why)
        self.counts["transactions"] += 1

    def _values(self, count: int) -> list[int]:
        self._value += count
        return [*range(self._value - count, self._value)]

    async def _add(self, partitions: list[int]) -> None:
        request = AddPartitionsToTxnRequest(
            v3_and_below_transactional_id=self.name,
            v3_and_below_producer_id=self._identity[0],
            v3_and_below_producer_epoch=self._identity[1],
            v3_and_below_topics=[AddPartitionsToTxnTopic(self._place.topic, partitions)],
        )

        def codes(answer: Any) -> list[int]:
            return [
                row.partition_error_code
                for topic in answer.results_by_topic_v3_and_below
                for row in topic.results_by_partition
            ]

        await self._coordinate(TRANSACTIONS, self.name, request, 3, codes)

    async def _produce(self, number: int, values: dict[int, list[int]], dies: bool) -> None:
        rest = Unwritten(number, values, {at: self._batch(at, some) for at, some in values.items()})
        try:
            await self._until("Produce", lambda: self._write(rest, dies))
        except Refused:
            self._is_unclear = self._is_unclear or bool(rest.batches)
            raise
        for partition, some in values.items():
            self._sequences[partition] += len(some)

    async def _write(self, rest: Unwritten, dies: bool) -> bool:
        """Asks all leaders once; whether everything is written. Raises Refused, Lost and Died."""
        await self._wire.look()
        by_port: defaultdict[int, list[int]] = defaultdict(list)
        for partition in sorted(rest.batches):
            if partition in self._wire.leaders:
                by_port[self._wire.leaders[partition][0]].append(partition)
        if dies and by_port:
            port, some = next(iter(by_port.items()))
            await self._send(port, self._request(some, rest), self._version)
            raise Died("it died with records under way")
        asked = (self._ask_to_write(port, some, rest) for port, some in by_port.items())
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        if rest.batches:
            self._wire.forget()
        return not rest.batches

    @property
    def _version(self) -> int:
        return 12 if self._place.raises else self._chance.choice((9, 11))

    def _request(self, partitions: list[int], rest: Unwritten) -> ProduceRequest:
        rows = [PartitionProduceData(partition, rest.batches[partition]) for partition in partitions]
        return ProduceRequest(self.name, -1, 5_000, [TopicProduceData(self._place.topic, rows)])

    async def _ask_to_write(self, port: int, partitions: list[int], rest: Unwritten) -> None:
        answer = await self._wire.ask(port, self._request(partitions, rest), self._version)
        acked: list[Row] = []
        refused: Refused | None = None
        for row in answer.responses[0].partition_responses:
            some = rest.values[row.index]
            if row.error_code == E.NONE:
                acked += [(row.index, row.base_offset + at, value) for at, value in enumerate(some)]
                del rest.batches[row.index]
            elif row.error_code == E.DUPLICATE_SEQUENCE_NUMBER:
                acked += [(row.index, NO_OFFSET, value) for value in some]
                del rest.batches[row.index]
            elif row.error_code not in PASSING:
                refused = Refused(row.error_code)
        self._writer.records("acked", acked, number=rest.number)
        if refused is not None:
            raise refused

    def _batch(self, partition: int, values: list[int]) -> bytes:
        now_ms = time.time_ns() // 1_000_000
        return build_batch(
            [(None, b"%d" % value, [], now_ms) for value in values],
            producer_id=self._identity[0],
            producer_epoch=self._identity[1],
            base_sequence=self._sequences[partition],
            transactional=True,
        )

    async def _move(self, position: int, dies: bool) -> None:
        name, identity = self.name, self._identity
        if not self._place.raises:
            asked = AddOffsetsToTxnRequest(name, *identity, name)
            await self._coordinate(TRANSACTIONS, name, asked, 3, lambda answer: [answer.error_code])
        rows = [TxnOffsetCommitRequestPartition(0, position)]
        commit = TxnOffsetCommitRequest(
            transactional_id=name,
            group_id=name,
            producer_id=identity[0],
            producer_epoch=identity[1],
            topics=[TxnOffsetCommitRequestTopic(self._place.topic, rows)],
        )
        version = 5 if self._place.raises else 3
        if dies:
            port = self._wire.coordinator(GROUPS, name)
            if port >= 0:
                await self._send(port, commit, version)
            raise Died("it died with a position under way")

        def codes(answer: Any) -> list[int]:
            return [row.error_code for topic in answer.topics for row in topic.partitions]

        is_doubtful = True
        try:
            is_doubtful = await self._coordinate(GROUPS, name, commit, version, codes)
        finally:
            # It may come once more, in a transaction that moves the group further.
            self._is_unclear = self._is_unclear or (is_doubtful and not self._place.raises)

    async def _die(self, with_end: bool) -> None:
        port = self._wire.coordinator(TRANSACTIONS, self.name)
        if with_end and port >= 0:
            version = 5 if self._place.raises else 4
            await self._send(port, EndTxnRequest(self.name, *self._identity, True), version)
        self._wire.close()
        raise Died("it died with its end under way" if with_end else "it died")

    async def _send(self, port: int, request: Any, version: int) -> None:
        try:
            await self._wire.send(port, request, version)
        except Lost:
            return

    # -- its end --------------------

    async def _decide(self, commits: bool) -> tuple[str, str]:
        try:
            await self._end(commits)
        except _Doubt as doubt:
            self.counts[f"end: {doubt.code.name}"] += 1
            await self._give_up()
            fate = UNKNOWN if commits and doubt.is_doubtful else ABORTED
            return fate, f"its end was answered with {doubt.code.name}"
        return (COMMITTED if commits else ABORTED), "its client asked for it"

    async def _give_up(self) -> None:
        """Aborts what cannot go on; who is fenced begins anew."""
        try:
            await self._end(False)
        except _Doubt:
            self._identity = _NOBODY

    async def _end(self, commits: bool) -> None:
        version = 5 if self._place.raises else 4
        request = EndTxnRequest(self.name, *self._identity, commits)
        is_doubtful = False

        async def once() -> bool:
            nonlocal is_doubtful
            try:
                answer = await self._wire.coordinate(TRANSACTIONS, self.name, request, version)
            except Lost as lost:
                is_doubtful = is_doubtful or lost.sent
                raise
            code = answer.error_code
            if code in PASSING:
                is_doubtful = is_doubtful or code in _DOUBTFUL
                raise Refused(code)
            if code != E.NONE:
                raise _Doubt(code, is_doubtful)
            if self._place.raises:
                self._become((answer.producer_id, answer.producer_epoch))
            return True

        await self._until("EndTxn", once)
        if not self._place.raises and is_doubtful:
            # One of them may still be under way.
            self._is_unclear = True

    # -- who it is --------------------

    async def _initialize(self, identity: tuple[int, int]) -> None:
        request = InitProducerIdRequest(self.name, self._chance.choice((2_000, 6_000, 30_000)), *identity)

        async def once() -> bool:
            answer = await self._wire.coordinate(TRANSACTIONS, self.name, request, 4)
            if answer.error_code != E.NONE:
                raise Refused(answer.error_code)
            self._become((answer.producer_id, answer.producer_epoch))
            return True

        try:
            await self._until("InitProducerId", once)
        except Refused as refused:
            if refused.code not in _OUT or identity == _NOBODY:
                raise
            self.counts["fenced"] += 1
            await self._initialize(_NOBODY)

    def _become(self, identity: tuple[int, int]) -> None:
        self._identity, self._is_unclear = identity, False
        self._sequences.clear()

    # -- ways to ask --------------------

    async def _coordinate(
        self, kind: int, name: str, request: Any, version: int, codes: Callable[[Any], list[int]]
    ) -> bool:
        """Whether one that was not answered may still be under way."""

        async def once() -> bool:
            answer = await self._wire.coordinate(kind, name, request, version)
            wrong = [code for code in codes(answer) if code != E.NONE]
            for code in wrong:
                raise Refused(code)
            return True

        return await self._until(type(request).__name__, once)

    async def _until(self, what: str, once: Callable[[], Awaitable[bool]]) -> bool:
        """Whether it was sent and not answered before."""
        is_doubtful = False
        deadline = time.monotonic() + GIVE_UP_SECONDS
        last: Exception | None = None
        while time.monotonic() < deadline:
            try:
                if await once():
                    return is_doubtful
            except Lost as lost:
                last = lost
                is_doubtful = is_doubtful or lost.sent
                self.counts["no answer" if lost.sent else "no connection"] += 1
                self._wire.forget()
            except Refused as refused:
                if refused.code not in PASSING:
                    raise
                last = refused
                if refused.code is not E.CONCURRENT_TRANSACTIONS:
                    self._wire.forget()
            await asyncio.sleep(AGAIN_SECONDS)
        raise Stuck(f"{self.name}: {what} is not done after {GIVE_UP_SECONDS:.0f} s: {last}")


class _Doubt(Exception):
    """EndTxn is refused; `is_doubtful`: an earlier one that was not answered may have been taken."""

    def __init__(self, code: int, is_doubtful: bool) -> None:
        super().__init__(E.of(code).name)
        self.code, self.is_doubtful = E.of(code), is_doubtful
