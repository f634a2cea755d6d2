"""The coordinator of all groups of this broker: its topic, its start, expiry of offsets, its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from fastlog.coordination.groups import rebalance
from fastlog.coordination.groups.admin import GroupAdmin
from fastlog.coordination.groups.commits import Commits
from fastlog.coordination.groups.group_log import GroupLog
from fastlog.coordination.groups.loading import LoadedPartition, load_partition
from fastlog.coordination.groups.membership import Membership
from fastlog.coordination.groups.modern.service import ConsumerMembership
from fastlog.coordination.groups.modern.state import ConsumerGroup
from fastlog.coordination.groups.offsets import GroupOffsets
from fastlog.coordination.groups.state import Group
from fastlog.coordination.groups.table import GroupEntry, GroupTable
from fastlog.coordination.topic_names import GROUP_METADATA_TOPIC
from fastlog.errors import ErrorCode, FastlogError, KafkaError
from fastlog.native import FastlogNativeError

if TYPE_CHECKING:
    from fastlog.clock import Clock
    from fastlog.config import BrokerConfig
    from fastlog.coordination.cluster_view import ClusterView
    from fastlog.coordination.topics import TopicService
    from fastlog.replication.committer import GroupCommitter
    from fastlog.replication.manager import ReplicaManager
    from fastlog.replication.purgatory import Purgatory

_LOG: Final = logging.getLogger(__name__)
_MS_PER_MINUTE: Final = 60_000
_GROUPS_PER_TURN: Final = 64


class GroupService:
    """Made once per broker. `start` when the partitions are led, `resign` first thing of a stop, `close`
    before the logs are closed."""

    def __init__(
        self,
        *,
        view: ClusterView,
        topics: TopicService,
        replicas: ReplicaManager,
        purgatory: Purgatory,
        committer: GroupCommitter,
        clock: Clock,
        config: Callable[[], BrokerConfig],
    ) -> None:
        self._view = view
        self._topics = topics
        self._replicas = replicas
        self._config = config
        self._log = GroupLog(
            replicas=replicas, purgatory=purgatory, committer=committer, clock=clock, config=config
        )
        self.table = GroupTable(view=view, replicas=replicas, clock=clock, config=config)
        self.consumer = ConsumerMembership(self.table, self._log)
        self.membership = Membership(self.table, self._log, self.consumer)
        self.commits = Commits(self.table, self._log)
        self.admin = GroupAdmin(self.table, self.commits)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begins to load what is stored; groups are served as soon as their partition is loaded."""
        topic = self._view.topics.get(GROUP_METADATA_TOPIC)
        self.table.loading.update(range(len(topic.partitions)) if topic is not None else ())
        self._tasks = [
            asyncio.create_task(self._load_all(), name="fastlog-groups-loading"),
            asyncio.create_task(self._expire_forever(), name="fastlog-groups-expiry"),
        ]

    def resign(self) -> None:
        """Takes no more requests, and answers those that wait."""
        self.membership.resign()
        self.table.closed = True

    async def close(self) -> None:
        """Ends all tasks; what was to be written is written."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.consumer.close()
        await self._log.close()
        await self.membership.close()

    async def ensure_topic(self) -> None:
        """Makes the topic if there is none yet. Raises KafkaError."""
        if GROUP_METADATA_TOPIC in self._view.topics:
            return
        config = self._config()
        try:
            await self._topics.create(
                GROUP_METADATA_TOPIC,
                partitions=config.offsets_topic_num_partitions,
                # Kafka's default of 3 would leave a single broker without groups.
                replication=min(config.offsets_topic_replication_factor, len(self._view.broker_ids())),
                configs={
                    "cleanup.policy": "compact",
                    "compression.type": "producer",
                    "segment.bytes": str(config.offsets_topic_segment_bytes),
                },
            )
        except KafkaError as error:
            if error.code is not ErrorCode.TOPIC_ALREADY_EXISTS:
                raise

    async def _load_all(self) -> None:
        for partition in sorted(self.table.loading):
            replica = self._replicas.get(GROUP_METADATA_TOPIC, partition)
            if replica is not None:
                try:
                    loaded = await asyncio.to_thread(
                        load_partition,
                        replica.log,
                        replica.log.log_end_offset,
                        self._config().offsets_load_buffer_size,
                    )
                    await self._adopt(partition, loaded)
                except (FastlogError, FastlogNativeError, OSError) as error:
                    self.table.failed.add(partition)
                    _LOG.error("groups of %s-%d cannot be loaded: %s", *replica.key, error)
                except Exception:  # noqa: BLE001 - a defect: the other groups are served all the same
                    self.table.failed.add(partition)
                    _LOG.exception("groups of %s-%d cannot be loaded", *replica.key)
            self.table.loading.discard(partition)
        count = await self.commits.forget_missing_topics(self._view.topics)
        if count:
            _LOG.info("removed %d offsets of topics that do not exist any more", count)

    async def _adopt(self, partition: int, loaded: LoadedPartition) -> None:
        for index, group_id in enumerate(loaded.group_ids()):
            if not index % _GROUPS_PER_TURN:
                # Other work of the event loop gets a turn; requests about these groups are not served yet.
                await asyncio.sleep(0)
                limits, now = self.table.limits(), self.table.now()
            consumer = loaded.consumers.get(group_id)
            if consumer is not None:
                restored = ConsumerGroup.load(group_id, self.table.consumer_limits(group_id), consumer, now)
                entry = GroupEntry(restored, partition, GroupOffsets(loaded.offsets.get(group_id)))
                self.table.put(entry)
                self.consumer.settle(entry, restored)
                continue
            stored = loaded.groups.get(group_id)
            group = (
                Group(group_id, limits, now) if stored is None else Group.load(group_id, limits, stored, now)
            )
            if len(group.members) > limits.max_size:
                # The limit was lowered: a rebalance lets members commit before some are turned away.
                rebalance.prepare(group, now)
            entry = GroupEntry(group, partition, GroupOffsets(loaded.offsets.get(group_id)))
            self.table.put(entry)
            self.membership.settle(entry)
        if loaded.records:
            _LOG.info(
                "loaded %d groups from %d records of %s-%d",
                *(len(loaded.group_ids()), loaded.records, GROUP_METADATA_TOPIC, partition),
            )
        if loaded.skipped:
            _LOG.warning(
                "%d records of %s-%d are of no known kind", loaded.skipped, GROUP_METADATA_TOPIC, partition
            )

    async def _expire_forever(self) -> None:
        while True:
            config = self._config()
            await asyncio.sleep(config.offsets_retention_check_interval_ms / 1000)
            count = await self.commits.expire(config.offsets_retention_minutes * _MS_PER_MINUTE)
            if count:
                _LOG.info("removed %d expired offsets", count)
