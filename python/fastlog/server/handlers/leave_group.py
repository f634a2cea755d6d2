"""LeaveGroup (13): members leave, or an administrator removes static ones. Versions 0 to 5.

One member with one error up to version 2; several with an error each from 3 on (KIP-345).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.groups import LeaveGroupRequest, LeaveGroupResponse, MemberResponse

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext
    from fastlog.wire import Steps

_SEVERAL_FROM: Final = 3
# More go in several turns. What an administrator names is far below.
_MEMBERS_PER_TURN: Final = 256


@handles(ApiKey.LEAVE_GROUP)
def handle(ctx: RequestContext, request: LeaveGroupRequest) -> Steps[LeaveGroupResponse]:
    """Removes the members one after the other."""
    membership = ctx.broker.groups.membership
    if ctx.header.api_version < _SEVERAL_FROM:
        error, codes = membership.leave(request.group_id, [(request.member_id, None)])
        return LeaveGroupResponse(error_code=int(codes[0] if codes else error))
    identities = [(member.member_id, member.group_instance_id) for member in request.members]
    members: list[MemberResponse] = []
    for start in range(0, max(len(identities), 1), _MEMBERS_PER_TURN):
        some = identities[start : start + _MEMBERS_PER_TURN]
        error, codes = membership.leave(request.group_id, some)
        if error is not ErrorCode.NONE:
            return LeaveGroupResponse(error_code=int(error))
        members += [
            MemberResponse(member_id, instance_id, int(code))
            for (member_id, instance_id), code in zip(some, codes, strict=True)
        ]
        yield
    return LeaveGroupResponse(members=members)
