"""ApiVersions (18): what this broker speaks, from the registry of handlers.

Versions 0 to 4. A version that is too new is answered by the dispatcher in a version 0 body (KIP-511). From
3 on the client names its software; a name that Kafka would not take gets INVALID_REQUEST. There are no
cluster features (KIP-584): the feature lists stay empty.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.server.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.api_versions import ApiVersion, ApiVersionsRequest, ApiVersionsResponse

if TYPE_CHECKING:
    from fastlog.server.context import RequestContext

SOFTWARE_FROM: Final = 3
_SOFTWARE: Final = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?", re.ASCII)


@handles(ApiKey.API_VERSIONS)
def handle(ctx: RequestContext, request: ApiVersionsRequest) -> ApiVersionsResponse:
    """Lists every registered API."""
    if ctx.header.api_version >= SOFTWARE_FROM and not (
        _SOFTWARE.fullmatch(request.client_software_name)
        and _SOFTWARE.fullmatch(request.client_software_version)
    ):
        return ApiVersionsResponse(error_code=int(ErrorCode.INVALID_REQUEST))
    return ApiVersionsResponse(
        api_keys=[
            ApiVersion(api_key=int(key), min_version=entry.min_version, max_version=entry.max_version)
            for key, entry in sorted(ctx.broker.registry.items())
        ]
    )
