"""One produce request: verdicts, append, wait for its acknowledgement, answer.

Append and wait are those of `fastlog.replication.appender`; here is what concerns the client: what it may not
write, that its connection's next request may start when offsets are fixed, and the answer.

Rows of a transaction are verified in between (`fastlog.server.produce.verification`); the next request of the
connection waits for that, as for the append.

Verdicts and results of very many partitions are gone through in several turns of the event loop.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.replication.appender import Append
from fastlog.server.produce.may_write import may_write
from fastlog.server.produce.refusals import note_refusals
from fastlog.server.produce.verification import ADDS_FROM, Verification, identity_of
from fastlog.server.requests.error_answers import error_code_of
from fastlog.server.requests.replica_lookup import current_leader, leader_endpoints, missing_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastlog.native import ProducePlan
    from fastlog.native.shapes import (
        ProducePlanRow,
        ProduceResponseRow,
        ProduceResult,
        TransactionalBatch,
    )
    from fastlog.replication.partition import Partition
    from fastlog.server.network.exchange import Exchange
    from fastlog.server.requests.context import BrokerServices

_LOG: Final = logging.getLogger(__name__)
CURRENT_LEADER_FROM: Final = 10
# Clients of these versions take KAFKA_STORAGE_ERROR for a defect and do not retry.
_STORAGE_ERROR_FROM: Final = 4
_ACKS: Final = (-1, 0, 1)
# Rows that are gone through before the clock is looked at.
_AT_ONCE: Final = 256


class ProduceOperation(Append):
    """A produce request of version 3 or later."""

    __slots__ = ("_broker", "_exchange", "_may", "_plan")

    def __init__(self, broker: BrokerServices, exchange: Exchange, plan: ProducePlan) -> None:
        super().__init__(broker.appender, plan.acks)
        self._broker = broker
        self._exchange = exchange
        self._plan = plan
        self._may = None if broker.access is None else may_write(broker.access, exchange.session, plan)
        """What the client may write, where not everybody may write everything."""

    def start(self) -> None:
        """Decides about each partition and appends to those that take the records."""
        rows = self._plan.rows
        if len(rows) > _AT_ONCE:
            self._broker.turns.start(self._start_in_turns(rows))
        else:
            self._decide(rows)
            self._go_on()

    async def _start_in_turns(self, rows: list[ProducePlanRow]) -> None:
        turns = self._broker.turns
        try:
            # Also when the producer is gone: with acks=0 it does not wait.
            for first in range(0, len(rows), _AT_ONCE):
                self._decide(rows[first : first + _AT_ONCE])
                if turns.over():
                    await turns.wait()
            self._go_on()
        except Exception as error:  # noqa: BLE001 - the producer must get an answer
            self.failed(error)

    def _go_on(self) -> None:
        """Appends; before that, has the coordinator of its transaction asked where that is needed."""
        plan, broker = self._plan, self._broker
        name = plan.transactional_id
        if name is None or broker.transactions is None or not (batches := plan.transactional_batches):
            self._appender.produce(self, plan)
            return
        identity = identity_of(batches)
        is_verified = plan.version >= ADDS_FROM or broker.config.transaction_partition_verification_enable
        if identity is None:
            for row, replica in enumerate(self.replicas):
                # What may not be written is told before what is wrong with it.
                if replica is not None or self._may is None:
                    self.refuse(row, ErrorCode.INVALID_PRODUCER_ID_MAPPING)
        elif is_verified and any(self.replicas):
            verification = Verification(broker, self, plan, name)
            if len(batches) > _AT_ONCE:
                broker.turns.start(self._verify(verification, identity, batches))
                return
            for batch in batches:
                verification.begin(batch)
            self.guards = verification.guards
            if verification.has_to_ask:
                self._ask(verification, identity)
                return
        self._appender.produce(self, plan)

    def _ask(self, verification: Verification, identity: tuple[int, int]) -> None:
        def told() -> None:
            try:
                self._appender.produce(self, self._plan)
            except Exception as error:  # noqa: BLE001 - the producer must get an answer
                self.failed(error)

        if not verification.ask_here(identity, told):
            self._broker.turns.start(self._verify(verification, identity, ()))

    async def _verify(
        self, verification: Verification, identity: tuple[int, int], batches: Sequence[TransactionalBatch]
    ) -> None:
        turns = self._broker.turns
        try:
            for number, batch in enumerate(batches, start=1):
                verification.begin(batch)
                if not number % _AT_ONCE and turns.over():
                    await turns.wait()
            self.guards = verification.guards
            if verification.has_to_ask:
                await verification.ask(identity)
            self._appender.produce(self, self._plan)
        except Exception as error:  # noqa: BLE001 - the producer must get an answer
            self.failed(error)

    def _decide(self, rows: list[ProducePlanRow]) -> None:
        broker, may = self._broker, self._may
        whole, common = self._codes_of_all()
        for topic, partition, size in rows:
            replica = broker.replicas.get(topic, partition)
            if whole:
                error: int = whole
            elif may is not None and (denied := may.code(topic)):
                # Whether it is there is not told.
                replica, error = None, denied
            elif replica is None:
                error = missing_error(broker, topic, partition)
                if (
                    common == ErrorCode.INVALID_REQUIRED_ACKS
                    and error != ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                ):
                    error = common
            else:
                error = common or _code_of(replica, size)
            self.add(replica, error)
        if may is not None:
            may.ask.tell()

    def _codes_of_all(self) -> tuple[int, int]:
        """(the code of every partition, or 0; the code of those that are there, or 0)."""
        whole = common = 0
        if self._plan.transactional_id is not None and self._broker.transactions is None:
            common = ErrorCode.INVALID_TXN_STATE
        elif self._plan.transactional_id is None and self._plan.is_transactional:
            # Without the id nobody would ever end the transaction, and `read_committed` consumers would stop.
            whole = ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        if self._may is not None and self._may.refusal:
            whole = self._may.refusal
        if self.acks not in _ACKS:
            common = ErrorCode.INVALID_REQUIRED_ACKS
        return whole, common

    def appended(self, results: list[ProduceResult]) -> None:
        """Offsets are fixed."""
        self._broker.metrics.produce_bytes += self._plan.total_bytes
        if len(results) > _AT_ONCE:
            self._broker.turns.start(self._take_in_turns(results))
        else:
            self.take(0, results)
            self.await_acknowledgement()

    async def _take_in_turns(self, results: list[ProduceResult]) -> None:
        turns = self._broker.turns
        try:
            # Also when nobody waits for the answer any more: what is appended is to be replicated and read.
            for first in range(0, len(results), _AT_ONCE):
                self.take(first, results[first : first + _AT_ONCE])
                if turns.over():
                    await turns.wait()
            self.await_acknowledgement()
        except Exception as error:  # noqa: BLE001 - the producer must get an answer
            self.failed(error)

    def goes_on(self) -> int | None:
        """The connection's next request may start; this one waits if its client does."""
        exchange = self._exchange
        if exchange.is_lost:
            return None
        exchange.operation = self
        exchange.proceed()
        return self._plan.timeout_ms

    # -- the answer --------------------

    def settled(self) -> None:
        """Every partition is acknowledged, or has failed."""
        exchange = self._exchange
        failed = any(row[0] for row in self.results)
        if failed:
            now = self._broker.clock.monotonic()
            note_refusals(exchange.session, self._plan.rows, self.results, now)
            for row in self.results:
                if row[0]:
                    self._broker.metrics.error(exchange.api_key, row[0])
        if exchange.is_lost:
            return
        throttle_ms = 0
        if exchange.meter is not None:
            throttle_ms = exchange.meter.produced(self.acks, self.waited)
            exchange.throttle(throttle_ms)
        if self.acks == 0:
            if failed:
                # No answer can say it: a closed connection makes the producer look again.
                codes = sorted({ErrorCode.of(row[0]).name for row in self.results if row[0]})
                exchange.close("failed produce with acks=0", ", ".join(codes))
            else:
                self._offer()
                exchange.reply_nothing()
            return
        if failed and len(self.results) > _AT_ONCE:
            self._broker.turns.start(self._answer_in_turns(throttle_ms))
        elif failed:
            leaders: list[tuple[int, int]] = []
            self._reply(self._answer_rows(self._plan.rows, self.results, leaders), leaders, throttle_ms)
        else:
            self._offer()
            rows: list[ProduceResponseRow] = [(*row[:6], None) for row in self.results]
            exchange.reply(self._plan.encode_response(rows, throttle_ms))

    def _offer(self) -> None:
        """Lets the next requests to the partition go without all this, if nothing is left to decide."""
        if self._may is None and len(self.replicas) == 1 and self.replicas[0] is not None:
            self._broker.settled.offer(self.replicas[0])

    async def _answer_in_turns(self, throttle_ms: int) -> None:
        turns, asked, results = self._broker.turns, self._plan.rows, self.results
        leaders: list[tuple[int, int]] = []
        rows: list[ProduceResponseRow] = []
        try:
            for first in range(0, len(results), _AT_ONCE):
                until = first + _AT_ONCE
                rows += self._answer_rows(asked[first:until], results[first:until], leaders)
                if turns.over():
                    await turns.wait()
            if not self._exchange.is_lost:
                self._reply(rows, leaders, throttle_ms)
        except Exception as error:  # noqa: BLE001 - the producer must hear of it
            self._close(error)

    def _answer_rows(
        self, asked: list[ProducePlanRow], results: list[ProduceResult], leaders: list[tuple[int, int]]
    ) -> list[ProduceResponseRow]:
        """Rows of an answer with errors. Adds to `leaders` those that clients should turn to instead."""
        broker, plan = self._broker, self._plan
        rows: list[ProduceResponseRow] = []
        for (topic, partition, _), row in zip(asked, results, strict=True):
            code, leader = row[0], None
            if code == ErrorCode.NOT_LEADER_OR_FOLLOWER and plan.version >= CURRENT_LEADER_FROM:
                leader = current_leader(broker, topic, partition)
                leaders.append(leader)
            elif code == ErrorCode.KAFKA_STORAGE_ERROR and plan.version < _STORAGE_ERROR_FROM:
                code = int(ErrorCode.NOT_LEADER_OR_FOLLOWER)
            rows.append((code, row[1], row[2], row[3], row[4], row[5], leader))
        return rows

    def _reply(
        self, rows: list[ProduceResponseRow], leaders: list[tuple[int, int]], throttle_ms: int
    ) -> None:
        broker, exchange = self._broker, self._exchange
        endpoints = leader_endpoints(broker, exchange.session.listener.name, leaders) if leaders else []
        exchange.reply(self._plan.encode_response(rows, throttle_ms, endpoints))

    def failed(self, error: BaseException) -> None:
        """The append failed as a whole: which rows made it is not known, so no row may be called written."""
        code = error_code_of(error)
        if code is ErrorCode.UNKNOWN_SERVER_ERROR:
            _LOG.error("a produce request failed", exc_info=error)
        if self._exchange.answer is not None:
            return
        self._broker.purgatory.cancel(self)
        self._waiting = []
        self.results = [(int(code), -1, -1, -1, None, None, -1) for _ in self._plan.rows]
        try:
            self.settled()
        except Exception as failure:  # noqa: BLE001 - no answer can say it
            self._close(failure)

    def _close(self, error: BaseException) -> None:
        self._exchange.close("failed request", f"PRODUCE: {error_code_of(error).name}: {error}")


def _code_of(replica: Partition, size: int) -> int:
    """Why records of so many bytes cannot be written to a partition, or 0."""
    if replica.settings.internal:
        return ErrorCode.INVALID_TOPIC_EXCEPTION
    return 0 if size > 0 else ErrorCode.INVALID_RECORD
