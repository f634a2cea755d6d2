"""ListTransactions (66): the transactions of one coordinator (KIP-664)."""

from __future__ import annotations

from dataclasses import dataclass

from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, int16, int32, int64, string


@dataclass(slots=True)
class ListTransactionsRequest(Request):
    """Filters; empty lists let all pass. From version 1 on also by age in ms (KIP-994), from 2 on by a
    pattern of ids (KIP-1152)."""

    API = ApiKey.LIST_TRANSACTIONS

    state_filters: list[str] = array("string")
    producer_id_filters: list[int] = array("int64")
    duration_filter: int = int64("1+", default=-1)
    transactional_id_pattern: str | None = string("2+", nullable="2+", default=None)


@dataclass(slots=True)
class TransactionState:
    """A transaction in brief."""

    transactional_id: str = string()
    producer_id: int = int64()
    transaction_state: str = string()


@dataclass(slots=True)
class ListTransactionsResponse(Response):
    """The transactions, and the names of states that the broker does not know."""

    API = ApiKey.LIST_TRANSACTIONS

    throttle_time_ms: int = int32()
    error_code: int = int16()
    unknown_state_filters: list[str] = array("string")
    transaction_states: list[TransactionState] = array(TransactionState)
