"""ApiVersions (18): which APIs and versions the broker speaks."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, boolean, int16, int32, int64, string


@dataclass(slots=True)
class ApiVersionsRequest(Request):
    """Versions 0 to 2 have no body; 3 names the client's software (KIP-511)."""

    API = ApiKey.API_VERSIONS

    client_software_name: str = string("3+", ignorable=True)
    client_software_version: str = string("3+", ignorable=True)


@dataclass(slots=True)
class ApiVersion:
    """The range of versions of one API."""

    api_key: int = int16()
    min_version: int = int16()
    max_version: int = int16()


@dataclass(slots=True)
class SupportedFeatureKey:
    """The range of a cluster feature that this broker can run with (KIP-584)."""

    name: str = string()
    min_version: int = int16()
    max_version: int = int16()


@dataclass(slots=True)
class FinalizedFeatureKey:
    """The level of a feature that the whole cluster has settled on (KIP-584)."""

    name: str = string()
    max_version_level: int = int16()
    min_version_level: int = int16()


@dataclass(slots=True)
class ApiVersionsResponse(Response):
    """Goes out under response header 0 in every version, since the client may not know the version yet."""

    API = ApiKey.API_VERSIONS

    error_code: int = int16()
    api_keys: list[ApiVersion] = array(ApiVersion)
    throttle_time_ms: int = int32("1+", ignorable=True)
    supported_features: list[SupportedFeatureKey] = array(SupportedFeatureKey, "3+", tag=0, ignorable=True)
    finalized_features_epoch: int = int64("3+", tag=1, default=-1, ignorable=True)
    finalized_features: list[FinalizedFeatureKey] = array(FinalizedFeatureKey, "3+", tag=2, ignorable=True)
    zk_migration_ready: bool = boolean("3+", tag=3, ignorable=True)
