"""InitProducerId (22): an identity for an idempotent or transactional producer.

Versions 0 to 5. From 3 on a producer may bring its id and epoch to have the epoch raised (KIP-360); without a
transactional id Kafka gives it a new id all the same, and so does this broker. One that was fenced gets
INVALID_PRODUCER_EPOCH below version 4, PRODUCER_FENCED from there on (KIP-588). Version 6 (two-phase commit,
KIP-939) is not offered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.server.requests.fenced import fenced_code
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext

NO_PRODUCER_ID: Final = -1
NO_PRODUCER_EPOCH: Final = -1
_FENCED_FROM: Final = 4


@handles(ApiKey.INIT_PRODUCER_ID)
async def handle(ctx: RequestContext, request: InitProducerIdRequest) -> InitProducerIdResponse:
    """Reserves an id, or raises the epoch of a transactional one.

    Errors: INVALID_REQUEST (half an identity, an empty transactional id), INVALID_TRANSACTION_TIMEOUT,
    CONCURRENT_TRANSACTIONS, PRODUCER_FENCED, NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS,
    COORDINATOR_NOT_AVAILABLE.
    """
    if (request.producer_id == NO_PRODUCER_ID) != (request.producer_epoch == NO_PRODUCER_EPOCH):
        return _refused(ErrorCode.INVALID_REQUEST)
    if request.transactional_id is None:
        producer_id = await ctx.broker.producer_ids.allocate()
        return InitProducerIdResponse(producer_id=producer_id, producer_epoch=0)
    # An empty transactional id is a mistake of the client's, not a transaction (Kafka: InvalidRequest).
    if not request.transactional_id:
        return _refused(ErrorCode.INVALID_REQUEST)
    timeout_ms = request.transaction_timeout_ms
    if not 0 < timeout_ms <= ctx.broker.config.transaction_max_timeout_ms:
        return _refused(ErrorCode.INVALID_TRANSACTION_TIMEOUT)
    if ctx.broker.transactions is None:
        return _refused(ErrorCode.NOT_COORDINATOR)
    identity = None
    if request.producer_id != NO_PRODUCER_ID:
        identity = request.producer_id, request.producer_epoch
    coordinator = (await ctx.broker.transactions.get()).service
    from fastlog.coordination.transactions.verdicts import Refused  # is loaded now, and not before

    answer = await coordinator.init_producer_id(request.transactional_id, timeout_ms, identity)
    if isinstance(answer, Refused):
        return _refused(fenced_code(answer.code, ctx.header.api_version, _FENCED_FROM))
    return InitProducerIdResponse(producer_id=answer.producer_id, producer_epoch=answer.epoch)


def _refused(code: ErrorCode) -> InitProducerIdResponse:
    return InitProducerIdResponse(
        error_code=int(code), producer_id=NO_PRODUCER_ID, producer_epoch=NO_PRODUCER_EPOCH
    )
