"""AllocateProducerIds (67): a broker asks the controller for a block of producer ids (KIP-730)."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, int16, int32, int64


@dataclass(slots=True)
class AllocateProducerIdsRequest(Request):
    """The broker that asks, and the epoch of its registration."""

    API = ApiKey.ALLOCATE_PRODUCER_IDS

    broker_id: int = int32()
    broker_epoch: int = int64(default=-1)


@dataclass(slots=True)
class AllocateProducerIdsResponse(Response):
    """The first id of the block and how many there are."""

    API = ApiKey.ALLOCATE_PRODUCER_IDS

    throttle_time_ms: int = int32()
    error_code: int = int16()
    producer_id_start: int = int64()
    producer_id_len: int = int32()
