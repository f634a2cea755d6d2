"""What goes into a group's state machine and what comes out of it, as plain data.

A request that has to wait is known to the machine by its `ticket`, a number that the caller chose. Whatever
happens, each ticket is answered exactly once by an effect.

What each request makes is a named tuple: made in half of the time that a frozen dataclass takes.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple, TypeAlias

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


class JoinResult(NamedTuple):
    """The answer to a JoinGroup request."""

    error: ErrorCode
    member_id: str
    generation: int = NO_GENERATION
    protocol_type: str | None = None
    protocol_name: str | None = None
    leader: str = ""
    skip_assignment: bool = False
    members: tuple[JoinedMember, ...] = ()


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


class SyncAnswer(NamedTuple):
    """Effect: a waiting SyncGroup request is answered."""

    ticket: int
    result: SyncResult


@dataclass(frozen=True, slots=True)
class StoredMember:
    """A member as it is persisted; `subscription` is its metadata for the chosen protocol."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    rebalance_timeout_ms: int
    session_timeout_ms: int
    subscription: bytes
    assignment: bytes


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


Effect: TypeAlias = JoinAnswer | SyncAnswer | Store
