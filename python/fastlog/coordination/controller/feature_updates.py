"""An operator has features finalized, or not any more: the controller writes `/feature` (KIP-584).

All that may be changed of a request is written at once. The node has no fence but its own version, as with
Kafka's controller.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from fastlog.coordination.controller.events import Turns
from fastlog.coordination.controller.term import Term
from fastlog.coordination.features import FeatureUpdate, Levels, planned
from fastlog.coordination.store import MetadataDamaged, StoreError
from fastlog.coordination.znodes import feature_node, paths
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.errors import BadVersion, ConnectionLoss, NoNode
from fastlog.errors import ErrorCode, KafkaError
from fastlog.wire.messages.update_features import (
    UpdatableFeatureResult,
    UpdateFeaturesRequest,
    UpdateFeaturesResponse,
)

_TRIES: Final = 3
_SAFE, _UPGRADE = 2, 1


class Updated(NamedTuple):
    """The answer, and the epoch of the features that brokers are to see; None when nothing was written."""

    response: UpdateFeaturesResponse
    epoch: int | None


async def update(term: Term, client: ZkClient, request: UpdateFeaturesRequest, version: int) -> Updated:
    """Raises StoreError, ZkError."""
    wanted: Levels | None = None
    response = UpdateFeaturesResponse()
    for _ in range(_TRIES):
        try:
            data, stat = await client.get(paths.FEATURE)
        except NoNode:
            # A controller makes it before it serves: somebody has removed it.
            raise StoreError(f"there is no {paths.FEATURE}") from None
        try:
            before = feature_node.decode(paths.FEATURE, data)
        except MetadataDamaged as error:
            return Updated(failed(request, str(error)), None)
        if before == wanted:
            # It was written, and the answer was lost.
            return Updated(response, stat.version)
        after, results = await _plan(term, before, request, version)
        response = UpdateFeaturesResponse(results=results)
        if after == before or request.validate_only:
            return Updated(response, None)
        try:
            wanted = after
            written = await client.set(paths.FEATURE, feature_node.encode(after), stat.version)
        except (BadVersion, ConnectionLoss):
            # Another controller, or the answer was lost: what is there now is looked at.
            continue
        return Updated(response, written.version)
    return Updated(failed(request, "the node is changed by others all the time"), None)


def not_controller() -> Updated:
    """The answer of a broker that is not the controller."""
    return Updated(UpdateFeaturesResponse(error_code=ErrorCode.NOT_CONTROLLER), None)


def failed(request: UpdateFeaturesRequest, why: str) -> UpdateFeaturesResponse:
    """The answer when it could not be written, or is not to be seen."""
    code = int(ErrorCode.FEATURE_UPDATE_FAILED)
    return UpdateFeaturesResponse(
        results=[UpdatableFeatureResult(item.feature, code, why) for item in request.feature_updates]
    )


async def _plan(
    term: Term, levels: Levels, request: UpdateFeaturesRequest, version: int
) -> tuple[Levels, list[UpdatableFeatureResult]]:
    brokers = [(broker.id, broker.features) for broker in term.context.brokers.values()]
    results = []
    turns = Turns()
    for item in request.feature_updates:
        # Before version 1 a flag says that a lower level is meant.
        kind = item.upgrade_type if version >= 1 else _SAFE if item.allow_downgrade else _UPGRADE
        asked = FeatureUpdate(item.feature, item.max_version_level, kind)
        try:
            levels = planned(asked, levels, brokers)
        except KafkaError as error:
            results.append(UpdatableFeatureResult(item.feature, int(error.code), str(error)))
        else:
            results.append(UpdatableFeatureResult(item.feature, 0, None))
        await turns.step()
    return levels, results
