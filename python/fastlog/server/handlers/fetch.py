"""Fetch (1): consumers read records.

Versions 4 to 17; 0 to 3 (which need older record formats) are advertised for old librdkafka and answered
with UNSUPPORTED_VERSION per partition. From 7 on there are fetch sessions, from 9 on leader epochs are
checked, from 12 on diverging epochs are reported, from 13 on topics go by id, from 15 on the replica id is
a tagged field.

A fetch with `replica_id` >= 0 is a follower's: it reads up to the log's end, and what it has counts for the
high watermark. Only brokers may do that, over the listener that is theirs; elsewhere it is refused with
CLUSTER_AUTHORIZATION_FAILED, and with STALE_BROKER_EPOCH when it is of a former life of its broker. Where
there is an authorizer it comes first: without ClusterAction every partition gets TOPIC_AUTHORIZATION_FAILED.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from fastlog.errors import ErrorCode
from fastlog.native import FetchPlan, MalformedRequest
from fastlog.server.fetch.may_read import may_read
from fastlog.server.fetch.operation import FetchOperation
from fastlog.server.fetch.rows import IDS_FROM, PARTITIONS_PER_STEP, FetchTerms
from fastlog.server.requests.error_answers import error_code_of
from fastlog.server.requests.registry import DECODED_MAX_BYTES, handles_frame
from fastlog.server.requests.response_errors import errors_in
from fastlog.server.requests.turns import Abandoned, Pace
from fastlog.wire import ApiKey, MalformedMessage, decode_request, encode_response
from fastlog.wire.messages.fetch import (
    FetchableTopicResponse,
    FetchRequest,
    FetchResponse,
    PartitionData,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastlog.native import Frame
    from fastlog.native.shapes import FetchPlanRow
    from fastlog.server.fetch.interest import FetchInterest
    from fastlog.server.fetch.may_read import MayRead
    from fastlog.server.network.exchange import Exchange
    from fastlog.server.requests.context import BrokerServices

OLDEST_SERVED = 4
SESSIONS_FROM = 7


@handles_frame(ApiKey.FETCH, max_bytes=DECODED_MAX_BYTES)
def handle(broker: BrokerServices, frame: Frame, exchange: Exchange) -> None:
    """Opens or continues the fetch session and starts reading. The next request waits for the answer."""
    version = exchange.api_version
    if version < OLDEST_SERVED:
        _refuse(broker, frame, exchange, ErrorCode.UNSUPPORTED_VERSION)
        return
    plan = FetchPlan.parse(frame)
    may = None if broker.access is None else may_read(broker.access, exchange.session, plan.replica_id >= 0)
    if plan.replica_id >= 0 and (may is None or not may.nothing):
        error = _replica_error(broker, exchange, plan)
        if error:
            _refuse(broker, frame, exchange, error)
            return
    if len(plan) > PARTITIONS_PER_STEP:
        broker.turns.start(_start_in_turns(broker, exchange, plan, may))
    else:
        _start(broker, exchange, plan, may, plan.rows)


def _replica_error(broker: BrokerServices, exchange: Exchange, plan: FetchPlan) -> ErrorCode:
    """Whether the client may fetch as that replica."""
    if not exchange.session.listener.is_inter_broker:
        return ErrorCode.CLUSTER_AUTHORIZATION_FAILED
    if not broker.replicas.broker_epochs.admit(plan.replica_id, plan.replica_epoch):
        return ErrorCode.STALE_BROKER_EPOCH
    return ErrorCode.NONE


async def _start_in_turns(
    broker: BrokerServices, exchange: Exchange, plan: FetchPlan, may: MayRead | None
) -> None:
    try:
        partitions = await Pace(broker.turns, exchange).run(broker.fetch_sessions.gather(_rows(plan)))
        _start(broker, exchange, plan, may, (), partitions)
    except Abandoned:
        if not exchange.is_lost:
            exchange.close("shutdown")
    except Exception as error:  # noqa: BLE001 - the connection must not hang
        exchange.close("failed request", f"FETCH: {error_code_of(error).name}: {error}")


def _rows(plan: FetchPlan) -> Iterator[FetchPlanRow]:
    """All of them, which are not made all at once."""
    for start in range(0, len(plan), PARTITIONS_PER_STEP):
        yield from plan.part(start, start + PARTITIONS_PER_STEP)


def _start(
    broker: BrokerServices,
    exchange: Exchange,
    plan: FetchPlan,
    may: MayRead | None,
    rows: Sequence[FetchPlanRow],
    partitions: FetchInterest | None = None,
) -> None:
    context = broker.fetch_sessions.open(
        plan.session_id,
        plan.session_epoch,
        rows,
        plan.forgotten,
        uses_ids=exchange.api_version >= IDS_FROM,
        partitions=partitions,
    )
    operation = FetchOperation(
        broker,
        exchange,
        context,
        terms=_terms(broker, exchange, plan, may),
        max_wait_ms=plan.max_wait_ms,
        min_bytes=plan.min_bytes,
        max_bytes=plan.max_bytes,
    )
    operation.start()


def _terms(broker: BrokerServices, exchange: Exchange, plan: FetchPlan, may: MayRead | None) -> FetchTerms:
    # Who only says that it is a follower moves nothing.
    replica = -1 if may is not None and may.nothing else max(plan.replica_id, -1)
    rack = plan.rack_id if broker.config.sends_to_racks and replica < 0 else ""
    return FetchTerms(exchange.api_version, plan.isolation_level, replica, rack, may)


def _refuse(broker: BrokerServices, frame: Frame, exchange: Exchange, code: ErrorCode) -> None:
    """`code` for the request as a whole; before version 7, which has no such field, per partition."""
    try:
        header, decoded = decode_request(frame)
    except MalformedMessage as error:
        raise MalformedRequest(str(error)) from error
    request = cast("FetchRequest", decoded)
    response = FetchResponse()
    if header.api_version >= SESSIONS_FROM:
        response.error_code = int(code)
    else:
        response.responses = [
            FetchableTopicResponse(
                topic=topic.topic,
                partitions=[
                    # Empty, not null: clients of these versions do not expect null here.
                    PartitionData(
                        partition_index=row.partition, error_code=int(code), high_watermark=-1, records=b""
                    )
                    for row in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    for row_code, count in errors_in(response, header.api_version):
        broker.metrics.error(exchange.api_key, row_code, count)
    exchange.reply(encode_response(response, header.api_version, header.correlation_id))
