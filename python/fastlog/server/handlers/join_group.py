"""JoinGroup (11): a member asks to be in the next generation. Versions 0 to 9.

The answer waits until the generation begins. Until then no further request of the same connection starts,
which is how Kafka does it too: clients keep a connection of their own to the coordinator. From version 4 on
a new member first gets its id with MEMBER_ID_REQUIRED (KIP-394); static members from 5 on (KIP-345); from 9
on a static leader that came back is told not to assign anew. A request of more than
16 MiB, or one for which groups have no memory, gets GROUP_MAX_SIZE_REACHED.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from fastlog.coordination.groups.results import JoinedMember, JoinRequest, JoinResult
from fastlog.errors import ErrorCode
from fastlog.server.requests.few_elements import FEW
from fastlog.server.requests.registry import GROUP_MAX_BYTES, Answer, handles_later
from fastlog.wire import ApiKey
from fastlog.wire.messages.groups import JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext
    from fastlog.wire import Steps

_REBALANCE_TIMEOUT_FROM: Final = 1
_KNOWN_ID_FROM: Final = 4
_NULL_PROTOCOL_FROM: Final = 7
_SKIP_FROM: Final = 9
_LOT: Final = 32
"""Members between two moments at which others may go first."""


@handles_later(ApiKey.JOIN_GROUP, max_bytes=GROUP_MAX_BYTES, oversized=ErrorCode.GROUP_MAX_SIZE_REACHED)
def handle(ctx: RequestContext, request: JoinGroupRequest, answer: Answer) -> None:
    """Answers when the generation begins."""
    version = ctx.header.api_version
    own_timeout = version >= _REBALANCE_TIMEOUT_FROM

    def then(result: JoinResult) -> None:
        response = _response(result, version)
        if len(result.members) > FEW:
            answer(_with_members(response, result.members))
            return
        response.members = [JoinGroupResponseMember(*member) for member in result.members]
        answer(response, ((response.error_code, 1),) if response.error_code else ())

    membership = ctx.broker.groups.membership
    client_id = ctx.header.client_id or ""
    member_id = request.member_id
    membership.join(
        request.group_id,
        JoinRequest(
            ticket=membership.new_ticket(),
            member_id=member_id,
            instance_id=request.group_instance_id,
            client_id=client_id,
            client_host=f"/{ctx.session.peer}",
            session_timeout_ms=request.session_timeout_ms,
            rebalance_timeout_ms=request.rebalance_timeout_ms if own_timeout else request.session_timeout_ms,
            protocol_type=request.protocol_type,
            protocols=tuple((protocol.name, bytes(protocol.metadata)) for protocol in request.protocols),
            requires_known_id=version >= _KNOWN_ID_FROM and request.group_instance_id is None,
            can_skip=version >= _SKIP_FROM,
            new_member_id=(
                "" if member_id else membership.new_member_id(request.group_instance_id or client_id)
            ),
        ),
        then,
    )


def _response(result: JoinResult, version: int) -> JoinGroupResponse:
    protocol_name = result.protocol_name
    if protocol_name is None and version < _NULL_PROTOCOL_FROM:
        protocol_name = ""
    return JoinGroupResponse(
        error_code=int(result.error),
        generation_id=result.generation,
        protocol_type=result.protocol_type,
        protocol_name=protocol_name,
        leader=result.leader,
        skip_assignment=result.skip_assignment,
        member_id=result.member_id,
    )


def _with_members(response: JoinGroupResponse, members: Sequence[JoinedMember]) -> Steps[JoinGroupResponse]:
    """The answer to the leader of a large group."""
    for first in range(0, len(members), _LOT):
        response.members += [JoinGroupResponseMember(*member) for member in members[first : first + _LOT]]
        yield
    return response
