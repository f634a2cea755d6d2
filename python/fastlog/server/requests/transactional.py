"""What the handlers of transactions share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.wire import ApiKey

if TYPE_CHECKING:
    from fastlog.coordination.transactions.service import TransactionService
    from fastlog.server.requests.context import RequestContext

OF_TRANSACTIONS: Final = frozenset(
    {
        ApiKey.ADD_PARTITIONS_TO_TXN,
        ApiKey.ADD_OFFSETS_TO_TXN,
        ApiKey.END_TXN,
        ApiKey.TXN_OFFSET_COMMIT,
        ApiKey.WRITE_TXN_MARKERS,
        ApiKey.DESCRIBE_TRANSACTIONS,
        ApiKey.LIST_TRANSACTIONS,
    }
)
"""What a broker that writes no markers does not offer: no transaction would ever end."""


def coordinator_of(ctx: RequestContext) -> TransactionService:
    """The coordinator. Raises RuntimeError where the APIs of transactions are not offered."""
    if ctx.broker.transactions is None:
        raise RuntimeError("there are no transactions")
    return ctx.broker.transactions


def fenced_code(code: ErrorCode, version: int, fenced_from: int) -> ErrorCode:
    """INVALID_PRODUCER_EPOCH for versions in which clients do not know PRODUCER_FENCED (KIP-588)."""
    if code is ErrorCode.PRODUCER_FENCED and version < fenced_from:
        return ErrorCode.INVALID_PRODUCER_EPOCH
    return code
