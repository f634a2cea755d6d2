"""A cluster that lets nothing leave but questions: the lock behind the lock of the verbs."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from fastlog.client.cluster import Cluster
from fastlog.verbs.problems import ReadOnly
from fastlog.wire import ApiKey, Request, Response

__all__ = ["QUESTIONS", "ReadOnlyCluster"]

R = TypeVar("R", bound=Response)

QUESTIONS: Final = frozenset(
    {
        ApiKey.API_VERSIONS,
        ApiKey.METADATA,
        ApiKey.FETCH,
        ApiKey.LIST_OFFSETS,
        ApiKey.OFFSET_FOR_LEADER_EPOCH,
        ApiKey.FIND_COORDINATOR,
        ApiKey.OFFSET_FETCH,
        ApiKey.LIST_GROUPS,
        ApiKey.DESCRIBE_GROUPS,
        ApiKey.CONSUMER_GROUP_DESCRIBE,
        ApiKey.DESCRIBE_CLUSTER,
        ApiKey.DESCRIBE_CONFIGS,
        ApiKey.DESCRIBE_LOG_DIRS,
        ApiKey.DESCRIBE_ACLS,
        ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS,
        ApiKey.DESCRIBE_CLIENT_QUOTAS,
        ApiKey.DESCRIBE_PRODUCERS,
        ApiKey.DESCRIBE_TRANSACTIONS,
        ApiKey.LIST_TRANSACTIONS,
        ApiKey.LIST_PARTITION_REASSIGNMENTS,
    }
)
"""What changes nothing. Others may leave when they are to be checked only (`validate_only`)."""


class ReadOnlyCluster(Cluster):
    """Raises ReadOnly for every request that would change something, before anything is sent."""

    async def _send(self, body: Request, answer: type[R], *args: Any, **kwargs: Any) -> R:
        if body.API not in QUESTIONS and getattr(body, "validate_only", False) is not True:
            raise ReadOnly(f"{body.API.name} changes something, and this desk may only look")
        return await super()._send(body, answer, *args, **kwargs)
