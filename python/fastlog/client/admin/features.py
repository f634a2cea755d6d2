"""Features of the cluster: which levels are in force, and how to change them (KIP-584, KIP-778)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from fastlog.client.admin.answer_errors import check, each_of, failure
from fastlog.client.admin.cluster import Feature, ask_abilities, features_of
from fastlog.client.cluster import Cluster
from fastlog.client.errors import ClientError
from fastlog.wire.messages.update_features import (
    FeatureUpdateKey,
    UpdateFeaturesRequest,
    UpdateFeaturesResponse,
)

__all__ = ["FeatureUpdate", "Features", "UpgradeType", "describe_features", "update_features"]

_KINDS_SINCE: Final = 1
"""Version of UpdateFeatures with kinds of changes, and that can just check (KIP-778, Kafka 3.2)."""


class UpgradeType(IntEnum):
    """What a change may be (Kafka's FeatureUpdate.UpgradeType)."""

    UPGRADE = 1
    SAFE_DOWNGRADE = 2
    UNSAFE_DOWNGRADE = 3
    """One that may lose what the lower level cannot hold."""


@dataclass(frozen=True, slots=True)
class FeatureUpdate:
    """A new level; 0 takes the feature out of force."""

    level: int
    kind: UpgradeType = UpgradeType.UPGRADE


@dataclass(frozen=True, slots=True)
class Features:
    """All features by name. `epoch` grows with each change; None where nothing was ever finalized."""

    features: dict[str, Feature]
    epoch: int | None


async def describe_features(cluster: Cluster, *, node: int | None = None) -> Features:
    """What a broker can run with, and what is in force, as `node` or any other knows it."""
    answer = await ask_abilities(cluster, node)
    check(answer.error_code, None, answer)
    epoch = answer.finalized_features_epoch
    return Features({row.name: row for row in features_of(answer)}, None if epoch < 0 else epoch)


async def update_features(
    cluster: Cluster, updates: Mapping[str, FeatureUpdate | int], *, validate_only: bool = False
) -> dict[str, ClientError | None]:
    """Changes levels; a number alone is an upgrade. Raises ClientError for the whole call.

    Where one of the changes cannot be done brokers do none of them.
    """
    if not updates:
        return {}
    wanted = {name: FeatureUpdate(item) if isinstance(item, int) else item for name, item in updates.items()}
    body = UpdateFeaturesRequest(
        timeout_ms=cluster.answer_timeout_ms,
        feature_updates=[
            FeatureUpdateKey(feature=name, max_version_level=item.level, upgrade_type=item.kind)
            for name, item in wanted.items()
        ],
        validate_only=validate_only,
    )
    answer = await cluster.controller_request(body, UpdateFeaturesResponse, lowest=_KINDS_SINCE)
    check(answer.error_code, answer.error_message, answer)
    found = {row.feature: failure(row.error_code, row.error_message, answer) for row in answer.results}
    return each_of(wanted, found, answer)
