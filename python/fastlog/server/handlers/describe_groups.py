"""DescribeGroups (15): state, protocol and members of groups. Versions 0 to 6.

A group that does not exist, or uses the consumer protocol, is in state Dead: without an error up to version
5, with GROUP_ID_NOT_FOUND from 6 on (KIP-1043).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.coordination.groups.classic.state import GroupState
from fastlog.errors import ErrorCode
from fastlog.server.admin.authorized_operations import group_operations
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.group_admin import (
    DescribedGroup,
    DescribedGroupMember,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
)

if TYPE_CHECKING:
    from fastlog.coordination.groups.admin import GroupDescription
    from fastlog.coordination.groups.classic.members import Member
    from fastlog.server.requests.context import RequestContext
    from fastlog.wire import Steps


_NOT_FOUND_FROM: Final = 6


@handles(ApiKey.DESCRIBE_GROUPS)
def handle(ctx: RequestContext, request: DescribeGroupsRequest) -> Steps[DescribeGroupsResponse]:
    """One description for each group."""
    names_missing = ctx.header.api_version >= _NOT_FOUND_FROM
    groups = []
    # One that is named twice is described once: descriptions may be a thousand times longer than names.
    for group_id in dict.fromkeys(request.groups):
        group = yield from _described(ctx.broker.groups.admin.describe(group_id), names_missing)
        if request.include_authorized_operations and group.error_code == ErrorCode.NONE:
            group.authorized_operations = group_operations(ctx, group_id)
        groups.append(group)
        yield
    return DescribeGroupsResponse(groups=groups)


def _described(group: GroupDescription, names_missing: bool) -> Steps[DescribedGroup]:
    is_missing = names_missing and group.state == GroupState.DEAD.value
    described = DescribedGroup(
        error_code=int(ErrorCode.GROUP_ID_NOT_FOUND if is_missing else group.error),
        error_message=group.why_dead if is_missing else None,
        group_id=group.group_id,
        group_state=group.state,
        protocol_type=group.protocol_type,
        protocol_data=group.protocol,
    )
    for member in group.members:
        described.members.append(_member(member, group.protocol))
        yield
    return described


def _member(member: Member, protocol: str) -> DescribedGroupMember:
    return DescribedGroupMember(
        member_id=member.member_id,
        group_instance_id=member.instance_id,
        client_id=member.client_id,
        client_host=member.client_host,
        member_metadata=member.metadata(protocol) if protocol else b"",
        member_assignment=member.assignment if protocol else b"",
    )
