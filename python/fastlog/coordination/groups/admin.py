"""Groups as administrators see them: describe, list, delete."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fastlog.coordination.groups.members import Member
from fastlog.coordination.groups.modern.state import ConsumerGroup
from fastlog.coordination.groups.state import GroupState
from fastlog.errors import ErrorCode, KafkaError

if TYPE_CHECKING:
    from fastlog.coordination.groups.commits import Commits
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

    def __init__(self, table: GroupTable, commits: Commits) -> None:
        self._table = table
        self._commits = commits

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

    def list(
        self, states: Collection[str] = (), types: Collection[str] = ()
    ) -> tuple[ErrorCode, list[GroupSummary]]:
        """(error or NONE, groups). Empty filters let all through; case does not matter."""
        if self._table.closed:
            return ErrorCode.COORDINATOR_NOT_AVAILABLE, []
        error = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS if self._table.loading else ErrorCode.NONE
        wanted_states = {state.lower() for state in states}
        wanted_types = {name.lower() for name in types}
        found = [
            GroupSummary(
                group_id=entry.group.group_id,
                protocol_type=entry.group.protocol_type or "",
                state=entry.group.state.value,
                group_type=CONSUMER_TYPE if isinstance(entry.group, ConsumerGroup) else CLASSIC_TYPE,
            )
            for entry in self._table
        ]
        return error, [
            group
            for group in found
            if (not wanted_states or group.state.lower() in wanted_states)
            and (not wanted_types or group.group_type in wanted_types)
        ]

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

    async def delete(self, group_ids: Iterable[str]) -> dict[str, ErrorCode]:
        """Removes groups that have no members, with their offsets. One code for each."""
        return {group_id: await self._delete(group_id) for group_id in dict.fromkeys(group_ids)}

    async def _delete(self, group_id: str) -> ErrorCode:
        error = self._table.error(group_id, may_be_empty=True)
        if error is not ErrorCode.NONE:
            return error
        entry = self._table.get(group_id)
        if entry is None or entry.group.state is GroupState.DEAD:
            return ErrorCode.GROUP_ID_NOT_FOUND
        if entry.group.state is not GroupState.EMPTY:
            return ErrorCode.NON_EMPTY_GROUP
        if isinstance(entry.group, ConsumerGroup):
            entry.group.die()
        else:
            entry.group.become(GroupState.DEAD, self._table.now())
        try:
            await self._commits.forget(entry, entry.offsets.touched())
        except KafkaError as error_of_log:
            return error_of_log.code
        return ErrorCode.NONE
