"""SyncGroup (14): the leader hands in the assignment, every member gets its own. Versions 0 to 5.

The answer waits until the assignment is stored. From version 5 on the protocol's type and name must be given
(KIP-559). All assignments together may be as large as 16 MiB, the memory for groups and, as they are one
record, the largest batch of `__consumer_offsets` let them be; beyond that they get UNKNOWN_SERVER_ERROR, as
in Kafka.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.coordination.groups.results import SyncRequest, SyncResult
from fastlog.errors import ErrorCode
from fastlog.server.requests.registry import GROUP_MAX_BYTES, Answer, handles_later
from fastlog.wire import ApiKey
from fastlog.wire.messages.groups import SyncGroupRequest, SyncGroupResponse

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext

_PROTOCOL_FROM: Final = 5


@handles_later(ApiKey.SYNC_GROUP, max_bytes=GROUP_MAX_BYTES, oversized=ErrorCode.UNKNOWN_SERVER_ERROR)
def handle(ctx: RequestContext, request: SyncGroupRequest, answer: Answer) -> None:
    """Answers when the assignment is stored."""
    named = request.protocol_type is not None and request.protocol_name is not None
    if ctx.header.api_version >= _PROTOCOL_FROM and not named:
        answer(SyncGroupResponse(error_code=int(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)))
        return

    def then(result: SyncResult) -> None:
        code = int(result.error)
        response = SyncGroupResponse(
            error_code=code,
            protocol_type=result.protocol_type,
            protocol_name=result.protocol_name,
            assignment=result.assignment,
        )
        answer(response, ((code, 1),) if code else ())

    membership = ctx.broker.groups.membership
    membership.sync(
        request.group_id,
        SyncRequest(
            ticket=membership.new_ticket(),
            member_id=request.member_id,
            instance_id=request.group_instance_id,
            generation=request.generation_id,
            protocol_type=request.protocol_type,
            protocol_name=request.protocol_name,
            assignments={item.member_id: bytes(item.assignment) for item in request.assignments},
        ),
        then,
    )
