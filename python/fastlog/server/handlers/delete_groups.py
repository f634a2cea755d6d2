"""DeleteGroups (42): forgets groups that have no members, with their offsets (KIP-229). Versions 0 to 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.server.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.group_admin import (
    DeletableGroupResult,
    DeleteGroupsRequest,
    DeleteGroupsResponse,
)

if TYPE_CHECKING:
    from fastlog.server.context import RequestContext


@handles(ApiKey.DELETE_GROUPS)
async def handle(ctx: RequestContext, request: DeleteGroupsRequest) -> DeleteGroupsResponse:
    """Answers when the tombstones are appended."""
    codes = await ctx.broker.groups.admin.delete(request.groups_names)
    return DeleteGroupsResponse(
        results=[DeletableGroupResult(group_id, int(code)) for group_id, code in codes.items()]
    )
