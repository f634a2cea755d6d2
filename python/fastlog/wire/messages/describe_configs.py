"""DescribeConfigs (32): effective settings of topics and brokers, and where they come from."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, boolean, int8, int16, int32, string


@dataclass(slots=True)
class DescribeConfigsResource:
    """A topic (type 2), broker (4), logger (8), client metrics (16) or group (32). Null keys: all."""

    resource_type: int = int8()
    resource_name: str = string()
    configuration_keys: list[str] | None = array("string", nullable="0+", null_default=True)


@dataclass(slots=True)
class DescribeConfigsRequest(Request):
    """Resources whose settings are wanted."""

    API = ApiKey.DESCRIBE_CONFIGS

    resources: list[DescribeConfigsResource] = array(DescribeConfigsResource)
    include_synonyms: bool = boolean("1+")
    include_documentation: bool = boolean("3+")


@dataclass(slots=True)
class DescribeConfigsSynonym:
    """A setting that this one falls back on, in order of precedence."""

    name: str = string()
    value: str | None = string(nullable="0+", default=None)
    source: int = int8()


@dataclass(slots=True)
class DescribeConfigsResourceResult:
    """One setting. Sensitive ones have a null value.

    `config_source` numbers are those of Kafka's ConfigSource (1 topic, 2 dynamic broker, 3 dynamic default
    broker, 4 static broker, 5 default, 6 logger); version 0 only says whether it is the default.
    """

    name: str = string()
    value: str | None = string(nullable="0+", default=None)
    read_only: bool = boolean()
    is_default: bool = boolean("0")
    config_source: int = int8("1+", default=-1, ignorable=True)
    is_sensitive: bool = boolean()
    synonyms: list[DescribeConfigsSynonym] = array(DescribeConfigsSynonym, "1+", ignorable=True)
    config_type: int = int8("3+", ignorable=True)
    documentation: str | None = string("3+", nullable="0+", default=None, ignorable=True)


@dataclass(slots=True)
class DescribeConfigsResult:
    """The settings of one resource."""

    error_code: int = int16()
    error_message: str | None = string(nullable="0+", default=None)
    resource_type: int = int8()
    resource_name: str = string()
    configs: list[DescribeConfigsResourceResult] = array(DescribeConfigsResourceResult)


@dataclass(slots=True)
class DescribeConfigsResponse(Response):
    """One result for each resource."""

    API = ApiKey.DESCRIBE_CONFIGS

    throttle_time_ms: int = int32()
    results: list[DescribeConfigsResult] = array(DescribeConfigsResult)
