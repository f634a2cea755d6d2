"""DescribeCluster (60): cluster id, controller and brokers on the client's listener (KIP-700).

Versions 0 and 1; from 1 on `endpoint_type` must be 1 (brokers): controllers of their own there are none, so
that 2 gets UNSUPPORTED_ENDPOINT_TYPE, anything else INVALID_REQUEST (KIP-919).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.server.authorized_operations import CLUSTER_OPERATIONS
from fastlog.server.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.cluster import (
    DescribeClusterBroker,
    DescribeClusterRequest,
    DescribeClusterResponse,
)
from fastlog.wire.messages.common import UNKNOWN_OPERATIONS

if TYPE_CHECKING:
    from fastlog.server.context import RequestContext

_BROKERS: Final = 1
_CONTROLLERS: Final = 2


@handles(ApiKey.DESCRIBE_CLUSTER)
def handle(ctx: RequestContext, request: DescribeClusterRequest) -> DescribeClusterResponse:
    """Answers from the cluster's current state."""
    if request.endpoint_type != _BROKERS:
        controllers = request.endpoint_type == _CONTROLLERS
        code = ErrorCode.UNSUPPORTED_ENDPOINT_TYPE if controllers else ErrorCode.INVALID_REQUEST
        return DescribeClusterResponse(
            error_code=int(code),
            error_message=f"endpoint type {request.endpoint_type} is not served by this listener",
            endpoint_type=request.endpoint_type,
        )
    snapshot = ctx.broker.cluster.snapshot
    wanted = request.include_cluster_authorized_operations
    return DescribeClusterResponse(
        endpoint_type=_BROKERS,
        cluster_id=snapshot.cluster_id,
        controller_id=snapshot.controller_id,
        brokers=[
            DescribeClusterBroker(info.id, *info.endpoints[ctx.listener], info.rack)
            for info in snapshot.brokers
            if ctx.listener in info.endpoints
        ],
        cluster_authorized_operations=CLUSTER_OPERATIONS if wanted else UNKNOWN_OPERATIONS,
    )
