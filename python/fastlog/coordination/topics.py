"""Changes to topics and to run-time configs: checked, made durable, then made visible, one at a time.

Creation: the record is stored, partition directories are made, the record is completed, the topic is seen.
A crash between two steps leaves a record that the next start completes. Deletion: the record is marked, the
topic is out of sight, directories are renamed, the record goes. A crash in between leaves the mark, and the
next start carries on. A request that is cancelled while it waits does not stop a change half way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from fastlog.base.tasks import Guard
from fastlog.base.uuids import format_uuid
from fastlog.base.wording import counted
from fastlog.coordination.cluster_view import ClusterView, TopicState
from fastlog.coordination.config_changes import StoredConfigChanges, unknown_topic
from fastlog.coordination.lifecycle import BrokerConfigs, ConfigRules, TopicObserver, TopicPolicy
from fastlog.coordination.serial_changes import SerialChanges
from fastlog.coordination.store import MetadataStore, PartitionRecord, StoreError, TopicRecord
from fastlog.coordination.topic_plan import (
    DEFAULT,
    Assignments,
    MorePartitions,
    NewTopic,
    TopicDefaults,
    plan_more_partitions,
    plan_topics,
    topic_state,
)
from fastlog.coordination.topic_records import TopicRecords
from fastlog.coordination.topic_removal import remove_topics
from fastlog.errors import ErrorCode, FastlogError, KafkaError
from fastlog.replication.reconciler import Outcome, Reconciler

_LOG: Final = logging.getLogger(__name__)
NOBODY_ELSE: Final = 0.0


class TopicService(StoredConfigChanges):
    """The one writer of topic metadata on this broker. All methods raise KafkaError for the client to see."""

    def __init__(
        self,
        store: MetadataStore,
        view: ClusterView,
        *,
        reconciler: Reconciler[TopicState],
        broker_configs: BrokerConfigs,
        defaults: TopicDefaults,
        rules: ConfigRules,
        policy: TopicPolicy | None = None,
        guard: Guard | None = None,
    ) -> None:
        super().__init__(store, view, rules, reconciler, broker_configs, SerialChanges(guard))
        self._defaults = defaults
        self._policy = policy
        self._observer: TopicObserver | None = None

    def observe(self, observer: TopicObserver) -> None:
        """Tells `observer` what becomes of topics from now on."""
        self._observer = observer

    async def start(self, records: Mapping[str, TopicRecord], can_serve: Callable[[str, int], bool]) -> None:
        """Takes over the stored records, shows what is complete, and has those of its partitions served here
        that can be (see `finish_changes` for the rest)."""
        self._records = TopicRecords(records)
        self._view.set_topics(
            {
                name: topic_state(record, record.materialised)
                for name, record in records.items()
                if record.materialised and not record.deleting
            }
        )
        outcome = await self._reconciler.start(self._view.snapshot.topics, can_serve)
        self._report(outcome)
        self._tell_led(outcome)

    async def create(
        self,
        name: str,
        partitions: int = DEFAULT,
        replication: int = DEFAULT,
        assignments: Assignments | None = None,
        configs: Mapping[str, str | None] | None = None,
        validate_only: bool = False,
    ) -> TopicState:
        """Makes a topic and its partitions here. Returns it as it is (or would be) visible.

        Errors: INVALID_TOPIC_EXCEPTION, TOPIC_ALREADY_EXISTS, INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR,
        INVALID_REPLICA_ASSIGNMENT, INVALID_CONFIG, INVALID_REQUEST, POLICY_VIOLATION, KAFKA_STORAGE_ERROR.
        """
        topic = NewTopic(name, partitions, replication, assignments, configs)
        (outcome,) = await self.create_all([topic], validate_only)
        if isinstance(outcome, KafkaError):
            raise outcome
        return outcome

    async def create_asked_for(self, topics: Sequence[NewTopic]) -> list[TopicState | KafkaError]:
        """See `TopicAdmin.create_asked_for`."""
        return await self.create_all(topics)

    async def create_all(
        self,
        topics: Sequence[NewTopic],
        validate_only: bool = False,
        seconds: float = NOBODY_ELSE,
    ) -> list[TopicState | KafkaError]:
        """The same for several topics in one change, each on its own merits, with an outcome for each.

        What is stored and what is seen is rewritten once for all of them, not for each. They should not be so
        many that other changes wait for long. `seconds` is of no meaning: no other broker has a part in it.
        """

        async def change() -> list[TopicState | KafkaError]:
            planned = plan_topics(
                topics, self._records, self._view.broker_ids(), self._defaults, self._rules, self._policy
            )
            records = {topic.name: topic for topic in planned if isinstance(topic, TopicRecord)}
            failed = {} if validate_only else await self._create(records)
            outcomes: list[TopicState | KafkaError] = []
            for topic in planned:
                if isinstance(topic, KafkaError):
                    outcomes.append(topic)
                elif validate_only:
                    outcomes.append(topic_state(topic))
                else:
                    outcomes.append(failed.get(topic.name) or self._view.topics[topic.name])
            return outcomes

        return await self._changes.run(change)

    async def delete(self, topic: str | bytes) -> TopicState:
        """Deletes a topic by name or id; its directories are renamed now and removed later.

        Errors: UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID, KAFKA_STORAGE_ERROR.
        """
        (outcome,) = await self.delete_all([topic])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def delete_all(
        self, topics: Sequence[str | bytes], seconds: float = NOBODY_ELSE
    ) -> list[TopicState | Exception]:
        """The same for several topics in one change, each on its own merits, with an outcome for each.

        They should not be so many that other changes wait for long. Raises KafkaError when nothing could be
        stored: all of the topics are there then.
        """

        async def change() -> list[TopicState | Exception]:
            outcomes: list[TopicState | Exception] = []
            states: dict[str, TopicState] = {}
            for topic in topics:
                try:
                    state = self._find(topic)
                    if state.name in states:
                        raise unknown_topic(topic)
                except KafkaError as error:
                    outcomes.append(error)
                    continue
                states[state.name] = state
                outcomes.append(state)
            marked = await self._store.mark_deleting([self._records[name] for name in states])
            self._records.update((record.name, record) for record in marked)
            self._view.remove_topics(states)
            failed = await self._finish_deletions(marked)
            return [
                failed.get(outcome.name, outcome) if isinstance(outcome, TopicState) else outcome
                for outcome in outcomes
            ]

        return await self._changes.run(change)

    async def create_partitions(
        self,
        name: str,
        total: int,
        assignments: Sequence[Sequence[int]] | None = None,
        validate_only: bool = False,
    ) -> TopicState:
        """Grows a topic to `total` partitions.

        Errors: UNKNOWN_TOPIC_OR_PARTITION, INVALID_PARTITIONS, INVALID_REPLICA_ASSIGNMENT,
        INVALID_REPLICATION_FACTOR, POLICY_VIOLATION, KAFKA_STORAGE_ERROR.
        """

        wanted = MorePartitions(name, total, assignments)
        (outcome,) = await self.create_more_partitions([wanted], validate_only)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def create_more_partitions(
        self, wanted: Sequence[MorePartitions], validate_only: bool = False, seconds: float = NOBODY_ELSE
    ) -> list[TopicState | Exception]:
        """The same for several topics, none of which stands twice, in one change: see `create_all`.

        Raises KafkaError when nothing could be stored.
        """

        async def change() -> list[TopicState | Exception]:
            planned: list[TopicRecord | Exception] = []
            for item in wanted:
                try:
                    planned.append(self._plan_growth(item))
                except Exception as error:  # noqa: BLE001 - it is the topic's own
                    planned.append(error)
            records = {record.name: record for record in planned if isinstance(record, TopicRecord)}
            if validate_only:
                return [topic_state(item) if isinstance(item, TopicRecord) else item for item in planned]
            failed = await self._grow(records)
            return [
                failed.get(item.name) or self._view.topics[item.name]
                if isinstance(item, TopicRecord)
                else item
                for item in planned
            ]

        return await self._changes.run(change)

    async def finish_changes(self) -> int:
        """Carries on with creations, deletions and leaderships that a crash or an obstacle left unfinished.

        Returns how many still are; those are tried again from time to time.
        """

        async def change() -> int:
            unfinished = [record for record in self._records.values() if _unfinished(record)]
            deleting = [record for record in unfinished if record.deleting]
            if deleting:
                await self._finish_deletions(deleting)
            for record in unfinished:
                if record.deleting:
                    continue
                try:
                    await self._complete(record)
                except KafkaError as error:
                    _LOG.warning("topic %s is not complete: %s", record.name, error)
            waiting = {*self._reconciler.behind, *self._reconciler.owed}
            records = {name: self._records.get(name) for name in waiting}
            complete = [name for name, record in records.items() if record is None or not _unfinished(record)]
            outcome = await self._reconciler.retry(complete, each_on_its_own=True)
            self._report(outcome)
            self._tell_led(outcome)
            return sum(_unfinished(record) for record in self._records.values()) + len(outcome.failed)

        left = await self._changes.run(change)
        if left:
            self._changes.retry_later(self.finish_changes)
        return left

    async def close(self) -> None:
        """Waits for changes that are under way."""
        await self._changes.close()

    def _plan_growth(self, wanted: MorePartitions) -> TopicRecord:
        """The record as it is to be, not stored yet. Raises KafkaError."""
        visible = self._find(wanted.name)
        record = self._records[wanted.name]
        unfinished = len(record.partitions) > len(visible.partitions)
        if unfinished and wanted.total == len(record.partitions):
            # An earlier request may have failed after it was stored: the same total resumes it.
            return record
        brokers = self._view.broker_ids()
        added = plan_more_partitions(record.partitions, wanted.total, brokers, wanted.assignments)
        return replace(record, partitions=(*record.partitions, *added))

    async def _grow(self, planned: Mapping[str, TopicRecord]) -> dict[str, KafkaError]:
        """Stores and makes partitions. Returns of which topics some are not there yet."""
        added: dict[str, tuple[int, Sequence[PartitionRecord]]] = {}
        for name, record in planned.items():
            before = self._records[name]
            if len(record.partitions) > len(before.partitions):
                added[name] = before.version, record.partitions[len(before.partitions) :]
        grown = await self._store.add_partitions(added)
        self._records.update((record.name, record) for record in grown)
        failed = await self._materialise({name: self._records[name] for name in planned})
        if failed:
            # They are stored: a start would finish them, too.
            self._changes.retry_later(self.finish_changes)
        return failed

    async def _create(self, planned: Mapping[str, TopicRecord]) -> dict[str, KafkaError]:
        """Stores and makes topics. Returns why some of them could not be had."""
        records = {record.name: record for record in await self._store.create_topics([*planned.values()])}
        self._records.update(records)
        failed = await self._materialise(records)
        if failed:
            # The client is told that there is no such topic, so there must not be one later either.
            undone = [replace(records[name], deleting=True) for name in failed]
            self._records.update((record.name, record) for record in undone)
            await self._finish_deletions(undone)
        for record in records.values():
            if record.name not in failed:
                _LOG.info(
                    "created topic %s (id %s) with %s",
                    record.name,
                    format_uuid(record.topic_id),
                    counted(len(record.partitions), "partition"),
                )
        return failed

    async def _materialise(self, records: Mapping[str, TopicRecord]) -> dict[str, KafkaError]:
        """Has this broker's partitions made, notes that they are there, and shows the topics.

        Returns why topics are not complete.
        """
        states = {name: topic_state(record) for name, record in records.items()}
        # An earlier attempt may have left some behind.
        again = await self._reconciler.retry(states)
        made = await self._reconciler.apply(self._reconciler.view.updated(states))
        failed = {
            name: _storage_error(name, error)
            for name, error in (made.failed_topics | again.failed_topics).items()
        }
        try:
            completed = await self._store.complete_topics(
                [record for name, record in records.items() if name not in failed]
            )
        except StoreError as error:
            return {name: failed.get(name) or _storage_error(name, error) for name in records}
        self._records.update((record.name, record) for record in completed)
        if completed:
            self._view.put_topics([states[record.name] for record in completed])
        self._tell_led(again)
        self._tell_led(made)
        return failed

    async def _complete(self, record: TopicRecord) -> None:
        """The same for one topic; raises KafkaError."""
        failed = await self._materialise({record.name: record})
        if failed:
            raise failed[record.name]

    def _tell_led(self, outcome: Outcome) -> None:
        if self._observer is None:
            return
        for name, number in outcome.led:
            topic = self._view.topics.get(name)
            if topic is not None and number < len(topic.partitions):
                self._observer.on_partition_led(name, number)

    @staticmethod
    def _report(outcome: Outcome) -> None:
        for (name, number), error in sorted(outcome.failed.items()):
            _LOG.warning("%s-%d cannot be served yet, it will be tried again: %s", name, number, error)

    async def _finish_deletions(self, records: Sequence[TopicRecord]) -> dict[str, Exception]:
        """Removes what is left of topics. An obstacle is logged, and met again by `finish_changes`.

        Returns what the observer met: until it has done its part there is no other topic of that name.
        """
        failed: dict[str, Exception] = {}
        for record in records:
            try:
                if self._observer is not None:
                    await self._observer.on_topic_deleted(topic_state(record))
            except FastlogError as obstacle:
                # As Kafka says it: the deletion is decided, and goes on.
                failed[record.name] = KafkaError(
                    ErrorCode.REQUEST_TIMED_OUT,
                    f"the topic is being deleted, which waits for: {obstacle}",
                )
            except Exception as defect:  # noqa: BLE001 - it is the topic's own, and the deletion is decided
                failed[record.name] = defect
        told = [record for record in records if record.name not in failed]
        left = failed | await remove_topics(self._store, self._reconciler, told)
        for record in records:
            if record.name in left:
                error = left[record.name]
                _LOG.warning(
                    "deletion of topic %s is not finished, it will be tried again: %s", record.name, error
                )
            else:
                del self._records[record.name]
                _LOG.info("deleted topic %s (id %s)", record.name, format_uuid(record.topic_id))
        if left:
            self._changes.retry_later(self.finish_changes)
        return failed


def _storage_error(topic: str, error: Exception) -> KafkaError:
    if isinstance(error, KafkaError):
        return error
    return KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, f"topic '{topic}' cannot be stored: {error}")


def _unfinished(record: TopicRecord) -> bool:
    return record.deleting or record.materialised < len(record.partitions)
