"""A member of a group in the protocol of KIP-848: it says what it wants and owns, the coordinator assigns.

The member id is the client's (KIP-1082); partitions come by topic id.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from typing import Final

from fastlog.client.cluster import Cluster
from fastlog.client.consumer.config import ConsumerConfig
from fastlog.client.errors import BrokerError
from fastlog.client.metadata import TopicPartition
from fastlog.client.offset_values import GroupMetadata
from fastlog.errors import ErrorCode
from fastlog.wire.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    TopicPartitions,
)

__all__ = ["HeartbeatMember"]

_FENCED: Final = frozenset({ErrorCode.FENCED_MEMBER_EPOCH, ErrorCode.UNKNOWN_MEMBER_ID})
_LEAVES: Final = -1
_STATIC_LEAVES: Final = -2

Ids = dict[bytes, str]
"""Topics by id."""


class HeartbeatMember:
    """One member."""

    def __init__(self, cluster: Cluster, config: ConsumerConfig) -> None:
        assert config.group_id is not None  # noqa: S101
        self._cluster = cluster
        self._config = config
        self._group: Final = config.group_id
        self.member_id: Final = _new_id()
        self.epoch = 0
        self.interval = config.heartbeat_interval_ms / 1000
        """Seconds between heartbeats; the coordinator says so."""
        self.target: dict[bytes, frozenset[int]] | None = None
        """What the coordinator wants the member to own, by topic id; None before it has said so."""
        self._lost = False
        self._told: object = None

    @property
    def metadata(self) -> GroupMetadata:
        """Who commits."""
        return GroupMetadata(self._group, self.epoch, self.member_id, self._config.group_instance_id)

    def lose(self) -> None:
        """What the member owns is not its own any more."""
        self._lost = True

    def take_lost(self) -> bool:
        """Whether the group went on without this member since the last call: what it owned is not its own."""
        lost, self._lost = self._lost, False
        return lost

    async def heartbeat(self, topics: frozenset[str], owned: frozenset[TopicPartition], ids: Ids) -> None:
        """Says what the member wants and owns, and hears of `target`. Raises ClientError."""
        config = self._config
        state = (topics, owned)
        everything = self.epoch == 0 or state != self._told
        by_name = {name: topic_id for topic_id, name in ids.items()}
        rows: defaultdict[bytes, list[int]] = defaultdict(list)
        for name in sorted(owned):
            rows[by_name[name.topic]].append(name.partition)
        body = ConsumerGroupHeartbeatRequest(
            group_id=self._group, member_id=self.member_id, member_epoch=self.epoch
        )
        if everything:
            body.instance_id = config.group_instance_id
            body.rack_id = config.client_rack or None
            body.rebalance_timeout_ms = config.max_poll_interval_ms
            body.subscribed_topic_names = sorted(topics)
            body.server_assignor = config.group_remote_assignor
            body.topic_partitions = [TopicPartitions(*row) for row in rows.items()] if self.epoch else []
        answer = await self._cluster.coordinator_request(
            self._group,
            body,
            ConsumerGroupHeartbeatResponse,
            timeout_ms=config.session_timeout_ms,
        )
        code = ErrorCode.of(answer.error_code)
        # A coordinator forgets a group when its last member has long been silent, and left no offsets.
        if code in _FENCED or (code is ErrorCode.GROUP_ID_NOT_FOUND and self.epoch > 0):
            self._lost = self.epoch > 0
            self.epoch, self.target, self._told = 0, None, None
            return
        if code is not ErrorCode.NONE:
            text = answer.error_message or f"group {self._group!r}: {code.text}"
            raise BrokerError(code, text, api=body.API, answer=answer)
        self._told = state
        self.epoch = answer.member_epoch
        self.interval = answer.heartbeat_interval_ms / 1000
        if answer.assignment is not None:
            self.target = {
                row.topic_id: frozenset(row.partitions) for row in answer.assignment.topic_partitions
            }

    async def leave(self) -> None:
        """Tells the group; a static member may come back."""
        if self.epoch == 0:
            return
        epoch = _LEAVES if self._config.group_instance_id is None else _STATIC_LEAVES
        body = ConsumerGroupHeartbeatRequest(
            group_id=self._group,
            member_id=self.member_id,
            member_epoch=epoch,
            instance_id=self._config.group_instance_id,
        )
        await self._cluster.coordinator_request(
            self._group, body, ConsumerGroupHeartbeatResponse, timeout_ms=5000
        )
        self.epoch = 0


def _new_id() -> str:
    """A random id in the form that Kafka gives them: 22 letters of URL-safe base64."""
    import base64

    return base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
