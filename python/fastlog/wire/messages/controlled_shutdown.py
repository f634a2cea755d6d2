"""ControlledShutdown (7): a broker that is about to stop asks the controller to move its leaders."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, int16, int32, int64, string


@dataclass(slots=True)
class ControlledShutdownRequest(Request):
    """The broker that stops, and the epoch of its registration. Version 0 has a header of its own."""

    API = ApiKey.CONTROLLED_SHUTDOWN

    broker_id: int = int32()
    broker_epoch: int = int64("2+", default=-1, ignorable=True)


@dataclass(slots=True)
class RemainingPartition:
    """A partition that the broker still leads."""

    topic_name: str = string()
    partition_index: int = int32()


@dataclass(slots=True)
class ControlledShutdownResponse(Response):
    """What could not be moved: the broker asks again while there is something."""

    API = ApiKey.CONTROLLED_SHUTDOWN

    error_code: int = int16()
    remaining_partitions: list[RemainingPartition] = array(RemainingPartition)
