"""ListTransactions (66): the ids of this coordinator, by state, producer, age and name (KIP-664).

Versions 0 to 2. From 1 on only those that have been open for longer than a time (KIP-994), from 2 on those
whose whole id a pattern in RE2's syntax matches (KIP-1152); a pattern that is none gets
INVALID_REGULAR_EXPRESSION. Names of states that nobody knows are listed back; when no other is named, nothing
else is.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from fastlog.coordination.groups.consumer.patterns import BadPattern, matching
from fastlog.coordination.transactions.results import ListFilter
from fastlog.coordination.transactions.state import TransactionState as State
from fastlog.errors import ErrorCode
from fastlog.server.requests.registry import handles
from fastlog.server.requests.transactional import coordinator_of
from fastlog.wire import ApiKey
from fastlog.wire.messages.list_transactions import (
    ListTransactionsRequest,
    ListTransactionsResponse,
    TransactionState,
)

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext
    from fastlog.wire import Steps

_STATES: Final = MappingProxyType({state.label: state for state in State})
_LOT: Final = 32


@handles(ApiKey.LIST_TRANSACTIONS)
async def handle(ctx: RequestContext, request: ListTransactionsRequest) -> ListTransactionsResponse:
    """Errors: COORDINATOR_LOAD_IN_PROGRESS while any partition is read, INVALID_REGULAR_EXPRESSION."""
    error = coordinator_of(ctx).list_error()
    if error is not ErrorCode.NONE:
        return ListTransactionsResponse(error_code=int(error))
    unknown = [name for name in dict.fromkeys(request.state_filters) if name not in _STATES]
    states = frozenset(_STATES[name] for name in request.state_filters if name in _STATES)
    response = ListTransactionsResponse(unknown_state_filters=unknown)
    if unknown and not states:
        return response
    which = ListFilter(states, frozenset(request.producer_id_filters), request.duration_filter)
    found = await ctx.pace.run(_found(ctx, which))
    pattern = request.transactional_id_pattern
    if pattern:
        names = [state.transactional_id for state in found]
        try:
            matched = await ctx.broker.searches.run(matching, pattern, names)
        except BadPattern:
            return ListTransactionsResponse(error_code=int(ErrorCode.INVALID_REGULAR_EXPRESSION))
        found = [state for state in found if state.transactional_id in matched]
    response.transaction_states = found
    return response


def _found(ctx: RequestContext, which: ListFilter) -> Steps[list[TransactionState]]:
    found: list[TransactionState] = []
    for number, one in enumerate(coordinator_of(ctx).list(which), start=1):
        if one is not None:
            found.append(TransactionState(one.transactional_id, one.entry.producer_id, one.state.label))
        if not number % _LOT:
            yield
    return found
