"""DescribeTransactions (65): the state of transactions by their ids (KIP-664)."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, int16, int32, int64, string


@dataclass(slots=True)
class DescribeTransactionsRequest(Request):
    """Transactions to look up."""

    API = ApiKey.DESCRIBE_TRANSACTIONS

    transactional_ids: list[str] = array("string")


@dataclass(slots=True)
class TopicData:
    """Partitions of one topic."""

    topic: str = string()
    partitions: list[int] = array("int32")


@dataclass(slots=True)
class TransactionState:
    """A transaction, its producer and its partitions."""

    error_code: int = int16()
    transactional_id: str = string()
    transaction_state: str = string()
    transaction_timeout_ms: int = int32()
    transaction_start_time_ms: int = int64()
    producer_id: int = int64()
    producer_epoch: int = int16()
    topics: list[TopicData] = array(TopicData)


@dataclass(slots=True)
class DescribeTransactionsResponse(Response):
    """One state for each transaction."""

    API = ApiKey.DESCRIBE_TRANSACTIONS

    throttle_time_ms: int = int32()
    transaction_states: list[TransactionState] = array(TransactionState)
