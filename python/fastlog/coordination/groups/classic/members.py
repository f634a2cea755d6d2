"""The members of one group: who leads, which protocols all of them support, who is static (KIP-345)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.coordination.groups.results import (
    JoinedMember,
    JoinedMembers,
    JoinRequest,
    Protocols,
    StoredMember,
    metadata_of,
)
from fastlog.coordination.groups.subscribed_names import named_topics
from fastlog.coordination.groups.weight import member_weight

_FEW: Final = 64


@dataclass(slots=True)
class Member:
    """One member. `join_ticket` and `sync_ticket` are its requests that wait, if any.

    Of a member of a `MemberTable`, that table sets `join_ticket`, `protocols`, `topics` and `deadline`.
    """

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocols: Protocols
    assignment: bytes = b""
    join_ticket: int | None = None
    sync_ticket: int | None = None
    is_new: bool = False
    """It never got a generation: while it waits it cannot send heartbeats, so its deadline counts."""
    deadline: float | None = None
    """Monotonic seconds at which it counts as failed. None while a wait stands for its heartbeats."""
    weight: int = 0
    """Bytes, as its table counts them."""
    topics: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """What it subscribes to by protocol, where that is known and it is a consumer."""

    @classmethod
    def of(cls, request: JoinRequest, member_id: str) -> Member:
        """A new member."""
        return cls(
            member_id=member_id,
            instance_id=request.instance_id,
            client_id=request.client_id,
            client_host=request.client_host,
            session_timeout_ms=request.session_timeout_ms,
            rebalance_timeout_ms=request.rebalance_timeout_ms,
            protocols=request.protocols,
            is_new=True,
        )

    def metadata(self, protocol: str | None) -> bytes:
        """What the member says for `protocol`; empty when it does not support it."""
        return metadata_of(self.protocols, protocol)

    def stored(self, protocol: str | None, assignment: bytes) -> StoredMember:
        """The member as it is persisted."""
        return StoredMember(
            self.member_id,
            self.instance_id,
            self.client_id,
            self.client_host,
            self.rebalance_timeout_ms,
            self.session_timeout_ms,
            self.metadata(protocol),
            assignment,
        )


class MemberTable:
    """Members in the order in which they came.

    What each request asks of all members is kept up to date instead of counted again: a rebalance costs time
    linear to the number of members.
    """

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._static: dict[str, str] = {}
        self._waiting = 0
        self._supporters: Counter[str] = Counter()
        """How many members support each protocol."""
        self.leader: str | None = None
        self.weight = 0
        """Bytes of all members."""
        self.soonest = math.inf
        """No deadline is earlier; it may be that none is so early any more. See `find_soonest`."""

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, member_id: str) -> bool:
        return member_id in self._members

    def __iter__(self) -> Iterator[Member]:
        return iter(list(self._members.values()))

    def get(self, member_id: str) -> Member | None:
        """The member, or None."""
        return self._members.get(member_id)

    def static_id(self, instance_id: str) -> str | None:
        """The member id that an instance has now, or None."""
        return self._static.get(instance_id)

    def add(self, member: Member) -> None:
        """Adds a member; the first one leads."""
        self._members[member.member_id] = member
        self._waiting += member.join_ticket is not None
        self._count(member.protocols, 1)
        member.topics = named_topics(member.protocols)
        self._weigh(member)
        if member.deadline is not None:
            self.expect(member.deadline)
        if member.instance_id is not None:
            self._static[member.instance_id] = member.member_id
        if self.leader is None:
            self.leader = member.member_id

    def remove(self, member_id: str) -> Member | None:
        """Removes a member; if it led, the oldest of the others leads."""
        member = self._members.pop(member_id, None)
        if member is None:
            return None
        self._waiting -= member.join_ticket is not None
        self._count(member.protocols, -1)
        self.weight -= member.weight
        if member.instance_id is not None and self._static.get(member.instance_id) == member_id:
            del self._static[member.instance_id]
        if self.leader == member_id:
            self.leader = next(iter(self._members), None)
        return member

    def rename(self, member: Member, new_member_id: str) -> None:
        """Gives a static member another id, with all that it had."""
        old_member_id = member.member_id
        del self._members[old_member_id]
        member.member_id = new_member_id
        self._members[new_member_id] = member
        if member.instance_id is not None:
            self._static[member.instance_id] = new_member_id
        if self.leader == old_member_id:
            self.leader = new_member_id

    def wait_for_generation(self, member: Member, ticket: int) -> None:
        """The member's JoinGroup request waits. None of it may wait already."""
        member.join_ticket = ticket
        self._waiting += 1

    def end_wait(self, member: Member) -> int | None:
        """The ticket of the member's JoinGroup request, which waits no more, or None."""
        ticket = member.join_ticket
        if ticket is not None:
            member.join_ticket = None
            self._waiting -= 1
        return ticket

    def joined(self, protocol: str | None) -> Sequence[JoinedMember]:
        """All members as the leader is told of them, as they are now."""
        everybody = self._members.values()
        if len(everybody) <= _FEW:
            return [
                JoinedMember(member.member_id, member.instance_id, metadata_of(member.protocols, protocol))
                for member in everybody
            ]
        return JoinedMembers(
            [(member.member_id, member.instance_id, member.protocols) for member in everybody], protocol
        )

    def begin_generation(self, now: float) -> list[tuple[int, str]]:
        """All members are in a generation, with sessions that start now, and their JoinGroup requests wait no
        more: (ticket, member id) of those that did.

        One step, however many there are: no call for each.
        """
        waiting: list[tuple[int, str]] = []
        soonest = self.soonest
        for member in self._members.values():
            if member.join_ticket is not None:
                waiting.append((member.join_ticket, member.member_id))
                member.join_ticket = None
            member.is_new = False
            deadline = member.deadline = now + member.session_timeout_ms / 1000
            if deadline < soonest:
                soonest = deadline
        self.soonest = soonest
        self._waiting = 0
        return waiting

    def give_out(self, assignments: Mapping[str, bytes], now: float) -> list[tuple[int, bytes]]:
        """All members are to own what is theirs of `assignments`, and their SyncGroup requests wait no more:
        (ticket, assignment) of those that did, whose sessions start now. One step, as a generation begins.
        """
        waiting: list[tuple[int, bytes]] = []
        grown, soonest = 0, self.soonest
        for member in self._members.values():
            assignment = assignments.get(member.member_id, b"")
            more = len(assignment) - len(member.assignment)
            member.assignment = assignment
            member.weight += more
            grown += more
            if member.sync_ticket is not None:
                waiting.append((member.sync_ticket, assignment))
                member.sync_ticket = None
                deadline = member.deadline = now + member.session_timeout_ms / 1000
                if deadline < soonest:
                    soonest = deadline
        self.soonest = soonest
        self.weight += grown
        return waiting

    def growth(self, assignments: Mapping[str, bytes]) -> int:
        """By how many bytes all would grow with what is theirs of `assignments`."""
        given, more = assignments.get, 0
        for member_id, member in self._members.items():
            more += len(given(member_id, b"")) - len(member.assignment)
        return more

    def ids(self) -> Collection[str]:
        """The ids of all members."""
        return self._members.keys()

    def set_protocols(self, member: Member, protocols: Protocols) -> None:
        """The member now supports these."""
        if protocols != member.protocols:
            self._count(member.protocols, -1)
            member.protocols = protocols
            member.topics = named_topics(protocols)
            self._count(protocols, 1)
            self._weigh(member)

    def assign(self, member: Member, assignment: bytes) -> None:
        """The member is to own this."""
        more = len(assignment) - len(member.assignment)
        member.assignment = assignment
        member.weight += more
        self.weight += more

    def set_deadline(self, member: Member, deadline: float) -> None:
        """The member counts as failed from then on."""
        member.deadline = deadline
        if deadline < self.soonest:
            self.soonest = deadline

    def expect(self, deadline: float) -> None:
        """`soonest` is to be no later."""
        if deadline < self.soonest:
            self.soonest = deadline

    def find_soonest(self, others: Iterable[float]) -> None:
        """Looks at the deadlines of all members, and `others`. Only this lets `soonest` move on."""
        soonest = min(others, default=math.inf)
        for member in self._members.values():
            if member.deadline is not None and member.deadline < soonest:
                soonest = member.deadline
        self.soonest = soonest

    def elect_joined_leader(self) -> bool:
        """Sees to it that the leader is one that has joined; False when nobody has."""
        leader = self._members.get(self.leader or "")
        if leader is not None and leader.join_ticket is not None:
            return True
        joined = next((member for member in self._members.values() if member.join_ticket is not None), None)
        if joined is None:
            return False
        self.leader = joined.member_id
        return True

    def all_joined(self) -> bool:
        """Whether every member's JoinGroup request waits."""
        return self._waiting == len(self._members)

    def waiting_to_join(self) -> int:
        """How many members' JoinGroup requests wait."""
        return self._waiting

    def rebalance_timeout_ms(self) -> int:
        """The longest of all members."""
        longest = 0
        for member in self._members.values():
            if member.rebalance_timeout_ms > longest:
                longest = member.rebalance_timeout_ms
        return longest

    def common_protocols(self) -> set[str]:
        """Protocols that all members support; none of no members."""
        everybody = len(self._members)
        return {name for name, count in self._supporters.items() if count == everybody}

    def all_support_one_of(self, names: Iterable[str]) -> bool:
        """Whether one of these protocols is common to all members."""
        supporters, everybody = self._supporters, len(self._members)
        return any(supporters.get(name) == everybody for name in names)

    def select_protocol(self) -> str:
        """Each member votes for the first of its protocols that all support; most votes win.

        Raises ValueError when there is none, which joining rules out.
        """
        common = self.common_protocols()
        if not common:
            raise ValueError("the members have no protocol in common")
        if len(common) == 1:
            return common.pop()
        votes = dict.fromkeys(common, 0)
        firsts: dict[str, None] = {}
        for member in self._members.values():
            for name, _ in member.protocols:
                if name in common:
                    votes[name] += 1
                    firsts[name] = None
                    break
        # Of equal ones, that for which somebody voted first.
        return max(firsts, key=votes.__getitem__)

    def _weigh(self, member: Member) -> None:
        names = member.member_id, member.instance_id, member.client_id
        weight = member_weight(names, member.protocols, member.assignment)
        self.weight += weight - member.weight
        member.weight = weight

    def _count(self, protocols: Protocols, step: int) -> None:
        # A protocol counts once even if a member names it twice.
        supporters = self._supporters
        names = {name for name, _ in protocols} if len(protocols) > 1 else [name for name, _ in protocols]
        for name in names:
            count = supporters.get(name, 0) + step
            if count:
                supporters[name] = count
            else:
                del supporters[name]
