"""InitProducerId (22): the identity of an idempotent or transactional producer."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, int16, int32, int64, string


@dataclass(slots=True)
class InitProducerIdRequest(Request):
    """From version 3 on a producer may bring its id and epoch to have the epoch raised (KIP-360)."""

    API = ApiKey.INIT_PRODUCER_ID

    transactional_id: str | None = string(nullable="0+", default=None)
    transaction_timeout_ms: int = int32()
    producer_id: int = int64("3+", default=-1)
    producer_epoch: int = int16("3+", default=-1)


@dataclass(slots=True)
class InitProducerIdResponse(Response):
    """The id and epoch to produce with."""

    API = ApiKey.INIT_PRODUCER_ID

    throttle_time_ms: int = int32(ignorable=True)
    error_code: int = int16()
    producer_id: int = int64(default=-1)
    producer_epoch: int = int16()
