"""DescribeCluster (60): cluster id, controller and brokers on the client's listener (KIP-700).

Versions 0 and 1; from 1 on `endpoint_type` must be 1 (brokers): 2 asks for controllers, which this listener
does not lead to (MISMATCHED_ENDPOINT_TYPE), anything else is UNSUPPORTED_ENDPOINT_TYPE (KIP-919).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.server.admin.authorized_operations import cluster_operations
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.cluster import (
    DescribeClusterBroker,
    DescribeClusterRequest,
    DescribeClusterResponse,
)
from fastlog.wire.messages.common import UNKNOWN_OPERATIONS

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext

_BROKERS: Final = 1
_CONTROLLERS: Final = 2


@handles(ApiKey.DESCRIBE_CLUSTER)
def handle(ctx: RequestContext, request: DescribeClusterRequest) -> DescribeClusterResponse:
    """Answers from the cluster's current state."""
    if request.endpoint_type != _BROKERS:
        controllers = request.endpoint_type == _CONTROLLERS
        code = ErrorCode.MISMATCHED_ENDPOINT_TYPE if controllers else ErrorCode.UNSUPPORTED_ENDPOINT_TYPE
        return DescribeClusterResponse(
            error_code=int(code),
            error_message=f"endpoint type {request.endpoint_type} is not served by this listener",
            endpoint_type=_BROKERS,
        )
    snapshot = ctx.broker.cluster.snapshot
    listener = ctx.session.listener.name
    operations = UNKNOWN_OPERATIONS
    if request.include_cluster_authorized_operations:
        operations = cluster_operations(ctx, request.API)
    return DescribeClusterResponse(
        endpoint_type=_BROKERS,
        cluster_id=snapshot.cluster_id,
        controller_id=snapshot.controller_id,
        brokers=[
            DescribeClusterBroker(info.id, *info.endpoints[listener], info.rack)
            for info in snapshot.brokers
            if listener in info.endpoints
        ],
        cluster_authorized_operations=operations,
    )
