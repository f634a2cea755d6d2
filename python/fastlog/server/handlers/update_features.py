"""UpdateFeatures (57): an operator has features finalized for the whole cluster (KIP-584). Versions 0 and 1.

Version 0 says with `allow_downgrade` what 1 says with `upgrade_type`, and cannot only check. Only the
controller does it: NOT_CONTROLLER elsewhere. The answer comes when this broker's view shows what was written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.update_features import UpdateFeaturesRequest, UpdateFeaturesResponse

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext


@handles(ApiKey.UPDATE_FEATURES)
async def handle(ctx: RequestContext, request: UpdateFeaturesRequest) -> UpdateFeaturesResponse:
    """A code for each feature."""
    return await ctx.broker.member.update_features(request, ctx.header.api_version)
