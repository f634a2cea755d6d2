"""FindCoordinator (10): the broker that coordinates a group or a transaction."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, int8, int16, int32, string


@dataclass(slots=True)
class FindCoordinatorRequest(Request):
    """Key type 0 is a group, 1 a transaction. One key up to version 3, several from 4 on (KIP-699)."""

    API = ApiKey.FIND_COORDINATOR

    key: str = string("0-3")
    key_type: int = int8("1+")
    coordinator_keys: list[str] = array("string", "4+")


@dataclass(slots=True)
class Coordinator:
    """The coordinator of one key."""

    key: str = string()
    node_id: int = int32()
    host: str = string()
    port: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable="4+", default=None, ignorable=True)


@dataclass(slots=True)
class FindCoordinatorResponse(Response):
    """The answer is at top level up to version 3, in `coordinators` from 4 on."""

    API = ApiKey.FIND_COORDINATOR

    throttle_time_ms: int = int32("1+", ignorable=True)
    error_code: int = int16("0-3")
    error_message: str | None = string("1-3", nullable="1-3", default=None, ignorable=True)
    node_id: int = int32("0-3")
    host: str = string("0-3")
    port: int = int32("0-3")
    coordinators: list[Coordinator] = array(Coordinator, "4+")
