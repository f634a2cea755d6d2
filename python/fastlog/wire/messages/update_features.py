"""UpdateFeatures (57): finalized versions of the cluster's features (KIP-584, KIP-778)."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, boolean, int8, int16, int32, string


@dataclass(slots=True)
class FeatureUpdateKey:
    """One feature and its new level; a level below 1 deletes it.

    `upgrade_type` is 1 for an upgrade, 2 for a downgrade that loses nothing, and 3 for one that may.
    """

    feature: str = string()
    max_version_level: int = int16()
    allow_downgrade: bool = boolean("0")
    upgrade_type: int = int8("1+", default=1)


@dataclass(slots=True)
class UpdateFeaturesRequest(Request):
    """What to change, or only to check."""

    API = ApiKey.UPDATE_FEATURES

    timeout_ms: int = int32(default=60000)
    feature_updates: list[FeatureUpdateKey] = array(FeatureUpdateKey)
    validate_only: bool = boolean("1+")


@dataclass(slots=True)
class UpdatableFeatureResult:
    """The outcome for one feature."""

    feature: str = string()
    error_code: int = int16()
    error_message: str | None = string(nullable="0+", default=None)


@dataclass(slots=True)
class UpdateFeaturesResponse(Response):
    """A top-level error, or one result for each feature."""

    API = ApiKey.UPDATE_FEATURES

    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable="0+", default=None)
    results: list[UpdatableFeatureResult] = array(UpdatableFeatureResult, ignorable=True)
