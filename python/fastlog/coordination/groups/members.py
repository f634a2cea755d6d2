"""The members of one group: who leads, which protocols all of them support, who is static (KIP-345)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from fastlog.coordination.groups.results import JoinedMember, JoinRequest, Protocols, StoredMember


@dataclass(slots=True)
class Member:
    """One member. `join_ticket` and `sync_ticket` are its requests that wait, if any."""

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
        return next((metadata for name, metadata in self.protocols if name == protocol), b"")

    def joined(self, protocol: str | None) -> JoinedMember:
        """The member as the leader is told of it."""
        return JoinedMember(self.member_id, self.instance_id, self.metadata(protocol))

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
    """Members in the order in which they came."""

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._static: dict[str, str] = {}
        self.leader: str | None = None

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
        if member.instance_id is not None:
            self._static[member.instance_id] = member.member_id
        if self.leader is None:
            self.leader = member.member_id

    def remove(self, member_id: str) -> Member | None:
        """Removes a member; if it led, the oldest of the others leads."""
        member = self._members.pop(member_id, None)
        if member is None:
            return None
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
        return all(member.join_ticket is not None for member in self._members.values())

    def waiting_to_join(self) -> int:
        """How many members' JoinGroup requests wait."""
        return sum(member.join_ticket is not None for member in self._members.values())

    def rebalance_timeout_ms(self) -> int:
        """The longest of all members."""
        return max((member.rebalance_timeout_ms for member in self._members.values()), default=0)

    def common_protocols(self) -> set[str]:
        """Protocols that all members support."""
        members = iter(self._members.values())
        first = next(members, None)
        if first is None:
            return set()
        common = {name for name, _ in first.protocols}
        for member in members:
            common.intersection_update(name for name, _ in member.protocols)
        return common

    def select_protocol(self) -> str:
        """Each member votes for the first of its protocols that all support; most votes win.

        Raises ValueError when there is none, which joining rules out.
        """
        common = self.common_protocols()
        votes: Counter[str] = Counter()
        for member in self._members.values():
            votes.update([next(name for name, _ in member.protocols if name in common)] if common else [])
        if not votes:
            raise ValueError("the members have no protocol in common")
        return votes.most_common(1)[0][0]
