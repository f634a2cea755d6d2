"""DescribeTransactions (65): transactions by their ids, as the coordinator knows them (KIP-664)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.coordination.transactions.state import by_topic
from fastlog.errors import ErrorCode
from fastlog.server.requests.registry import handles
from fastlog.server.requests.transactional import coordinator_of
from fastlog.wire import ApiKey
from fastlog.wire.messages.describe_transactions import (
    DescribeTransactionsRequest,
    DescribeTransactionsResponse,
    TopicData,
    TransactionState,
)

if TYPE_CHECKING:
    from fastlog.coordination.transactions.results import Described
    from fastlog.server.requests.context import RequestContext
    from fastlog.wire import Steps


@handles(ApiKey.DESCRIBE_TRANSACTIONS)
def handle(ctx: RequestContext, request: DescribeTransactionsRequest) -> Steps[DescribeTransactionsResponse]:
    """One state for each id.

    Errors: INVALID_REQUEST (an empty id), TRANSACTIONAL_ID_NOT_FOUND, NOT_COORDINATOR,
    COORDINATOR_LOAD_IN_PROGRESS.
    """
    coordinator = coordinator_of(ctx)
    response = DescribeTransactionsResponse()
    # One that is named twice is described once: it may have thousands of partitions.
    for name in dict.fromkeys(request.transactional_ids):
        found = coordinator.describe(name)
        if isinstance(found, ErrorCode):
            response.transaction_states.append(TransactionState(error_code=int(found), transactional_id=name))
        else:
            response.transaction_states.append((yield from _state(found)))
        yield
    return response


def _state(found: Described) -> Steps[TransactionState]:
    entry = found.entry
    topics = by_topic(entry.partitions)
    yield
    return TransactionState(
        transactional_id=found.transactional_id,
        transaction_state=found.state.label,
        transaction_timeout_ms=entry.timeout_ms,
        transaction_start_time_ms=entry.start_ms,
        producer_id=entry.producer_id,
        producer_epoch=entry.epoch,
        topics=[TopicData(topic, numbers) for topic, numbers in topics.items()],
    )
