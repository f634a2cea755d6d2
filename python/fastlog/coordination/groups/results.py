"""What goes into a group's state machine and what comes out of it, as plain data.

A request that has to wait is known to the machine by its `ticket`, a number that the caller chose. Whatever
happens, each ticket is answered exactly once by an effect.

What each request makes is a named tuple: made in half of the time that a frozen dataclass takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Final, NamedTuple, TypeAlias, overload

from fastlog.base.quick_dataclass import dataclass
from fastlog.errors import ErrorCode

NO_GENERATION: Final = -1
UNKNOWN_MEMBER: Final = ""
"""The member id of somebody who has none yet."""

Protocols: TypeAlias = tuple[tuple[str, bytes], ...]
"""(name, metadata) of the assignment protocols of a member, in its order of preference."""


@dataclass(frozen=True, slots=True)
class GroupLimits:
    """What the configuration says about members (`group.*` keys)."""

    initial_rebalance_delay_ms: int = 3000
    min_session_timeout_ms: int = 6000
    max_session_timeout_ms: int = 1_800_000
    max_size: int = 2**31 - 1


class Now(NamedTuple):
    """One moment on both clocks: `monotonic` in seconds for deadlines, `wall_ms` for what is stored."""

    monotonic: float
    wall_ms: int


class JoinRequest(NamedTuple):
    """A JoinGroup request. `requires_known_id`: version 4 and later (KIP-394); `can_skip`: 9 and later."""

    ticket: int
    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocol_type: str
    protocols: Protocols
    requires_known_id: bool = False
    can_skip: bool = False
    new_member_id: str = ""
    """The id that the member gets if it has none."""


class SyncRequest(NamedTuple):
    """A SyncGroup request. Protocol type and name are None before version 5: they are not checked then."""

    ticket: int
    member_id: str
    instance_id: str | None
    generation: int
    protocol_type: str | None
    protocol_name: str | None
    assignments: dict[str, bytes]


class JoinedMember(NamedTuple):
    """A member as the leader is told of it."""

    member_id: str
    instance_id: str | None
    metadata: bytes


class JoinedMembers(Sequence[JoinedMember]):
    """The members of a generation as they were when it began. Each is made when it is looked at: there may be
    thousands, and all of them are noted in one step."""

    __slots__ = ("_members", "_protocol")

    def __init__(self, members: Sequence[tuple[str, str | None, Protocols]], protocol: str | None) -> None:
        self._members = members
        self._protocol = protocol

    def __len__(self) -> int:
        return len(self._members)

    @overload
    def __getitem__(self, index: int) -> JoinedMember: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[JoinedMember]: ...

    def __getitem__(self, index: int | slice) -> JoinedMember | Sequence[JoinedMember]:
        if isinstance(index, slice):
            return JoinedMembers(self._members[index], self._protocol)
        member_id, instance_id, protocols = self._members[index]
        return JoinedMember(member_id, instance_id, metadata_of(protocols, self._protocol))

    def __iter__(self) -> Iterator[JoinedMember]:
        protocol = self._protocol
        for member_id, instance_id, protocols in self._members:
            yield JoinedMember(member_id, instance_id, metadata_of(protocols, protocol))


def metadata_of(protocols: Protocols, protocol: str | None) -> bytes:
    """What somebody says for `protocol`; empty when it does not support it."""
    for name, metadata in protocols:
        if name == protocol:
            return metadata
    return b""


class JoinResult(NamedTuple):
    """The answer to a JoinGroup request."""

    error: ErrorCode
    member_id: str
    generation: int = NO_GENERATION
    protocol_type: str | None = None
    protocol_name: str | None = None
    leader: str = ""
    skip_assignment: bool = False
    members: Sequence[JoinedMember] = ()


class SyncResult(NamedTuple):
    """The answer to a SyncGroup request."""

    error: ErrorCode
    protocol_type: str | None = None
    protocol_name: str | None = None
    assignment: bytes = b""


class JoinAnswer(NamedTuple):
    """Effect: a waiting JoinGroup request is answered."""

    ticket: int
    result: JoinResult


class JoinAnswers(NamedTuple):
    """Effect: a generation has begun, and the JoinGroup requests of its members are answered."""

    waiting: Sequence[tuple[int, str]]
    """(ticket, member id)."""
    result: JoinResult
    """What all are told, but for their own ids; the leader alone is told the members."""

    def each(self) -> Iterator[tuple[int, JoinResult]]:
        """(ticket, answer), each of which is made when it is asked for."""
        error, _, generation, protocol_type, protocol_name, leader, _, members = self.result
        for ticket, member_id in self.waiting:
            told = members if member_id == leader else ()
            # By position: names take longer.
            yield (
                ticket,
                JoinResult(error, member_id, generation, protocol_type, protocol_name, leader, False, told),
            )


class SyncAnswer(NamedTuple):
    """Effect: a waiting SyncGroup request is answered."""

    ticket: int
    result: SyncResult


class StoredMember(NamedTuple):
    """A member as it is persisted; `subscription` is its metadata for the chosen protocol."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    rebalance_timeout_ms: int
    session_timeout_ms: int
    subscription: bytes
    assignment: bytes


class SyncAnswers(NamedTuple):
    """Effect: an assignment is stored, and the SyncGroup requests of its members are answered."""

    waiting: Sequence[tuple[int, bytes]]
    """(ticket, the member's assignment)."""
    protocol_type: str | None
    protocol_name: str | None

    def each(self) -> Iterator[tuple[int, SyncResult]]:
        """(ticket, answer), each of which is made when it is asked for."""
        for ticket, assignment in self.waiting:
            yield ticket, SyncResult(ErrorCode.NONE, self.protocol_type, self.protocol_name, assignment)


@dataclass(frozen=True, slots=True)
class StoredGroup:
    """A group as it is persisted. `state_timestamp_ms` is -1 in records of old brokers."""

    protocol_type: str
    generation: int
    protocol_name: str | None
    leader: str | None
    state_timestamp_ms: int
    members: tuple[StoredMember, ...]


class StoreReason(Enum):
    """Why a group is persisted."""

    ASSIGNMENT = "the leader brought the assignment"
    REPLACEMENT = "a static member came back under a new id"
    EMPTY = "the last member left"


@dataclass(frozen=True, slots=True)
class Replacement:
    """What a static member was before it came back, to be restored if that cannot be stored."""

    instance_id: str
    old_member_id: str
    new_member_id: str
    old_protocols: Protocols
    old_rebalance_timeout_ms: int
    old_session_timeout_ms: int
    former_leader: str
    can_skip: bool


@dataclass(frozen=True, slots=True)
class Store:
    """Effect: `record` must be written; then `syncing.on_stored` is called with the outcome."""

    reason: StoreReason
    generation: int
    record: StoredGroup
    replacement: Replacement | None = None


Effect: TypeAlias = JoinAnswer | JoinAnswers | SyncAnswer | SyncAnswers | Store
