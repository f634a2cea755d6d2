"""ListGroups (16): the groups of this broker. Versions 0 to 5; by state from 4 on, by type from 5 on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.server.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.group_admin import ListedGroup, ListGroupsRequest, ListGroupsResponse

if TYPE_CHECKING:
    from fastlog.server.context import RequestContext


@handles(ApiKey.LIST_GROUPS)
def handle(ctx: RequestContext, request: ListGroupsRequest) -> ListGroupsResponse:
    """Those that the filters let through."""
    error, groups = ctx.broker.groups.admin.list(request.states_filter, request.types_filter)
    return ListGroupsResponse(
        error_code=int(error),
        groups=[
            ListedGroup(group.group_id, group.protocol_type, group.state, group.group_type)
            for group in groups
        ],
    )
