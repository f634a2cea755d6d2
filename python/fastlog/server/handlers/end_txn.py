"""EndTxn (26): commits or aborts a transaction; answered when that is decided, before all partitions know.

Versions 0 to 5. Below version 2 a fenced producer gets INVALID_PRODUCER_EPOCH. Version 5 (KIP-890) raises the
epoch with each end, and answers with the identity for the next transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.coordination.transactions.state import EPOCH_BUMP_VERSION
from fastlog.coordination.transactions.verdicts import Granted, Refused
from fastlog.server.requests.fenced import fenced_code
from fastlog.server.requests.registry import Answer, handles_later
from fastlog.server.requests.transactional import coordinator_of
from fastlog.wire import ApiKey
from fastlog.wire.messages.transactions import EndTxnRequest, EndTxnResponse

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext

_FENCED_FROM: Final = 2
_RAISES_FROM: Final = 5


@handles_later(ApiKey.END_TXN)
def handle(ctx: RequestContext, request: EndTxnRequest, answer: Answer) -> None:
    """Errors: INVALID_REQUEST (an empty id), INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED,
    CONCURRENT_TRANSACTIONS, INVALID_TXN_STATE, and those of coordinators."""
    version = ctx.header.api_version

    def then(found: Granted | Refused) -> None:
        if isinstance(found, Refused):
            answer(EndTxnResponse(error_code=int(fenced_code(found.code, version, _FENCED_FROM))))
        elif version < _RAISES_FROM:
            answer(EndTxnResponse(), ())
        else:
            answer(EndTxnResponse(producer_id=found.producer_id, producer_epoch=found.epoch), ())

    coordinator_of(ctx).begin_end(
        request.transactional_id,
        (request.producer_id, request.producer_epoch),
        then,
        commits=request.committed,
        version=EPOCH_BUMP_VERSION if version >= _RAISES_FROM else 0,
    )
