"""AlterClientQuotas (49): sets limits of users and clients (KIP-546)."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, boolean, float64, int16, int32, string


@dataclass(slots=True)
class EntityData:
    """A part of an entity; a null name is the default."""

    entity_type: str = string()
    entity_name: str | None = string(nullable="0+", default=None)


@dataclass(slots=True)
class OpData:
    """A limit to set or to remove."""

    key: str = string()
    value: float = float64()
    remove: bool = boolean()


@dataclass(slots=True)
class EntryData:
    """One entity and the changes to it."""

    entity: list[EntityData] = array(EntityData)
    ops: list[OpData] = array(OpData)


@dataclass(slots=True)
class AlterClientQuotasRequest(Request):
    """Changes to the limits of entities."""

    API = ApiKey.ALTER_CLIENT_QUOTAS

    entries: list[EntryData] = array(EntryData)
    validate_only: bool = boolean()


@dataclass(slots=True)
class EntryDataResponse:
    """The outcome for one entity (Kafka names it like the entries of the request)."""

    error_code: int = int16()
    error_message: str | None = string(nullable="0+", default=None)
    entity: list[EntityData] = array(EntityData)


@dataclass(slots=True)
class AlterClientQuotasResponse(Response):
    """One result for each entity."""

    API = ApiKey.ALTER_CLIENT_QUOTAS

    throttle_time_ms: int = int32()
    entries: list[EntryDataResponse] = array(EntryDataResponse)
