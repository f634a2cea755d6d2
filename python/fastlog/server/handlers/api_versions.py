"""ApiVersions (18): what this broker speaks, from the registry of handlers.

Versions 0 to 4. A version that is too new is answered by the dispatcher in a version 0 body (KIP-511). From
3 on the client names its software, which the session keeps; a name that Kafka would not take gets
INVALID_REQUEST. The one cluster
feature (KIP-584) is `group.version`: 1 while the consumer protocol of KIP-848 is served.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

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
_GROUP_FEATURE: Final = "group.version"
_GROUP_LEVEL: Final = 1
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
            SupportedFeatureKey(_GROUP_FEATURE, int(ctx.header.api_version < _ZERO_FROM), _GROUP_LEVEL)
        ],
        finalized_features_epoch=0,
        finalized_features=(
            [FinalizedFeatureKey(_GROUP_FEATURE, _GROUP_LEVEL, _GROUP_LEVEL)]
            if ctx.broker.groups.table.serves_consumer_protocol()
            else []
        ),
    )
