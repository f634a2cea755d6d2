"""IncrementalAlterConfigs (44): changes single settings of a resource (KIP-339)."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, boolean, int8, int16, int32, string


@dataclass(slots=True)
class AlterableConfig:
    """An operation on one setting: 0 set, 1 delete, 2 append, 3 subtract."""

    name: str = string()
    config_operation: int = int8()
    value: str | None = string(nullable="0+", default=None)


@dataclass(slots=True)
class AlterConfigsResource:
    """A resource by type and name."""

    resource_type: int = int8()
    resource_name: str = string()
    configs: list[AlterableConfig] = array(AlterableConfig)


@dataclass(slots=True)
class IncrementalAlterConfigsRequest(Request):
    """Resources and the changes to their settings."""

    API = ApiKey.INCREMENTAL_ALTER_CONFIGS

    resources: list[AlterConfigsResource] = array(AlterConfigsResource)
    validate_only: bool = boolean()


@dataclass(slots=True)
class AlterConfigsResourceResponse:
    """The outcome for one resource."""

    error_code: int = int16()
    error_message: str | None = string(nullable="0+", default=None)
    resource_type: int = int8()
    resource_name: str = string()


@dataclass(slots=True)
class IncrementalAlterConfigsResponse(Response):
    """One result for each resource."""

    API = ApiKey.INCREMENTAL_ALTER_CONFIGS

    throttle_time_ms: int = int32()
    responses: list[AlterConfigsResourceResponse] = array(AlterConfigsResourceResponse)
