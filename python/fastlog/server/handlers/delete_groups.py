"""DeleteGroups (42): forgets groups that have no members, with their offsets (KIP-229). Versions 0 to 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.group_admin import (
    DeletableGroupResult,
    DeleteGroupsRequest,
    DeleteGroupsResponse,
)

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext


@handles(ApiKey.DELETE_GROUPS)
async def handle(ctx: RequestContext, request: DeleteGroupsRequest) -> DeleteGroupsResponse:
    """Answers when the tombstones are appended."""
    delete = ctx.broker.groups.admin.delete
    return DeleteGroupsResponse(
        results=[
            DeletableGroupResult(group_id, int(await delete(group_id)))
            async for group_id in ctx.pace.each(dict.fromkeys(request.groups_names))
        ]
    )
