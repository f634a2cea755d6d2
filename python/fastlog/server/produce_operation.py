"""One produce request: verdicts, append, wait for its acknowledgement, answer.

verdicts: per partition a log, or the error code for the client
append:   on a native thread; when it is done offsets are fixed and the connection's next request may start
wait:     acks=1 for the leader's own copy (on the disk in fsync mode), acks=all for the high watermark
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.replication.purgatory import Operation
from fastlog.server.errors import error_code_of
from fastlog.server.partitions import current_leader, leader_endpoints, missing_error

if TYPE_CHECKING:
    from fastlog.native import Log, ProducePlan
    from fastlog.native.shapes import ProduceResponseRow, ProduceResult
    from fastlog.replication.replica import PartitionKey, Replica
    from fastlog.server.context import BrokerServices
    from fastlog.server.exchange import Exchange

_LOG: Final = logging.getLogger(__name__)
CURRENT_LEADER_FROM: Final = 10
# Clients of these versions take KAFKA_STORAGE_ERROR for a defect and do not retry.
_STORAGE_ERROR_FROM: Final = 4
_ACKS: Final = (-1, 0, 1)


class ProduceOperation(Operation):
    """A produce request of version 3 or later."""

    __slots__ = ("_acks", "_broker", "_epochs", "_exchange", "_plan", "_replicas", "_results", "_waiting")

    def __init__(self, broker: BrokerServices, exchange: Exchange, plan: ProducePlan) -> None:
        self._ticket = 0
        self._keys = ()
        self.waited = 0.0
        self._broker = broker
        self._exchange = exchange
        self._plan = plan
        self._acks = plan.acks
        self._replicas: list[Replica | None] = []
        self._epochs: list[int] = []
        self._results: list[ProduceResult] = []
        self._waiting: list[tuple[int, Replica]] = []

    def start(self) -> None:
        """Decides about each partition and appends to those that take the records."""
        targets = self._verdicts()
        if not any(self._replicas):
            # Nothing to append: the codes are the result.
            codes = [target for target in targets if isinstance(target, int)]
            self._results = [(code, -1, -1, -1, None, None, -1) for code in codes]
            self._answer()
            return
        future = self._broker.io.produce(self._plan, targets, self._epochs)
        future.add_done_callback(self._on_appended)

    def _verdicts(self) -> list[Log | int]:
        broker, acks = self._broker, self._acks
        common = 0
        if acks not in _ACKS:
            common = ErrorCode.INVALID_REQUIRED_ACKS
        elif self._plan.transactional_id is not None:
            common = ErrorCode.INVALID_TXN_STATE
        targets: list[Log | int] = []
        for topic, partition, size in self._plan.rows:
            replica = broker.replicas.get(topic, partition)
            if replica is None:
                error: int = missing_error(broker, topic, partition)
            else:
                error = common or replica.write_error(acks)
                if not error and replica.settings.internal:
                    error = ErrorCode.INVALID_TOPIC_EXCEPTION
                elif not error and size <= 0:
                    error = ErrorCode.INVALID_RECORD
            if error or replica is None:
                self._replicas.append(None)
                self._epochs.append(-1)
                targets.append(int(error))
            else:
                self._replicas.append(replica)
                self._epochs.append(replica.leader_epoch)
                targets.append(replica.log)
        return targets

    def _on_appended(self, done: asyncio.Future[list[ProduceResult]]) -> None:
        try:
            self._acknowledge(done.result())
        except Exception as error:  # noqa: BLE001 - the producer must get an answer
            self._fail(error)

    def _acknowledge(self, results: list[ProduceResult]) -> None:
        broker, exchange, acks = self._broker, self._exchange, self._acks
        self._results = results
        waiting = self._waiting
        for index, row in enumerate(results):
            replica = self._replicas[index]
            if replica is not None and row[0] == 0:
                end_offset = row[6]
                replica.on_appended(end_offset)
                if replica.waits_for_disk:
                    broker.committer.request(replica)
                if acks != 0 and replica.ack_error(acks, end_offset, self._epochs[index]) != 0:
                    waiting.append((index, replica))
        broker.metrics.produce_bytes += self._plan.total_bytes
        if not waiting:
            self._answer()
        elif not self._settle():
            exchange.operation = self
            exchange.proceed()
            if not exchange.is_lost:
                keys = [replica.key for _, replica in waiting]
                broker.purgatory.park(self, keys, self._plan.timeout_ms)

    # -- the wait --------------------

    def is_ready(self, key: PartitionKey) -> bool:
        """Whether every partition that was waited for is acknowledged or has failed."""
        for index, replica in self._waiting:
            if replica.ack_error(self._acks, self._results[index][6], self._epochs[index]) is None:
                return False
        return True

    def complete(self) -> None:
        """All partitions are settled."""
        self._settle()

    def expire(self) -> None:
        """Time is up: what is not acknowledged by now may still be replicated later."""
        self._settle(ErrorCode.REQUEST_TIMED_OUT)

    def _settle(self, unacknowledged: ErrorCode | None = None) -> bool:
        """Writes acknowledgements into the results and answers, if nothing is open (or `unacknowledged` says
        what open ones get)."""
        for index, replica in self._waiting:
            row = self._results[index]
            error: int | None = replica.ack_error(self._acks, row[6], self._epochs[index])
            if error is None:
                error = unacknowledged
            if error is None:
                return False
            if error:
                self._results[index] = (int(error), *row[1:])
        self._answer()
        return True

    # -- the answer --------------------

    def _answer(self) -> None:
        exchange = self._exchange
        failed = any(row[0] for row in self._results)
        if failed:
            for row in self._results:
                if row[0]:
                    self._broker.metrics.error(exchange.api_key, row[0])
        if exchange.is_lost:
            return
        if self._acks == 0:
            if failed:
                # No answer can say it: a closed connection makes the producer look again.
                codes = sorted({ErrorCode.of(row[0]).name for row in self._results if row[0]})
                exchange.close("failed produce with acks=0", ", ".join(codes))
            else:
                exchange.reply_nothing()
            return
        if failed:
            self._answer_with_errors()
        else:
            exchange.reply(self._plan.encode_response([(*row[:6], None) for row in self._results]))

    def _answer_with_errors(self) -> None:
        broker, plan, exchange = self._broker, self._plan, self._exchange
        leaders: list[tuple[int, int]] = []
        rows: list[ProduceResponseRow] = []
        for (topic, partition, _), row in zip(plan.rows, self._results, strict=True):
            code, leader = row[0], None
            if code == ErrorCode.NOT_LEADER_OR_FOLLOWER and plan.version >= CURRENT_LEADER_FROM:
                leader = current_leader(broker, topic, partition)
                leaders.append(leader)
            elif code == ErrorCode.KAFKA_STORAGE_ERROR and plan.version < _STORAGE_ERROR_FROM:
                code = int(ErrorCode.NOT_LEADER_OR_FOLLOWER)
            rows.append((code, row[1], row[2], row[3], row[4], row[5], leader))
        endpoints = leader_endpoints(broker, exchange.connection.listener, leaders) if leaders else []
        exchange.reply(plan.encode_response(rows, 0, endpoints))

    def _fail(self, error: Exception) -> None:
        """The append failed as a whole: which rows made it is not known, so no row may be called written."""
        code = error_code_of(error)
        if code is ErrorCode.UNKNOWN_SERVER_ERROR:
            _LOG.error("a produce request failed", exc_info=error)
        if self._exchange.answer is None:
            self._results = [(int(code), -1, -1, -1, None, None, -1) for _ in self._replicas]
            self._answer()
