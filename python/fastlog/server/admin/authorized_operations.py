"""Bit sets of the operations that a client may do (KIP-430), as Metadata and DescribeCluster answer them.

Without an authorizer everybody may do everything that exists for the resource.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.coordination.access.rules import CLUSTER_NAME, Operation, Resource

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext
    from fastlog.wire import ApiKey


def _bits(*operations: Operation) -> int:
    return sum(1 << operation for operation in operations)


TOPIC_OPERATIONS: Final = _bits(
    Operation.READ,
    Operation.WRITE,
    Operation.CREATE,
    Operation.DELETE,
    Operation.ALTER,
    Operation.DESCRIBE,
    Operation.DESCRIBE_CONFIGS,
    Operation.ALTER_CONFIGS,
)
# The last two came with the configurations of groups in Kafka 4.0.
GROUP_OPERATIONS: Final = _bits(
    Operation.READ,
    Operation.DELETE,
    Operation.DESCRIBE,
    Operation.DESCRIBE_CONFIGS,
    Operation.ALTER_CONFIGS,
)
CLUSTER_OPERATIONS: Final = _bits(
    Operation.CREATE,
    Operation.ALTER,
    Operation.DESCRIBE,
    Operation.CLUSTER_ACTION,
    Operation.DESCRIBE_CONFIGS,
    Operation.ALTER_CONFIGS,
    Operation.IDEMPOTENT_WRITE,
)


def topic_operations(ctx: RequestContext, name: str) -> int:
    """Those of a topic, whether or not it is there."""
    return TOPIC_OPERATIONS if ctx.ask is None else ctx.ask.bits(Resource.TOPIC, name, TOPIC_OPERATIONS)


def group_operations(ctx: RequestContext, group_id: str) -> int:
    """Those of a group."""
    return GROUP_OPERATIONS if ctx.ask is None else ctx.ask.bits(Resource.GROUP, group_id, GROUP_OPERATIONS)


def cluster_operations(ctx: RequestContext, key: ApiKey) -> int:
    """Those of the cluster; none for who may not describe it, which is the last row of the API."""
    if ctx.ask is None:
        return CLUSTER_OPERATIONS
    from fastlog.server.access.gate import rows  # with an authorizer alone

    may = ctx.ask.may(rows(key)[-1].operation, Resource.CLUSTER, CLUSTER_NAME)
    ctx.ask.tell()
    return ctx.ask.bits(Resource.CLUSTER, CLUSTER_NAME, CLUSTER_OPERATIONS) if may else 0
