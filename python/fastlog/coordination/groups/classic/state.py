"""One classic group: its state, who may do what in it, heartbeats and members that leave.

| state               | members                        | leaves it when                                   |
|---------------------|--------------------------------|--------------------------------------------------|
| Empty               | none; offsets may remain       | somebody joins                                   |
| PreparingRebalance  | their JoinGroup requests wait  | all have joined, or the rebalance timeout passes |
| CompletingRebalance | have a generation, wait for it | the leader's assignment is stored                |
| Stable              | have their assignments         | somebody joins anew, leaves or fails             |
| Dead                | none                           | never                                            |

Nothing here does I/O or asks for the time. `effects` collects what is to be done; `next_deadline` says when
`rebalance.on_time` wants to be called. The behaviour is that of Kafka 3.9's `GroupCoordinator`.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from enum import Enum

from fastlog.coordination.groups.classic.members import Member, MemberTable
from fastlog.coordination.groups.results import (
    Effect,
    GroupLimits,
    JoinAnswer,
    JoinResult,
    Now,
    Store,
    StoredGroup,
    StoreReason,
    SyncAnswer,
    SyncResult,
)
from fastlog.coordination.groups.weight import GROUP_BYTES, Weighed, given_weight
from fastlog.errors import ErrorCode

CONSUMER = "consumer"
"""The protocol type whose metadata names the topics that a member subscribes to."""


class GroupState(Enum):
    """The states, with the names that Kafka shows."""

    EMPTY = "Empty"
    PREPARING_REBALANCE = "PreparingRebalance"
    COMPLETING_REBALANCE = "CompletingRebalance"
    ASSIGNING = "Assigning"
    """Of the consumer protocol only, as is the next one: see `consumer.state`."""
    RECONCILING = "Reconciling"
    STABLE = "Stable"
    DEAD = "Dead"


class Group:
    """One group. Functions of this package change it; the fields are public for them alone."""

    def __init__(self, group_id: str, limits: GroupLimits, now: Now) -> None:
        self.group_id = group_id
        self._own_weight = GROUP_BYTES + len(group_id)
        self.limits = limits
        self.state = GroupState.EMPTY
        self.state_timestamp_ms: int = now.wall_ms
        self.generation = 0
        self.protocol_type: str | None = None
        self.protocol_name: str | None = None
        self.members = MemberTable()
        self.pending: Weighed[str, float] = Weighed(given_weight)
        """Ids that were given out but have not joined yet, and until when they are kept."""
        self.pending_sync: set[str] = set()
        """Members of this generation that have not sent SyncGroup yet."""
        self.join_deadline: float | None = None
        self.initial_wait_ms: int | None = None
        """What is left of the rebalance timeout while a new group waits for more members."""
        self.member_added = False
        self.sync_deadline: float | None = None
        self.effects: list[Effect] = []

    @classmethod
    def load(cls, group_id: str, limits: GroupLimits, stored: StoredGroup, now: Now) -> Group:
        """A group as the log has it. Its members have one session timeout from now to show up."""
        group = cls(group_id, limits, now)
        group.state_timestamp_ms = stored.state_timestamp_ms
        group.generation = stored.generation
        group.protocol_type = stored.protocol_type or None
        group.protocol_name = stored.protocol_name
        for item in stored.members:
            group.members.add(
                Member(
                    member_id=item.member_id,
                    instance_id=item.instance_id,
                    client_id=item.client_id,
                    client_host=item.client_host,
                    session_timeout_ms=item.session_timeout_ms,
                    rebalance_timeout_ms=item.rebalance_timeout_ms,
                    protocols=((stored.protocol_name or "", item.subscription),),
                    assignment=item.assignment,
                    deadline=now.monotonic + item.session_timeout_ms / 1000,
                )
            )
        if stored.members:
            group.state = GroupState.STABLE
            if stored.leader is not None and stored.leader in group.members:
                group.members.leader = stored.leader
        return group

    # -- questions --------------------

    @property
    def weight(self) -> int:
        """Bytes of memory that it is reckoned with."""
        return self._own_weight + self.members.weight + self.pending.weight

    def supports(self, protocol_type: str, names: Collection[str]) -> bool:
        """Whether somebody with these protocols can be a member."""
        if self.state is GroupState.EMPTY or not len(self.members):
            return bool(protocol_type) and bool(names)
        return protocol_type == self.protocol_type and self.members.all_support_one_of(names)

    def identity_error(self, member_id: str, instance_id: str | None) -> ErrorCode:
        """UNKNOWN_MEMBER_ID or FENCED_INSTANCE_ID, or NONE for a member of this group."""
        if instance_id is not None:
            current = self.members.static_id(instance_id)
            if current is None:
                return ErrorCode.UNKNOWN_MEMBER_ID
            if current != member_id:
                return ErrorCode.FENCED_INSTANCE_ID
        return ErrorCode.NONE if member_id in self.members else ErrorCode.UNKNOWN_MEMBER_ID

    def request_error(self, member_id: str, instance_id: str | None, generation: int) -> ErrorCode:
        """The same for a request that names a generation."""
        if self.state is GroupState.DEAD:
            return ErrorCode.COORDINATOR_NOT_AVAILABLE
        error = self.identity_error(member_id, instance_id)
        if error is ErrorCode.NONE and generation != self.generation:
            return ErrorCode.ILLEGAL_GENERATION
        return error

    def next_deadline(self) -> float | None:
        """When `rebalance.on_time` may have something to do, on the monotonic clock.

        Not before; perhaps it has nothing to do yet, as members showed signs of life meanwhile.
        """
        deadline = self.members.soonest
        join, sync = self.join_deadline, self.sync_deadline
        if join is not None and join < deadline:
            deadline = join
        if sync is not None and sync < deadline:
            deadline = sync
        return deadline if deadline < math.inf else None

    # -- requests that are answered at once --------------------

    def heartbeat(self, member_id: str, instance_id: str | None, generation: int, now: Now) -> ErrorCode:
        """A sign of life."""
        error = self.request_error(member_id, instance_id, generation)
        member = self.members.get(member_id)
        if error is not ErrorCode.NONE or member is None:
            return error
        if self.state is GroupState.EMPTY:
            return ErrorCode.UNKNOWN_MEMBER_ID
        self.extend(member, now)
        if self.state is GroupState.PREPARING_REBALANCE:
            return ErrorCode.REBALANCE_IN_PROGRESS
        return ErrorCode.NONE

    def commit_error(self, member_id: str, instance_id: str | None, generation: int, now: Now) -> ErrorCode:
        """Whether an offset commit may go on; it counts as a sign of life.

        A commit from outside of the group (generation -1 and no member id) is only for a group without
        members.
        """
        if self.state is GroupState.DEAD:
            return ErrorCode.COORDINATOR_NOT_AVAILABLE
        if self.state is GroupState.EMPTY and generation < 0:
            return ErrorCode.NONE
        if generation < 0 and not member_id and instance_id is None:
            return ErrorCode.UNKNOWN_MEMBER_ID
        error = self.request_error(member_id, instance_id, generation)
        member = self.members.get(member_id)
        if error is not ErrorCode.NONE or member is None:
            return error
        if self.state is GroupState.COMPLETING_REBALANCE:
            return ErrorCode.REBALANCE_IN_PROGRESS
        self.extend(member, now)
        return ErrorCode.NONE

    def transactional_commit_error(
        self, member_id: str, instance_id: str | None, generation: int
    ) -> ErrorCode:
        """The same for a commit in a transaction, which is no sign of life (Kafka:
        `validateOffsetCommit`). Whoever names nothing of itself may: clients before version 3."""
        if self.state is GroupState.DEAD:
            return ErrorCode.COORDINATOR_NOT_AVAILABLE
        if generation < 0 and (self.state is GroupState.EMPTY or (not member_id and instance_id is None)):
            return ErrorCode.NONE
        return self.request_error(member_id, instance_id, generation)

    # -- steps that the other files share --------------------

    def become(self, state: GroupState, now: Now) -> None:
        """Moves to another state."""
        self.state = state
        self.state_timestamp_ms = now.wall_ms

    def extend(self, member: Member, now: Now) -> None:
        """The member is alive: its session starts anew."""
        self.members.set_deadline(member, now.monotonic + member.session_timeout_ms / 1000)

    def give_out(self, member_id: str, deadline: float) -> None:
        """Somebody was told to join under this id, and is waited for until then."""
        self.pending[member_id] = deadline
        self.members.expect(deadline)

    def joined_members(self, member_id: str) -> JoinResult:
        """What a member of the current generation is told; only the leader gets the list of members."""
        leads = self.members.leader == member_id
        return JoinResult(
            error=ErrorCode.NONE,
            member_id=member_id,
            generation=self.generation,
            protocol_type=self.protocol_type,
            protocol_name=self.protocol_name,
            leader=self.members.leader or "",
            members=self.members.joined(self.protocol_name) if leads else (),
        )

    def answer_join(self, member: Member, result: JoinResult) -> None:
        """Answers the JoinGroup request of a member, if one waits."""
        ticket = self.members.end_wait(member)
        if ticket is not None:
            self.effects.append(JoinAnswer(ticket, result))

    def answer_sync(self, member: Member, result: SyncResult) -> bool:
        """Answers the SyncGroup request of a member, if one waits; whether one did."""
        if member.sync_ticket is None:
            return False
        self.effects.append(SyncAnswer(member.sync_ticket, result))
        member.sync_ticket = None
        return True

    def fail_sync(self, error: ErrorCode, now: Now) -> None:
        """Nobody gets an assignment in this generation."""
        for member in self.members:
            self.members.assign(member, b"")
            if self.answer_sync(member, SyncResult(error)):
                self.extend(member, now)

    def stored(self, assignments: dict[str, bytes] | None = None) -> StoredGroup:
        """The group as it is persisted, with `assignments` or those that members have."""
        return StoredGroup(
            protocol_type=self.protocol_type or "",
            generation=self.generation,
            protocol_name=self.protocol_name,
            leader=self.members.leader,
            state_timestamp_ms=self.state_timestamp_ms,
            members=tuple(
                member.stored(
                    self.protocol_name,
                    member.assignment if assignments is None else assignments.get(member.member_id, b""),
                )
                for member in self.members
            ),
        )

    def store_empty(self) -> None:
        """Asks for the group to be persisted without members."""
        self.effects.append(Store(StoreReason.EMPTY, self.generation, self.stored()))

    def revive(self, state_timestamp_ms: int) -> None:
        """It could not be deleted: it is as empty as it was since then."""
        self.state = GroupState.EMPTY
        self.state_timestamp_ms = state_timestamp_ms

    def resign(self, now: Now) -> None:
        """This broker coordinates the group no more: who waits is told so."""
        for member in self.members:
            self.answer_join(member, JoinResult(ErrorCode.NOT_COORDINATOR, member.member_id))
            self.answer_sync(member, SyncResult(ErrorCode.NOT_COORDINATOR))
        self.become(GroupState.DEAD, now)

    def take_effects(self) -> list[Effect]:
        """What is to be done, once."""
        effects, self.effects = self.effects, []
        return effects
