"""ListGroups (16): the groups of this broker. Versions 0 to 5; by state from 4 on, by type from 5 on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.group_admin import ListedGroup, ListGroupsRequest, ListGroupsResponse

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext
    from fastlog.wire import Steps


@handles(ApiKey.LIST_GROUPS)
def handle(ctx: RequestContext, request: ListGroupsRequest) -> Steps[ListGroupsResponse]:
    """Those that the filters let through."""
    admin = ctx.broker.groups.admin
    response = ListGroupsResponse(error_code=int(admin.list_error()))
    for group in admin.list(request.states_filter, request.types_filter):
        response.groups.append(
            ListedGroup(group.group_id, group.protocol_type, group.state, group.group_type)
        )
        yield
    return response
