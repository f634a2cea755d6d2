"""DescribeGroups (15): state, protocol and members of groups. Versions 0 to 5.

A group that does not exist is in state Dead, without an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.errors import ErrorCode
from fastlog.server.authorized_operations import GROUP_OPERATIONS
from fastlog.server.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.group_admin import (
    DescribedGroup,
    DescribedGroupMember,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
)

if TYPE_CHECKING:
    from fastlog.coordination.groups.admin import GroupDescription
    from fastlog.coordination.groups.members import Member
    from fastlog.server.context import RequestContext


@handles(ApiKey.DESCRIBE_GROUPS)
def handle(ctx: RequestContext, request: DescribeGroupsRequest) -> DescribeGroupsResponse:
    """One description for each group."""
    admin = ctx.broker.groups.admin
    groups = [_described(admin.describe(group_id)) for group_id in request.groups]
    if request.include_authorized_operations:
        for group in groups:
            if group.error_code == ErrorCode.NONE:
                group.authorized_operations = GROUP_OPERATIONS
    return DescribeGroupsResponse(groups=groups)


def _described(group: GroupDescription) -> DescribedGroup:
    return DescribedGroup(
        error_code=int(group.error),
        group_id=group.group_id,
        group_state=group.state,
        protocol_type=group.protocol_type,
        protocol_data=group.protocol,
        members=[_member(member, group.protocol) for member in group.members],
    )


def _member(member: Member, protocol: str) -> DescribedGroupMember:
    return DescribedGroupMember(
        member_id=member.member_id,
        group_instance_id=member.instance_id,
        client_id=member.client_id,
        client_host=member.client_host,
        member_metadata=member.metadata(protocol) if protocol else b"",
        member_assignment=member.assignment if protocol else b"",
    )
