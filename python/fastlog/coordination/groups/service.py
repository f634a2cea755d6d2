"""The coordinator of all groups of this broker: its topic, its start, expiry of offsets, its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from fastlog.coordination.groups.admin import GroupAdmin
from fastlog.coordination.groups.classic.membership import Membership
from fastlog.coordination.groups.commits import Commits
from fastlog.coordination.groups.consumer.service import ConsumerMembership
from fastlog.coordination.groups.consumer.state import ConsumerGroup
from fastlog.coordination.groups.group_log import GroupLog
from fastlog.coordination.groups.leadership import GroupLeadership, MissingTopics
from fastlog.coordination.groups.removal import Removals
from fastlog.coordination.groups.table import GroupTable
from fastlog.coordination.groups.transactional_commits import TransactionalCommits
from fastlog.coordination.topic_names import GROUP_METADATA_TOPIC
from fastlog.errors import ErrorCode, KafkaError

if TYPE_CHECKING:
    from fastlog.base.clock import Clock
    from fastlog.base.tasks import Loop, Supervisor
    from fastlog.config import BrokerConfig
    from fastlog.coordination.cluster_view import ClusterView, TopicState
    from fastlog.coordination.topic_admin import TopicAdmin
    from fastlog.replication.appender import Appender
    from fastlog.replication.replica_manager import ReplicaManager

_LOG: Final = logging.getLogger(__name__)
_MS_PER_MINUTE: Final = 60_000


class GroupService:
    """Made once per broker. `start` when the partitions are led, `resign` first thing of a stop, `close`
    before the logs are closed. `missing_topics`, of a broker in a cluster of many: see `GroupLeadership`."""

    def __init__(
        self,
        *,
        view: ClusterView,
        topics: TopicAdmin,
        replicas: ReplicaManager,
        appender: Appender,
        clock: Clock,
        config: Callable[[], BrokerConfig],
        tasks: Supervisor,
        missing_topics: MissingTopics | None = None,
    ) -> None:
        self._is_member = missing_topics is not None
        self._view = view
        self._topics = topics
        self._config = config
        self._log = GroupLog(replicas=replicas, appender=appender, clock=clock, config=config, tasks=tasks)
        self.table = GroupTable(view=view, replicas=replicas, clock=clock, config=config)
        self.consumer = ConsumerMembership(self.table, self._log, tasks)
        self.membership = Membership(self.table, self.consumer, tasks)
        removals = Removals(self.table, self._log, self.consumer.writer)
        self.commits = Commits(self.table, self._log, removals, tasks)
        self.transactional = TransactionalCommits(self.table, self._log)
        self.admin = GroupAdmin(self.table, removals)
        self._leadership = GroupLeadership(
            view=view,
            replicas=replicas,
            table=self.table,
            log=self._log,
            membership=self.membership,
            consumer=self.consumer,
            removals=removals,
            transactional=self.transactional,
            config=config,
            tasks=tasks,
            missing_topics=missing_topics,
        )
        self._tasks = tasks
        self._loops: list[Loop] = []

    def start(self) -> None:
        """Begins to load the partitions that are led; groups are served as soon as theirs is loaded."""
        self._loops = [
            self._tasks.run("group-loading", self._leadership.run),
            self._tasks.repeat(
                "offset-expiry", self._expire, every=self._expiry_interval, first=self._expiry_interval()
            ),
        ]

    def time_moved(self) -> None:
        """The clock was moved on: what is due by it is done now, as the timers go by another one."""
        for entry in self.table:
            if entry.timer is not None:
                entry.timer.cancel()
                entry.timer = None
                if isinstance(entry.group, ConsumerGroup):
                    self.consumer.on_timer(entry)
                else:
                    self.membership.on_timer(entry)

    def elected(self, partition: int) -> None:
        """This broker leads the partition of `__consumer_offsets`: its groups are loaded."""
        self._leadership.elected(partition)

    def resigned(self, partition: int) -> None:
        """It does not any more, or cannot: its groups are not served."""
        self._leadership.resigned(partition)

    async def deleted(self, partition: int) -> None:
        """The partition is about to be removed. Returns when nothing is appended to it any more."""
        await self._leadership.deleted(partition)

    def on_partition_led(self, topic: str, partition: int) -> None:
        """See `TopicObserver.on_partition_led`."""
        if topic == GROUP_METADATA_TOPIC:
            self.elected(partition)

    def on_partition_resigned(self, topic: str, partition: int) -> None:
        """See `TopicObserver.on_partition_resigned`."""
        if topic == GROUP_METADATA_TOPIC:
            self.resigned(partition)

    async def on_topic_deleted(self, topic: TopicState) -> None:
        """See `TopicObserver.on_topic_deleted`: with a topic go the offsets that are committed for it."""
        if topic.name == GROUP_METADATA_TOPIC:
            for partition in range(len(topic.partitions)):
                await self.deleted(partition)
        else:
            await self.commits.forget_topic(topic.name)

    def resign(self) -> None:
        """Takes no more requests, and answers those that wait."""
        self.membership.resign()
        self.table.closed = True

    async def close(self) -> None:
        """Ends all tasks; what was to be written is written."""
        await asyncio.gather(*(loop.stop() for loop in self._loops))
        await self._leadership.close()
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
                replication=self._replication(config),
                configs={
                    "cleanup.policy": "compact",
                    "compression.type": "producer",
                    "segment.bytes": str(config.offsets_topic_segment_bytes),
                },
            )
        except KafkaError as error:
            if error.code is not ErrorCode.TOPIC_ALREADY_EXISTS:
                raise

    def _replication(self, config: BrokerConfig) -> int:
        """Replicas of the topic. What is set in a cluster is kept to: the topic waits for enough brokers.

        Kafka's default of 3 would leave a single broker without groups.
        """
        wanted = config.offsets_topic_replication_factor
        if self._is_member and config.layers.is_set("offsets.topic.replication.factor"):
            return wanted
        return min(wanted, len(self._view.broker_ids()))

    def _expiry_interval(self) -> float:
        return self._config().offsets_retention_check_interval_ms / 1000

    async def _expire(self) -> None:
        count = await self.commits.expire(self._config().offsets_retention_minutes * _MS_PER_MINUTE)
        if count:
            _LOG.info("removed %d expired offsets", count)
