"""The coordinator of all transactional ids of this broker: its topic, what handlers ask, its start and end.

Handlers check what only a client can get wrong. Here an id is looked up, `verdicts` or `ending` say what
becomes of the request, and `changes` writes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from fastlog.coordination.topic_names import TRANSACTION_STATE_TOPIC
from fastlog.coordination.transactions import ending, verdicts
from fastlog.coordination.transactions.changes import Changes
from fastlog.coordination.transactions.completions import MarkerTarget
from fastlog.coordination.transactions.expiry import Expiry
from fastlog.coordination.transactions.leadership import TransactionLeadership
from fastlog.coordination.transactions.log import Then, TransactionLog
from fastlog.coordination.transactions.markers import Markers, MissingTopics
from fastlog.coordination.transactions.questions import Decide, Questions, ThenAnswer
from fastlog.coordination.transactions.results import Described, ListFilter
from fastlog.coordination.transactions.state import (
    EPOCH_BUMP_VERSION,
    TopicPartition,
    Transaction,
    TransactionState,
)
from fastlog.coordination.transactions.table import TransactionTable
from fastlog.coordination.transactions.verdicts import (
    Granted,
    Identity,
    Refused,
    Verdict,
)
from fastlog.errors import ErrorCode, KafkaError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastlog.base.clock import Clock
    from fastlog.base.tasks import Loop, Supervisor
    from fastlog.config import BrokerConfig
    from fastlog.coordination.cluster_view import ClusterView, TopicState
    from fastlog.coordination.producer_ids import ProducerIds
    from fastlog.coordination.topic_admin import TopicAdmin
    from fastlog.replication.appender import Appender
    from fastlog.replication.replica_manager import ReplicaManager


class TransactionService:
    """Made once per broker. `start` when the partitions are led, `resign` first thing of a stop, `close`
    before the logs are closed.

    `target_of` makes the way of markers to a broker. `level`: `transaction.version` of the cluster, which
    decides how the coordinator's own aborts and its records look; requests bring theirs. `patience`: see
    `Questions`.
    """

    def __init__(
        self,
        *,
        view: ClusterView,
        topics: TopicAdmin,
        replicas: ReplicaManager,
        appender: Appender,
        producer_ids: ProducerIds,
        clock: Clock,
        config: Callable[[], BrokerConfig],
        tasks: Supervisor,
        target_of: Callable[[int], MarkerTarget],
        level: Callable[[], int] = lambda: 0,
        patience: float = 0.0,
        missing_topics: MissingTopics | None = None,
    ) -> None:
        self._is_member = missing_topics is not None
        self._view = view
        self._topics = topics
        self._producer_ids = producer_ids
        self._clock = clock
        self._config = config
        self._tasks = tasks
        self._level = level
        self.table: Final = TransactionTable(view)
        self._log = TransactionLog(appender, clock, tasks)
        self._changes = Changes(self.table, self._log, clock, tasks, level)
        self.markers: Final = Markers(
            view=view,
            target_of=target_of,
            on_done=self._changes.complete,
            tasks=tasks,
            missing_topics=missing_topics,
        )
        self._changes.markers = self.markers
        self._questions = Questions(
            table=self.table,
            changes=self._changes,
            producer_ids=producer_ids,
            tasks=tasks,
            most_weight=lambda: config().memory.transactions,
            patience=patience,
        )
        self.expiry: Final = Expiry(
            table=self.table,
            changes=self._changes,
            producer_ids=producer_ids,
            clock=clock,
            config=config,
            level=level,
        )
        self._leadership = TransactionLeadership(
            replicas=replicas,
            table=self.table,
            log=self._log,
            markers=self.markers,
            producer_ids=producer_ids,
            clock=clock,
            config=config,
        )
        self._loops: list[Loop] = []

    # -- what handlers ask --------------------

    async def init_producer_id(
        self, transactional_id: str, timeout_ms: int, identity: Identity | None
    ) -> Granted | Refused:
        """InitProducerId with a transactional id, which comes into being by it."""

        def decide(transaction: Transaction, spare_id: int | None) -> Verdict:
            return verdicts.init_producer_id(
                transaction,
                timeout_ms,
                identity,
                self._clock.now_ms(),
                level=self._level(),
                spare_id=spare_id,
            )

        return await self._questions.ask(transactional_id, decide, makes=True)

    async def add_partitions(
        self,
        transactional_id: str,
        identity: Identity,
        partitions: frozenset[TopicPartition],
        version: int,
        *,
        waits: bool = True,
    ) -> ErrorCode:
        """AddPartitionsToTxn and AddOffsetsToTxn. `version`: `transaction.version` of who asks.

        `waits`: a change of the id that is under way is waited for. Not for a leader that is about to append:
        the marker of the transaction before would end the verification that it has begun.
        """
        decide = self._adds(identity, partitions, version)
        return _code_of(await self._questions.ask(transactional_id, decide, waits=waits))

    def begin_add(
        self,
        transactional_id: str,
        identity: Identity,
        partitions: frozenset[TopicPartition],
        version: int,
        then: Then,
        *,
        waits: bool = True,
    ) -> None:
        """The same with a callback, at once or later."""
        decide = self._adds(identity, partitions, version)
        self._questions.begin(transactional_id, decide, lambda answer: then(_code_of(answer)), waits=waits)

    def _adds(self, identity: Identity, partitions: frozenset[TopicPartition], version: int) -> Decide:
        def decide(transaction: Transaction, spare_id: int | None) -> Verdict:
            return verdicts.add_partitions(
                transaction, identity, partitions, self._clock.now_ms(), version=version
            )

        return decide

    def when_settled(self, transactional_id: str, seconds: float, then: Callable[[], None]) -> None:
        """Calls back, later, when no change of the id is under way, or after some time."""
        self._questions.when_settled(transactional_id, seconds, then)

    def verify_partitions(
        self, transactional_id: str, identity: Identity, partitions: frozenset[TopicPartition]
    ) -> ErrorCode | dict[TopicPartition, ErrorCode]:
        """Whether partitions are in the open transaction, or why that cannot be told."""
        found = self._questions.find(transactional_id)
        if isinstance(found, ErrorCode):
            return found
        outcome = verdicts.verify_partitions(found[1], identity, partitions)
        return outcome.code if isinstance(outcome, Refused) else outcome

    async def end(
        self, transactional_id: str, identity: Identity, *, commits: bool, version: int
    ) -> Granted | Refused:
        """EndTxn: answers when the decision is in the log; the markers come after."""
        return await self._questions.ask(transactional_id, self._ends(identity, commits, version))

    def begin_end(
        self, transactional_id: str, identity: Identity, then: ThenAnswer, *, commits: bool, version: int
    ) -> None:
        """The same with a callback, at once or later."""
        self._questions.begin(transactional_id, self._ends(identity, commits, version), then)

    def _ends(self, identity: Identity, commits: bool, version: int) -> Decide:
        def decide(transaction: Transaction, spare_id: int | None) -> Verdict:
            now_ms = self._clock.now_ms()
            if version >= EPOCH_BUMP_VERSION:
                return ending.end_raising(transaction, identity, now_ms, commits=commits, spare_id=spare_id)
            return ending.end(transaction, identity, now_ms, commits=commits)

        return decide

    def describe(self, transactional_id: str) -> Described | ErrorCode:
        """One id as it is now."""
        found = self._questions.find(transactional_id)
        if found is ErrorCode.INVALID_PRODUCER_ID_MAPPING:
            return ErrorCode.TRANSACTIONAL_ID_NOT_FOUND
        if isinstance(found, ErrorCode):
            return found
        transaction = found[1]
        if transaction.pending is TransactionState.DEAD or transaction.is_new:
            return ErrorCode.TRANSACTIONAL_ID_NOT_FOUND
        return Described(transactional_id, transaction.entry.state, transaction.entry)

    def list_error(self) -> ErrorCode:
        """Why the ids of this broker cannot be listed, or NONE."""
        if self.table.closed:
            return ErrorCode.COORDINATOR_NOT_AVAILABLE
        return ErrorCode.COORDINATOR_LOAD_IN_PROGRESS if self.table.is_loading else ErrorCode.NONE

    def list(self, which: ListFilter) -> Iterator[Described | None]:
        """The ids of this broker; None for each that is not listed, so that others get their turns."""
        now_ms = self._clock.now_ms()
        for _, transaction in self.table:
            entry = transaction.entry
            is_there = not transaction.is_new and transaction.pending is not TransactionState.DEAD
            if is_there and which.passes(entry, now_ms):
                yield Described(transaction.transactional_id, entry.state, entry)
            else:
                yield None

    # -- life --------------------

    def start(self) -> None:
        """Begins to read the partitions that are led; ids are served as soon as theirs is read."""
        self.markers.start()
        self._loops = [
            self._tasks.run("transaction-loading", self._leadership.run),
            self._tasks.repeat(
                "transaction-timeouts",
                self.expiry.abort_timed_out,
                every=self._timeout_interval,
                first=self._timeout_interval(),
            ),
            self._tasks.repeat(
                "transactional-id-expiry",
                self.expiry.remove_expired,
                every=self._expiry_interval,
                first=self._expiry_interval(),
            ),
        ]

    def on_partition_led(self, topic: str, partition: int) -> None:
        """See `TopicObserver.on_partition_led`."""
        if topic == TRANSACTION_STATE_TOPIC:
            self._leadership.elected(partition)

    def on_partition_resigned(self, topic: str, partition: int) -> None:
        """See `TopicObserver.on_partition_resigned`."""
        if topic == TRANSACTION_STATE_TOPIC:
            self._leadership.resigned(partition)

    async def on_topic_deleted(self, topic: TopicState) -> None:
        """See `TopicObserver.on_topic_deleted`."""
        if topic.name == TRANSACTION_STATE_TOPIC:
            for partition in range(len(topic.partitions)):
                await self._leadership.deleted(partition)

    def resign(self) -> None:
        """Takes no more requests."""
        self.table.closed = True

    async def close(self) -> None:
        """Ends all tasks; what was to be written is written."""
        self.table.closed = True
        await asyncio.gather(*(loop.stop() for loop in self._loops))
        await self.markers.close()
        await self._changes.close()
        await self._log.close()

    async def ensure_topic(self) -> None:
        """Makes the topic if there is none yet. Raises KafkaError."""
        if TRANSACTION_STATE_TOPIC in self._view.topics:
            return
        config = self._config()
        replication = config.transaction_state_log_replication_factor
        if not (self._is_member and config.layers.is_set("transaction.state.log.replication.factor")):
            # Kafka's default of 3 would leave a single broker without transactions.
            replication = min(replication, len(self._view.broker_ids()))
        try:
            await self._topics.create(
                TRANSACTION_STATE_TOPIC,
                partitions=config.transaction_state_log_num_partitions,
                replication=replication,
                configs={
                    "cleanup.policy": "compact",
                    "compression.type": "uncompressed",
                    "unclean.leader.election.enable": "false",
                    "min.insync.replicas": str(min(config.transaction_state_log_min_isr, replication)),
                    "segment.bytes": str(config.transaction_state_log_segment_bytes),
                },
            )
        except KafkaError as error:
            if error.code is not ErrorCode.TOPIC_ALREADY_EXISTS:
                raise

    # -- inside --------------------

    def _timeout_interval(self) -> float:
        return self._config().transaction_abort_timed_out_transaction_cleanup_interval_ms / 1000

    def _expiry_interval(self) -> float:
        return self._config().transaction_remove_expired_transaction_cleanup_interval_ms / 1000


def _code_of(answer: Granted | Refused) -> ErrorCode:
    return answer.code if isinstance(answer, Refused) else ErrorCode.NONE
