"""InitProducerId (22): an id for an idempotent producer.

Versions 0 to 5. From 3 on a producer may bring its id and epoch to have the epoch raised (KIP-360); without a
transactional id Kafka gives it a new id all the same, and so does this broker. Transactional ids get
NOT_COORDINATOR: no transaction coordinator runs yet, and FindCoordinator says so before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext

NO_PRODUCER_ID: Final = -1
NO_PRODUCER_EPOCH: Final = -1


@handles(ApiKey.INIT_PRODUCER_ID)
async def handle(ctx: RequestContext, request: InitProducerIdRequest) -> InitProducerIdResponse:
    """Reserves an id.

    Errors: INVALID_REQUEST (half an identity, an empty transactional id), INVALID_TRANSACTION_TIMEOUT,
    NOT_COORDINATOR.
    """
    if (request.producer_id == NO_PRODUCER_ID) != (request.producer_epoch == NO_PRODUCER_EPOCH):
        return _refused(ErrorCode.INVALID_REQUEST)
    if request.transactional_id is not None:
        # An empty transactional id is a mistake of the client's, not a transaction (Kafka: InvalidRequest).
        if not request.transactional_id:
            return _refused(ErrorCode.INVALID_REQUEST)
        if not 0 < request.transaction_timeout_ms <= ctx.broker.config.transaction_max_timeout_ms:
            return _refused(ErrorCode.INVALID_TRANSACTION_TIMEOUT)
        return _refused(ErrorCode.NOT_COORDINATOR)
    producer_id = await ctx.broker.producer_ids.allocate()
    return InitProducerIdResponse(producer_id=producer_id, producer_epoch=0)


def _refused(code: ErrorCode) -> InitProducerIdResponse:
    return InitProducerIdResponse(
        error_code=int(code), producer_id=NO_PRODUCER_ID, producer_epoch=NO_PRODUCER_EPOCH
    )
