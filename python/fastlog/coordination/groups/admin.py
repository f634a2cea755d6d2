"""Groups as administrators see them: describe, list, delete."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.coordination.groups.classic.members import Member
from fastlog.coordination.groups.classic.state import GroupState
from fastlog.coordination.groups.consumer.state import ConsumerGroup
from fastlog.errors import ErrorCode, KafkaError

if TYPE_CHECKING:
    from fastlog.coordination.groups.removal import Removals
    from fastlog.coordination.groups.table import GroupTable

CLASSIC_TYPE: Final = "classic"
CONSUMER_TYPE: Final = "consumer"


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """One group in brief; `group_type` is as ListGroups version 5 has it."""

    group_id: str
    protocol_type: str
    state: str
    group_type: str = CLASSIC_TYPE


@dataclass(frozen=True, slots=True)
class GroupDescription:
    """One group with its members; metadata is only shown for a chosen protocol (state Stable).

    `why_dead` goes with state Dead.
    """

    error: ErrorCode
    group_id: str
    state: str = ""
    protocol_type: str = ""
    protocol: str = ""
    members: tuple[Member, ...] = ()
    why_dead: str | None = None


class GroupAdmin:
    """What the handlers of DescribeGroups, ListGroups and DeleteGroups call."""

    def __init__(self, table: GroupTable, removals: Removals) -> None:
        self._table = table
        self._removals = removals

    def describe(self, group_id: str) -> GroupDescription:
        """One that does not exist is Dead, without an error."""
        error = self._table.error(group_id, may_be_empty=True)
        if error is not ErrorCode.NONE:
            return GroupDescription(error, group_id)
        entry = self._table.get(group_id)
        if entry is None or isinstance(entry.group, ConsumerGroup) or entry.group.state is GroupState.DEAD:
            # Groups of the other protocol have an API of their own to be described with.
            is_other = entry is not None and entry.group.state is not GroupState.DEAD
            why = f"Group {group_id} " + ("is not a classic group." if is_other else "not found.")
            return GroupDescription(ErrorCode.NONE, group_id, GroupState.DEAD.value, why_dead=why)
        group = entry.group
        stable = group.state is GroupState.STABLE
        return GroupDescription(
            ErrorCode.NONE,
            group_id,
            group.state.value,
            group.protocol_type or "",
            (group.protocol_name or "") if stable else "",
            tuple(group.members),
        )

    def list_error(self) -> ErrorCode:
        """What is wrong with `list`, or NONE: while groups are loaded only a part of them is listed."""
        if self._table.closed:
            return ErrorCode.COORDINATOR_NOT_AVAILABLE
        return ErrorCode.COORDINATOR_LOAD_IN_PROGRESS if self._table.loading else ErrorCode.NONE

    def list(self, states: Collection[str] = (), types: Collection[str] = ()) -> Iterator[GroupSummary]:
        """The groups that there are at the first step. Empty filters let all through; case is ignored."""
        wanted_states = {state.lower() for state in states}
        wanted_types = {name.lower() for name in types}
        for entry in () if self._table.closed else self._table:
            group = entry.group
            state = group.state.value
            group_type = CONSUMER_TYPE if isinstance(group, ConsumerGroup) else CLASSIC_TYPE
            if (not wanted_states or state.lower() in wanted_states) and (
                not wanted_types or group_type in wanted_types
            ):
                yield GroupSummary(group.group_id, group.protocol_type or "", state, group_type)

    def consumer_group(self, group_id: str) -> ConsumerGroup:
        """A group of the consumer protocol. Raises KafkaError: GROUP_ID_NOT_FOUND and others."""
        error = self._table.error(group_id)
        if error is not ErrorCode.NONE:
            raise KafkaError(error)
        entry = self._table.get(group_id)
        if entry is None:
            raise KafkaError(ErrorCode.GROUP_ID_NOT_FOUND, f"Group {group_id} not found.")
        if not isinstance(entry.group, ConsumerGroup):
            raise KafkaError(ErrorCode.GROUP_ID_NOT_FOUND, f"Group {group_id} is not a consumer group.")
        return entry.group

    async def delete(self, group_id: str) -> ErrorCode:
        """Removes a group that has no members, with its offsets."""
        error = self._table.error(group_id, may_be_empty=True)
        if error is not ErrorCode.NONE:
            return error
        entry = self._table.get(group_id)
        if entry is None or entry.group.state is GroupState.DEAD:
            return ErrorCode.GROUP_ID_NOT_FOUND
        if entry.group.state is not GroupState.EMPTY:
            return ErrorCode.NON_EMPTY_GROUP
        try:
            await self._removals.delete(entry)
        except KafkaError as error_of_log:
            return error_of_log.code
        return ErrorCode.NONE
