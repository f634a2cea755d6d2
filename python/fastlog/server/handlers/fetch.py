"""Fetch (1): consumers read records.

Versions 4 to 17; 0 to 3 (which need older record formats) are advertised for old librdkafka and answered
with UNSUPPORTED_VERSION per partition. From 7 on there are fetch sessions, from 9 on leader epochs are
checked, from 12 on diverging epochs are reported, from 13 on topics go by id, from 15 on the replica id is
a tagged field.

A fetch with `replica_id` >= 0 would count as a follower's and could move the high watermark, so it is refused
with CLUSTER_AUTHORIZATION_FAILED: this broker has no followers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from fastlog.errors import ErrorCode
from fastlog.native import FetchPlan, MalformedRequest
from fastlog.server.fetch_operation import FetchOperation
from fastlog.server.fetch_rows import IDS_FROM
from fastlog.server.registry import DECODED_MAX_BYTES, handles_frame
from fastlog.wire import ApiKey, MalformedMessage, decode_request, encode_response
from fastlog.wire.messages.fetch import (
    FetchableTopicResponse,
    FetchRequest,
    FetchResponse,
    PartitionData,
)

if TYPE_CHECKING:
    from fastlog.native import Frame
    from fastlog.server.context import BrokerServices
    from fastlog.server.exchange import Exchange

OLDEST_SERVED = 4
SESSIONS_FROM = 7


@handles_frame(ApiKey.FETCH, max_bytes=DECODED_MAX_BYTES)
def handle(broker: BrokerServices, frame: Frame, exchange: Exchange) -> None:
    """Opens or continues the fetch session and starts reading. The next request waits for the answer."""
    version = exchange.api_version
    if version < OLDEST_SERVED:
        _refuse(frame, exchange, ErrorCode.UNSUPPORTED_VERSION)
        return
    plan = FetchPlan.parse(frame)
    if plan.replica_id >= 0:
        _refuse(frame, exchange, ErrorCode.CLUSTER_AUTHORIZATION_FAILED)
        return
    context = broker.fetch_sessions.open(
        plan.session_id,
        plan.session_epoch,
        plan.rows,
        plan.forgotten,
        uses_ids=version >= IDS_FROM,
    )
    operation = FetchOperation(
        broker,
        exchange,
        context,
        isolation=plan.isolation_level,
        max_wait_ms=plan.max_wait_ms,
        min_bytes=plan.min_bytes,
        max_bytes=plan.max_bytes,
    )
    operation.start()


def _refuse(frame: Frame, exchange: Exchange, code: ErrorCode) -> None:
    """`code` for the request as a whole; before version 7, which has no such field, per partition."""
    try:
        header, decoded = decode_request(frame)
    except MalformedMessage as error:
        raise MalformedRequest(str(error)) from error
    request = cast("FetchRequest", decoded)
    exchange.connection.host.metrics.error(exchange.api_key, int(code))
    response = FetchResponse()
    if header.api_version >= SESSIONS_FROM:
        response.error_code = int(code)
    else:
        response.responses = [
            FetchableTopicResponse(
                topic=topic.topic,
                partitions=[
                    PartitionData(partition_index=row.partition, error_code=int(code), high_watermark=-1)
                    for row in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    exchange.reply(encode_response(response, header.api_version, header.correlation_id))
