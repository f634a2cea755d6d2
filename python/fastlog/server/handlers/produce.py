"""Produce (0): producers append record batches.

Versions 3 to 12. Versions 0 to 2 carry record formats that are no longer taken; they are advertised because
librdkafka before 2.11.1 turns compression off when the lowest version is not 0, and are answered with
UNSUPPORTED_VERSION per partition. From 5 on the log start offset is answered, from 8 on record errors, from
10 on the current leader (KIP-951).

acks=0 has no response: an error closes the connection.

Batches of a transaction need the request's transactional id, without which all of it gets
TRANSACTIONAL_ID_AUTHORIZATION_FAILED, as in `KafkaApis`; two producers in one request get
INVALID_PRODUCER_ID_MAPPING. They are taken when the coordinator knows the partition to be in the transaction
(KIP-890): else INVALID_TXN_STATE, from 11 on TRANSACTION_ABORTABLE; from 12 on the broker adds the partition
itself. Where no transactions are offered, requests with an id get INVALID_TXN_STATE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from fastlog.errors import ErrorCode
from fastlog.native import MalformedRequest, ProducePlan
from fastlog.server.produce.operation import ProduceOperation
from fastlog.server.requests.registry import handles_frame
from fastlog.wire import ApiKey, MalformedMessage, decode_request, encode_response
from fastlog.wire.messages.produce import (
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceResponse,
)

if TYPE_CHECKING:
    from fastlog.native import Frame
    from fastlog.server.network.exchange import Exchange
    from fastlog.server.requests.context import BrokerServices

OLDEST_SERVED = 3


@handles_frame(ApiKey.PRODUCE)
def handle(broker: BrokerServices, frame: Frame, exchange: Exchange) -> None:
    """Starts the append. The next request of the connection starts when the offsets are fixed."""
    if exchange.api_version < OLDEST_SERVED:
        _refuse(broker, frame, exchange)
    else:
        ProduceOperation(broker, exchange, ProducePlan.parse(frame)).start()


def _refuse(broker: BrokerServices, frame: Frame, exchange: Exchange) -> None:
    code = int(ErrorCode.UNSUPPORTED_VERSION)
    try:
        header, decoded = decode_request(frame)
    except MalformedMessage as error:
        raise MalformedRequest(str(error)) from error
    request = cast("ProduceRequest", decoded)
    rows = sum(len(topic.partition_data) for topic in request.topic_data)
    broker.metrics.error(exchange.api_key, code, rows)
    throttle_ms = 0 if exchange.meter is None else exchange.meter.produced(request.acks, 0.0)
    exchange.throttle(throttle_ms)
    if request.acks == 0:
        exchange.close("failed produce with acks=0", ErrorCode.UNSUPPORTED_VERSION.name)
        return
    response = ProduceResponse(
        throttle_time_ms=throttle_ms,
        responses=[
            TopicProduceResponse(
                name=topic.name,
                partition_responses=[
                    PartitionProduceResponse(index=row.index, error_code=code, base_offset=-1)
                    for row in topic.partition_data
                ],
            )
            for topic in request.topic_data
        ],
    )
    exchange.reply(encode_response(response, header.api_version, header.correlation_id))
