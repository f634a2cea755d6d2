"""What the handlers of transactions share. It is loaded with them, in a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import fastlog.server.transaction_parts  # noqa: F401 - so that nobody imports it on the event loop

if TYPE_CHECKING:
    from fastlog.coordination.transactions.service import TransactionService
    from fastlog.server.requests.context import RequestContext
    from fastlog.server.transaction_parts import TransactionParts


def parts_of(ctx: RequestContext) -> TransactionParts:
    """What there is of transactions. Raises RuntimeError where their APIs are not offered."""
    if ctx.broker.transactions is None:
        raise RuntimeError("there are no transactions")
    return ctx.broker.transactions.get_loaded()


def coordinator_of(ctx: RequestContext) -> TransactionService:
    """The coordinator. Raises RuntimeError where the APIs of transactions are not offered."""
    return parts_of(ctx).service
