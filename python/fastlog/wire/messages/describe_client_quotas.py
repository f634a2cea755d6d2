"""DescribeClientQuotas (48): limits of users and clients (KIP-546)."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, boolean, float64, int8, int16, int32, string


@dataclass(slots=True)
class ComponentData:
    """A part of an entity: match type 0 by name, 1 the default, 2 any."""

    entity_type: str = string()
    match_type: int = int8()
    match: str | None = string(nullable="0+", default=None)


@dataclass(slots=True)
class DescribeClientQuotasRequest(Request):
    """Entities to look for; `strict` leaves out those with further parts."""

    API = ApiKey.DESCRIBE_CLIENT_QUOTAS

    components: list[ComponentData] = array(ComponentData)
    strict: bool = boolean()


@dataclass(slots=True)
class EntityData:
    """A part of an entity; a null name is the default."""

    entity_type: str = string()
    entity_name: str | None = string(nullable="0+", default=None)


@dataclass(slots=True)
class ValueData:
    """A limit."""

    key: str = string()
    value: float = float64()


@dataclass(slots=True)
class EntryData:
    """One entity and its limits."""

    entity: list[EntityData] = array(EntityData)
    values: list[ValueData] = array(ValueData)


@dataclass(slots=True)
class DescribeClientQuotasResponse(Response):
    """The entities that match; null on errors."""

    API = ApiKey.DESCRIBE_CLIENT_QUOTAS

    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable="0+", default=None)
    entries: list[EntryData] | None = array(EntryData, nullable="0+")
