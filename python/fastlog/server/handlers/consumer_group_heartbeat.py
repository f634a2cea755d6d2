"""ConsumerGroupHeartbeat (68): membership in a group of the consumer protocol (KIP-848). Versions 0 and 1.

One request for everything: epoch 0 joins, -1 leaves, -2 leaves for a while as a static member; others say
that the member is alive, what it owns, and what of its subscription has changed. In version 0 the broker
chooses the member id; from 1 on the client does (KIP-1082), and may subscribe by regular expression. The
answer comes when what it says is in the log. Without "consumer" in group.coordinator.rebalance.protocols all
requests get UNSUPPORTED_VERSION, as in Kafka.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.coordination.groups.consumer.assignors.spec import by_topic
from fastlog.coordination.groups.consumer.results import HeartbeatRequest
from fastlog.errors import ErrorCode
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.consumer_group_heartbeat import (
    Assignment,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    TopicPartitions,
)

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext

_CLIENT_IDS_FROM: Final = 1


@handles(ApiKey.CONSUMER_GROUP_HEARTBEAT)
async def handle(
    ctx: RequestContext, request: ConsumerGroupHeartbeatRequest
) -> ConsumerGroupHeartbeatResponse:
    """Joins, goes on or leaves."""
    groups = ctx.broker.groups
    if not groups.table.serves_consumer_protocol():
        return ConsumerGroupHeartbeatResponse(error_code=int(ErrorCode.UNSUPPORTED_VERSION))
    result = await groups.consumer.heartbeat(
        request.group_id,
        HeartbeatRequest(
            member_id=request.member_id,
            epoch=request.member_epoch,
            client_id=ctx.header.client_id or "",
            client_host=f"/{ctx.session.peer}",
            instance_id=request.instance_id,
            rack_id=request.rack_id,
            rebalance_timeout_ms=request.rebalance_timeout_ms,
            topics=None if request.subscribed_topic_names is None else tuple(request.subscribed_topic_names),
            regex=request.subscribed_topic_regex,
            assignor=request.server_assignor,
            owned=None
            if request.topic_partitions is None
            else [
                (bytes(topic.topic_id), partition)
                for topic in request.topic_partitions
                for partition in topic.partitions
            ],
            brings_id=ctx.header.api_version >= _CLIENT_IDS_FROM,
        ),
    )
    assignment = None
    if result.assignment is not None:
        topics = by_topic(result.assignment).items()
        assignment = Assignment([TopicPartitions(topic_id, numbers) for topic_id, numbers in topics])
    return ConsumerGroupHeartbeatResponse(
        error_code=int(result.error),
        error_message=result.message,
        member_id=result.member_id,
        member_epoch=result.epoch,
        heartbeat_interval_ms=result.heartbeat_interval_ms,
        assignment=assignment,
    )
