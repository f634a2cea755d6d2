"""ApiVersions (18): what this broker speaks, from the registry of handlers.

Versions 0 to 4. A version that is too new is answered by the dispatcher in a version 0 body (KIP-511). From
3 on the client names its software, which the session keeps; a name that Kafka would not take gets
INVALID_REQUEST. Features of the cluster (KIP-584) are those of `/feature`, and `group.version`: 1 while the
consumer protocol of KIP-848 is served.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from fastlog.coordination.features import GROUP_VERSION, KNOWN
from fastlog.errors import ErrorCode
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.api_versions import (
    ApiVersion,
    ApiVersionsRequest,
    ApiVersionsResponse,
    FinalizedFeatureKey,
    SupportedFeatureKey,
)

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext

SOFTWARE_FROM: Final = 3
_ZERO_FROM: Final = 4
_SOFTWARE: Final = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?", re.ASCII)


@handles(ApiKey.API_VERSIONS)
def handle(ctx: RequestContext, request: ApiVersionsRequest) -> ApiVersionsResponse:
    """Lists every registered API."""
    if ctx.header.api_version >= SOFTWARE_FROM:
        name, version = request.client_software_name, request.client_software_version
        if not (_SOFTWARE.fullmatch(name) and _SOFTWARE.fullmatch(version)):
            return ApiVersionsResponse(error_code=int(ErrorCode.INVALID_REQUEST))
        ctx.session.software_name, ctx.session.software_version = name, version
        ctx.broker.metrics.software.introduced(ctx.session)
    ctx.session.client_id = ctx.header.client_id
    return ApiVersionsResponse(
        api_keys=[
            ApiVersion(api_key=int(key), min_version=entry.min_version, max_version=entry.max_version)
            for key, entry in sorted(ctx.broker.registry.items())
        ],
        supported_features=[
            # Clients before version 4 take 0 for a mistake (KAFKA-17011).
            SupportedFeatureKey(feature.name, int(ctx.header.api_version < _ZERO_FROM), feature.highest)
            for feature in (GROUP_VERSION, *KNOWN.values())
        ],
        # A negative one says that the broker does not know.
        finalized_features_epoch=max(ctx.broker.cluster.features_epoch, 0),
        finalized_features=[
            FinalizedFeatureKey(name, level, level) for name, level in sorted(_finalized(ctx).items())
        ],
    )


def _finalized(ctx: RequestContext) -> dict[str, int]:
    levels = {
        name: level for name, level in ctx.broker.cluster.features.items() if name != GROUP_VERSION.name
    }
    if ctx.broker.groups.table.serves_consumer_protocol():
        levels[GROUP_VERSION.name] = GROUP_VERSION.highest
    return levels
