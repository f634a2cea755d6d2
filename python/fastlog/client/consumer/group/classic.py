"""A member of a group in the classic protocol: JoinGroup, SyncGroup, Heartbeat, LeaveGroup.

The member that the coordinator makes the leader assigns partitions to all of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NoReturn

from fastlog.client.cluster import Cluster
from fastlog.client.consumer.config import ConsumerConfig
from fastlog.client.consumer.group.assignors import ASSIGNORS, COOPERATIVE
from fastlog.client.consumer.group.messages import (
    Subscription,
    decode_assignment,
    decode_subscription,
    encode_assignment,
    encode_subscription,
)
from fastlog.client.deadline import Deadline
from fastlog.client.errors import BadResponse, BrokerError, ClientError
from fastlog.client.metadata import TopicPartition
from fastlog.client.offset_values import GroupMetadata
from fastlog.errors import ErrorCode
from fastlog.wire import ApiKey, Response
from fastlog.wire.messages.groups import (
    HeartbeatRequest,
    HeartbeatResponse,
    JoinGroupRequest,
    JoinGroupRequestProtocol,
    JoinGroupResponse,
    LeaveGroupRequest,
    LeaveGroupResponse,
    SyncGroupRequest,
    SyncGroupRequestAssignment,
    SyncGroupResponse,
)

__all__ = ["ClassicMember"]

_LANE: Final = "join"
_TYPE: Final = "consumer"
_ONE_LEAVES_UNTIL: Final = 2
"""Last version of LeaveGroup for a single member."""
_AGAIN: Final = frozenset(
    {
        ErrorCode.UNKNOWN_MEMBER_ID,
        ErrorCode.ILLEGAL_GENERATION,
        ErrorCode.REBALANCE_IN_PROGRESS,
        ErrorCode.MEMBER_ID_REQUIRED,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    }
)
_LOST: Final = frozenset({ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.ILLEGAL_GENERATION})

CountPartitions = Callable[[set[str]], Awaitable[Mapping[str, int]]]


class ClassicMember:
    """One member. `counts` tells how many partitions topics have."""

    def __init__(self, cluster: Cluster, config: ConsumerConfig, counts: CountPartitions) -> None:
        assert config.group_id is not None  # noqa: S101
        self._cluster = cluster
        self._config = config
        self._counts = counts
        self._group: Final = config.group_id
        self._assignors: Final = config.assignors
        self.is_cooperative: Final = all(name in COOPERATIVE for name in self._assignors)
        """Whether the member keeps what it owns while it joins again."""
        self.member_id = ""
        self.generation = -1
        self.leads_topics: Mapping[str, int] | None = None
        """Of the leader: the topics that members want, and how many partitions they had, 0 of none."""
        self._lost = False

    @property
    def metadata(self) -> GroupMetadata:
        """Who commits."""
        return GroupMetadata(self._group, self.generation, self.member_id, self._config.group_instance_id)

    def lose(self) -> None:
        """What the member owns is not its own any more."""
        self._lost = True

    def take_lost(self) -> bool:
        """Whether the group went on without this member since the last call: what it owned is not its own."""
        lost, self._lost = self._lost, False
        return lost

    async def join(self, topics: frozenset[str], owned: frozenset[TopicPartition]) -> set[TopicPartition]:
        """Takes part in a rebalance: what this member shall own. Raises ClientError when it cannot."""
        deadline = Deadline.after(self._config.max_poll_interval_ms / 1000 + 60)
        while True:
            if self.generation < 0:
                owned = frozenset()
            joined = await self._join(topics, owned, deadline)
            if joined is not None:
                assignments = await self._assign(joined, topics)
                found = await self._sync(joined, assignments, deadline)
                if found is not None:
                    return found
            if not await deadline.pause():
                raise ClientError(
                    ErrorCode.REBALANCE_IN_PROGRESS, f"group {self._group!r}: no end of joining"
                )

    async def heartbeat(self) -> bool:
        """A sign of life; False when the member has to join again. Raises ClientError."""
        body = HeartbeatRequest(self._group, self.generation, self.member_id, self._config.group_instance_id)
        answer = await self._cluster.coordinator_request(
            self._group, body, HeartbeatResponse, timeout_ms=self._config.session_timeout_ms
        )
        return self._goes_on(ErrorCode.of(answer.error_code), answer)

    async def leave(self) -> None:
        """Tells the group; a static member stays until its session ends."""
        if not self.member_id or self._config.group_instance_id is not None:
            return
        body = LeaveGroupRequest(self._group, self.member_id)
        await self._cluster.coordinator_request(
            self._group, body, LeaveGroupResponse, highest=_ONE_LEAVES_UNTIL, timeout_ms=5000
        )
        self.member_id, self.generation = "", -1

    def forget(self) -> None:
        """The next join is that of a new member."""
        self.member_id, self.generation = "", -1

    # -- inside --------------------

    async def _join(
        self, topics: frozenset[str], owned: frozenset[TopicPartition], deadline: Deadline
    ) -> JoinGroupResponse | None:
        config = self._config
        subscription = Subscription(tuple(sorted(topics)), owned, self.generation, config.client_rack or None)
        body = JoinGroupRequest(
            group_id=self._group,
            session_timeout_ms=config.session_timeout_ms,
            rebalance_timeout_ms=config.max_poll_interval_ms,
            member_id=self.member_id,
            group_instance_id=config.group_instance_id,
            protocol_type=_TYPE,
            protocols=[
                JoinGroupRequestProtocol(name, encode_subscription(subscription, name))
                for name in self._assignors
            ],
        )
        answer = await self._cluster.coordinator_request(
            self._group,
            body,
            JoinGroupResponse,
            lowest=5 if config.group_instance_id is not None else 0,
            lane=_LANE,
            timeout_ms=int(deadline.remaining * 1000),
        )
        code = ErrorCode.of(answer.error_code)
        if code is ErrorCode.MEMBER_ID_REQUIRED:
            self.member_id = answer.member_id
        if not self._goes_on(code, answer):
            return None
        if answer.protocol_name not in ASSIGNORS:
            raise BadResponse(f"the group uses {answer.protocol_name!r}", api=body.API, broker=answer.broker)
        self.member_id, self.generation = answer.member_id, answer.generation_id
        return answer

    async def _assign(self, joined: JoinGroupResponse, topics: frozenset[str]) -> dict[str, bytes]:
        self.leads_topics = None
        if joined.leader != joined.member_id:
            return {}
        name = joined.protocol_name or ""
        members: dict[str, Subscription] = {}
        for row in joined.members:
            try:
                members[row.member_id] = decode_subscription(row.metadata, name, row.group_instance_id)
            except ValueError as error:
                text = f"member {row.member_id!r} sent a subscription that cannot be read: {error}"
                raise BadResponse(text, api=ApiKey.JOIN_GROUP, broker=joined.broker) from error
        wanted = {topic for member in members.values() for topic in member.topics} | topics
        counts = await self._counts(wanted)
        # Those that do not exist, too: they may come.
        self.leads_topics = {topic: counts.get(topic, 0) for topic in wanted}
        if joined.skip_assignment:
            return {}
        found = ASSIGNORS[name](members, counts)
        return {member: encode_assignment(names) for member, names in found.items()}

    async def _sync(
        self, joined: JoinGroupResponse, assignments: dict[str, bytes], deadline: Deadline
    ) -> set[TopicPartition] | None:
        body = SyncGroupRequest(
            group_id=self._group,
            generation_id=self.generation,
            member_id=self.member_id,
            group_instance_id=self._config.group_instance_id,
            protocol_type=_TYPE,
            protocol_name=joined.protocol_name,
            assignments=[SyncGroupRequestAssignment(*row) for row in assignments.items()],
        )
        answer = await self._cluster.coordinator_request(
            self._group,
            body,
            SyncGroupResponse,
            lane=_LANE,
            timeout_ms=int(deadline.remaining * 1000),
        )
        if not self._goes_on(ErrorCode.of(answer.error_code), answer):
            return None
        try:
            return decode_assignment(answer.assignment)
        except ValueError as error:
            text = f"the assignment cannot be read: {error}"
            raise BadResponse(text, api=body.API, broker=answer.broker) from error

    def _goes_on(self, code: ErrorCode, answer: Response) -> bool:
        """Whether an answer is a success; False: join (again). Raises what no new join helps against."""
        if code is ErrorCode.NONE:
            return True
        if code not in _AGAIN and not code.retriable:
            self._raise(code, answer)
        if code in _LOST:
            self._lost = self._lost or self.generation >= 0
            self.generation = -1
            if code is ErrorCode.UNKNOWN_MEMBER_ID:
                self.member_id = ""
        return False

    def _raise(self, code: ErrorCode, answer: Response) -> NoReturn:
        text = f"group {self._group!r}: {code.text}"
        raise BrokerError(code, text, api=answer.API, answer=answer)
