"""LeaveGroup (13): members leave, or an administrator removes static ones. Versions 0 to 5.

One member with one error up to version 2; several with an error each from 3 on (KIP-345).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.server.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.groups import LeaveGroupRequest, LeaveGroupResponse, MemberResponse

if TYPE_CHECKING:
    from fastlog.server.context import RequestContext

_SEVERAL_FROM: Final = 3


@handles(ApiKey.LEAVE_GROUP)
def handle(ctx: RequestContext, request: LeaveGroupRequest) -> LeaveGroupResponse:
    """Removes the members one after the other."""
    membership = ctx.broker.groups.membership
    if ctx.header.api_version < _SEVERAL_FROM:
        error, codes = membership.leave(request.group_id, [(request.member_id, None)])
        return LeaveGroupResponse(error_code=int(codes[0] if codes else error))
    identities = [(member.member_id, member.group_instance_id) for member in request.members]
    error, codes = membership.leave(request.group_id, identities)
    return LeaveGroupResponse(
        error_code=int(error),
        members=[
            MemberResponse(member_id, instance_id, int(code))
            for (member_id, instance_id), code in zip(identities, codes, strict=False)
        ],
    )
