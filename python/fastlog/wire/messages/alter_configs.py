"""AlterConfigs (33): replaces all settings of a resource. Deprecated by IncrementalAlterConfigs."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, boolean, int8, int16, int32, string


@dataclass(slots=True)
class AlterableConfig:
    """A setting and its new value."""

    name: str = string()
    value: str | None = string(nullable="0+", default=None)


@dataclass(slots=True)
class AlterConfigsResource:
    """A resource by type and name."""

    resource_type: int = int8()
    resource_name: str = string()
    configs: list[AlterableConfig] = array(AlterableConfig)


@dataclass(slots=True)
class AlterConfigsRequest(Request):
    """Resources and all the settings that they shall have."""

    API = ApiKey.ALTER_CONFIGS

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
class AlterConfigsResponse(Response):
    """One result for each resource."""

    API = ApiKey.ALTER_CONFIGS

    throttle_time_ms: int = int32()
    responses: list[AlterConfigsResourceResponse] = array(AlterConfigsResourceResponse)
