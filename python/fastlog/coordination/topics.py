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

from fastlog.coordination.changes import SerialChanges
from fastlog.coordination.cluster_view import ClusterView, TopicState
from fastlog.coordination.config_ops import apply_ops
from fastlog.coordination.lifecycle import ConfigOp, ConfigRules, PartitionLifecycle, TopicPolicy
from fastlog.coordination.store import ANY_VERSION, MetadataStore, StoreError, TopicRecord
from fastlog.coordination.topic_plan import (
    DEFAULT,
    Assignments,
    TopicDefaults,
    check_new_name,
    plan_more_partitions,
    plan_topic,
    topic_state,
)
from fastlog.errors import ErrorCode, FastlogError, KafkaError
from fastlog.native import FastlogNativeError
from fastlog.storage.tasks import in_parallel
from fastlog.storage.uuids import format_uuid, random_uuid

_LOG: Final = logging.getLogger(__name__)
_PARALLEL_PARTITIONS: Final = 16
# What a disk may answer, as the layers below raise it.
_FAILURES: Final = (FastlogError, FastlogNativeError, OSError)


class TopicService:
    """The one writer of topic metadata on this broker. All methods raise KafkaError for the client to see."""

    def __init__(
        self,
        store: MetadataStore,
        view: ClusterView,
        *,
        node_id: int,
        defaults: TopicDefaults,
        rules: ConfigRules,
        lifecycle: PartitionLifecycle,
        policy: TopicPolicy | None = None,
    ) -> None:
        self._store = store
        self._view = view
        self._node_id = node_id
        self._defaults = defaults
        self._rules = rules
        self._lifecycle = lifecycle
        self._policy = policy
        self._records: dict[str, TopicRecord] = {}
        # Partitions whose log is there, but which could not be led yet.
        self._unled: set[tuple[str, int]] = set()
        self._changes = SerialChanges()

    def restore(self, records: Mapping[str, TopicRecord]) -> None:
        """Takes over the stored records at start-up and shows what is complete (see `finish_changes`)."""
        self._records = dict(records)
        self._view.set_topics(
            {
                name: topic_state(record, record.materialised)
                for name, record in records.items()
                if record.materialised and not record.deleting
            }
        )

    async def lead(self, can_serve: Callable[[str, int], bool]) -> None:
        """Hands the visible partitions of this broker that can be served over to whoever serves them.

        One that meets an obstacle does not stop the others; `finish_changes` tries it again.
        """
        mine = [
            (topic.name, number)
            for topic in self._view.topics.values()
            for number, partition in enumerate(topic.partitions)
            if self._node_id in partition.replicas and can_serve(topic.name, number)
        ]
        await in_parallel(_PARALLEL_PARTITIONS, mine, lambda key: self._lead(*key))

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

        async def change() -> TopicState:
            check_new_name(name, self._records)
            record = plan_topic(
                name,
                random_uuid(),
                self._view.broker_ids(),
                self._defaults,
                partitions=partitions,
                replication=replication,
                assignments=assignments,
                configs=configs,
                start=len(self._records),
            )
            self._rules.check_topic(record.configs)
            state = topic_state(record)
            if self._policy is not None:
                self._policy.check_create(state)
            if validate_only:
                return state
            await self._create(record)
            return self._view.topics[name]

        return await self._changes.run(change)

    async def delete(self, topic: str | bytes) -> TopicState:
        """Deletes a topic by name or id; its directories are renamed now and removed later.

        Errors: UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID, KAFKA_STORAGE_ERROR.
        """

        async def change() -> TopicState:
            state = self._find(topic)
            self._records[state.name] = await self._store.mark_deleting(
                state.name, self._records[state.name].version
            )
            self._view.remove_topic(state.name)
            await self._finish_deletion(state.name)
            return state

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

        async def change() -> TopicState:
            visible = self._find(name)
            record = self._records[name]
            unfinished = len(record.partitions) > len(visible.partitions)
            if not (unfinished and total == len(record.partitions)):
                # An earlier request may have failed after it was stored: the same total resumes it.
                added = plan_more_partitions(record.partitions, total, self._view.broker_ids(), assignments)
                if validate_only:
                    return topic_state(replace(record, partitions=(*record.partitions, *added)))
                record = await self._store.add_partitions(name, added, record.version)
                self._records[name] = record
            elif validate_only:
                return topic_state(record)
            await self._materialise(record, len(visible.partitions))
            return self._view.topics[name]

        return await self._changes.run(change)

    async def alter_configs(
        self, name: str, ops: Sequence[ConfigOp], validate_only: bool = False
    ) -> TopicState:
        """Changes some of a topic's overrides (IncrementalAlterConfigs).

        Errors: UNKNOWN_TOPIC_OR_PARTITION, INVALID_CONFIG, INVALID_REQUEST, KAFKA_STORAGE_ERROR.
        """

        async def change() -> TopicState:
            current = self._find(name)
            return await self._set_configs(name, apply_ops(current.configs, ops, self._rules), validate_only)

        return await self._changes.run(change)

    async def replace_configs(
        self, name: str, configs: Mapping[str, str], validate_only: bool = False
    ) -> TopicState:
        """Sets all of a topic's overrides (the older AlterConfigs). Errors as `alter_configs`."""

        async def change() -> TopicState:
            self._find(name)
            return await self._set_configs(name, dict(configs), validate_only)

        return await self._changes.run(change)

    async def alter_broker_configs(
        self, node_id: int | None, ops: Sequence[ConfigOp], validate_only: bool = False
    ) -> dict[str, str]:
        """Changes run-time overrides of one broker, or (None) of all. Returns those then in force."""

        async def change() -> dict[str, str]:
            current = self._view.snapshot.broker_configs.get(node_id, {})
            return await self._set_broker_configs(
                node_id, apply_ops(current, ops, self._rules), validate_only
            )

        return await self._changes.run(change)

    async def replace_broker_configs(
        self, node_id: int | None, configs: Mapping[str, str], validate_only: bool = False
    ) -> dict[str, str]:
        """Sets all run-time overrides of one broker, or (None) of all."""
        return await self._changes.run(
            lambda: self._set_broker_configs(node_id, dict(configs), validate_only)
        )

    async def alter_group_configs(
        self, group_id: str, ops: Sequence[ConfigOp], validate_only: bool = False
    ) -> dict[str, str]:
        """Changes some of a group's overrides, and returns those then in force. The group need not exist.

        Errors: INVALID_CONFIG, INVALID_REQUEST, KAFKA_STORAGE_ERROR.
        """

        async def change() -> dict[str, str]:
            current = self._view.snapshot.group_configs.get(group_id, {})
            return await self._set_group_configs(
                group_id, apply_ops(current, ops, self._rules), validate_only
            )

        return await self._changes.run(change)

    async def replace_group_configs(
        self, group_id: str, configs: Mapping[str, str], validate_only: bool = False
    ) -> dict[str, str]:
        """Sets all of a group's overrides (the older AlterConfigs). Errors as `alter_group_configs`."""
        return await self._changes.run(
            lambda: self._set_group_configs(group_id, dict(configs), validate_only)
        )

    async def finish_changes(self) -> int:
        """Carries on with creations, deletions and leaderships that a crash or an obstacle left unfinished.

        Returns how many still are; those are tried again from time to time.
        """

        async def change() -> int:
            for record in [record for record in self._records.values() if _unfinished(record)]:
                if record.deleting:
                    await self._finish_deletion(record.name)
                    continue
                try:
                    await self._materialise(record, record.materialised)
                except KafkaError as error:
                    _LOG.warning("topic %s is not complete: %s", record.name, error)
            for name, number in sorted(self._unled):
                await self._lead(name, number)
            return sum(_unfinished(record) for record in self._records.values()) + len(self._unled)

        unfinished = await self._changes.run(change)
        if unfinished:
            self._changes.retry_later(self.finish_changes)
        return unfinished

    async def close(self) -> None:
        """Waits for changes that are under way."""
        await self._changes.close()

    def _find(self, topic: str | bytes) -> TopicState:
        if isinstance(topic, bytes):
            state = self._view.topic_by_id(topic)
            if state is None:
                raise KafkaError(ErrorCode.UNKNOWN_TOPIC_ID, "no topic has this id")
            return state
        state = self._view.topics.get(topic)
        if state is None:
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"topic '{topic}' does not exist")
        return state

    async def _create(self, record: TopicRecord) -> None:
        record = await self._store.create_topic(record)
        self._records[record.name] = record
        try:
            await self._materialise(record, 0)
        except KafkaError:
            # The client is told that there is no such topic, so there must not be one later either.
            self._records[record.name] = replace(record, deleting=True)
            await self._finish_deletion(record.name)
            raise
        _LOG.info(
            "created topic %s (id %s) with %d partitions",
            record.name,
            format_uuid(record.topic_id),
            len(record.partitions),
        )

    async def _materialise(self, record: TopicRecord, first: int) -> None:
        """Makes the partitions from `first` on, notes that they are there, and shows them."""
        state = topic_state(record)
        mine = [
            number
            for number, partition in enumerate(record.partitions)
            if number >= first and self._node_id in partition.replicas
        ]
        try:
            await in_parallel(
                _PARALLEL_PARTITIONS,
                mine,
                lambda number: self._lifecycle.on_partition_created(state, number),
            )
        except KafkaError:
            raise
        except _FAILURES as error:
            raise KafkaError(
                ErrorCode.KAFKA_STORAGE_ERROR, f"topic '{record.name}' cannot be stored: {error}"
            ) from error
        try:
            record = await self._store.set_materialised(record.name, len(record.partitions), record.version)
        except StoreError as error:
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, str(error)) from error
        self._records[record.name] = record
        self._view.put_topic(state)

    async def _finish_deletion(self, name: str) -> None:
        """Removes what is left of a topic. An obstacle is logged, and met again by `finish_deletions`."""
        record = self._records[name]
        try:
            # A creation that was undone is only marked in memory so far.
            record = await self._store.mark_deleting(name, ANY_VERSION)
            self._records[name] = record
            await in_parallel(
                _PARALLEL_PARTITIONS,
                [n for n, partition in enumerate(record.partitions) if self._node_id in partition.replicas],
                lambda number: self._lifecycle.on_partition_deleted(name, record.topic_id, number),
            )
            await self._store.delete_topic(name)
        except _FAILURES as error:
            _LOG.warning("deletion of topic %s is not finished, it will be tried again: %s", name, error)
            self._changes.retry_later(self.finish_changes)
            return
        del self._records[name]
        _LOG.info("deleted topic %s (id %s)", name, format_uuid(record.topic_id))

    async def _lead(self, name: str, number: int) -> None:
        self._unled.discard((name, number))
        topic = self._view.topics.get(name)
        if topic is None or number >= len(topic.partitions):
            return
        try:
            await self._lifecycle.on_partition_created(topic, number)
        except _FAILURES as error:
            self._unled.add((name, number))
            _LOG.warning("%s-%d cannot be served yet, it will be tried again: %s", name, number, error)

    async def _set_configs(self, name: str, configs: dict[str, str], validate_only: bool) -> TopicState:
        self._rules.check_topic(configs)
        record = self._records[name]
        visible = len(self._view.topics[name].partitions)
        if validate_only:
            return topic_state(replace(record, configs=configs), visible)
        record = await self._store.set_topic_configs(name, configs, record.version)
        self._records[name] = record
        state = topic_state(record, visible)
        self._view.put_topic(state)
        await self._lifecycle.on_config_changed(state)
        return state

    async def _set_broker_configs(
        self, node_id: int | None, configs: dict[str, str], validate_only: bool
    ) -> dict[str, str]:
        self._rules.check_broker(node_id, configs)
        if validate_only:
            return configs
        await self._store.set_broker_configs(node_id, configs)
        overrides = {**self._view.snapshot.broker_configs, node_id: configs}
        self._view.set_broker_configs({key: values for key, values in overrides.items() if values})
        await self._lifecycle.on_broker_config_changed(node_id, configs)
        return configs

    async def _set_group_configs(
        self, group_id: str, configs: dict[str, str], validate_only: bool
    ) -> dict[str, str]:
        self._rules.check_group(configs)
        if not validate_only:
            await self._store.set_group_configs(group_id, configs)
            overrides = {**self._view.snapshot.group_configs, group_id: configs}
            self._view.set_group_configs({key: values for key, values in overrides.items() if values})
        return configs


def _unfinished(record: TopicRecord) -> bool:
    return record.deleting or record.materialised < len(record.partitions)
