"""Administers a cluster from coroutines.

async with AsyncAdmin("127.0.0.1:9092") as admin:
    (await admin.create_topics([NewTopic("clicks", partitions=6)])).check()

The calls are the functions of the modules beside this one, with what they return in the place of what they
are given: a dictionary of values and errors becomes `Outcomes`. Their signatures and texts are there.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack

from fastlog.client.admin import (
    acls,
    client_quotas,
    cluster,
    configs,
    delegation_tokens,
    elections,
    features,
    groups,
    hanging_transactions,
    log_dirs,
    log_offsets,
    offsets,
    reassignments,
    record_deletion,
    topics,
    transactions,
    users,
)
from fastlog.client.admin.config import AdminConfig, AdminOptions
from fastlog.client.admin.opening import AdminCluster
from fastlog.client.admin.outcomes import Outcomes
from fastlog.client.cluster import Cluster
from fastlog.client.errors import ClientError

__all__ = ["AsyncAdmin"]

P = ParamSpec("P")
K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")


def _each(
    work: Callable[Concatenate[Cluster, P], Coroutine[Any, Any, dict[K, V | ClientError]]],
) -> Callable[Concatenate[AsyncAdmin, P], Coroutine[Any, Any, Outcomes[K, V]]]:
    """A call about several things, each of which has a result or an error."""

    @wraps(work)
    async def call(self: AsyncAdmin, /, *args: P.args, **kwargs: P.kwargs) -> Outcomes[K, V]:
        return Outcomes(await work(await self._cluster(), *args, **kwargs), work.__name__)

    return call


def _whole(
    work: Callable[Concatenate[Cluster, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[AsyncAdmin, P], Coroutine[Any, Any, T]]:
    """A call with one result; its error is raised."""

    @wraps(work)
    async def call(self: AsyncAdmin, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await work(await self._cluster(), *args, **kwargs)

    return call


class AsyncAdmin:
    """An admin client for one event loop; an async context manager, but it starts by itself, too.

    `bootstrap_servers` are addresses (`host:port`), `options` those of `AdminConfig`; `config` takes Kafka's
    dotted names. A `cluster` that the caller has opened is used instead of an own one. Raises ConfigError.

    Requests go to the node that has to answer, and again while their failure may pass and the time is not up
    (`default_api_timeout_ms`, or that of `within`), but for those that must not be carried out twice.
    """

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str] | None = None,
        *,
        cluster: Cluster | None = None,
        config: Mapping[str, object] | None = None,
        **options: Unpack[AdminOptions],
    ) -> None:
        given: dict[str, object] = dict(options)
        if bootstrap_servers is not None:
            given["bootstrap_servers"] = bootstrap_servers
        self._config = AdminConfig.of(given, config)
        self._opening = AdminCluster(self._config, cluster)
        self._timeout_ms = self._config.default_api_timeout_ms

    async def __aenter__(self) -> Self:
        try:
            await self._cluster()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes all connections. May be called more than once."""
        await self._opening.close()

    def within(self, timeout_ms: int) -> Self:
        """The same client, connections included, with another limit for its calls. Raises ValueError."""
        if timeout_ms < 1:
            raise ValueError(f"{timeout_ms} ms are no time")
        other = copy.copy(self)
        other._timeout_ms = timeout_ms
        return other

    async def _cluster(self) -> Cluster:
        return (await self._opening.opened()).within(self._timeout_ms)

    # -- topics and their records --------------------

    create_topics = _each(topics.create_topics)
    delete_topics = _each(topics.delete_topics)
    delete_topics_by_id = _each(topics.delete_topics_by_id)
    describe_topics = _each(topics.describe_topics)
    describe_topics_by_id = _each(topics.describe_topics_by_id)
    list_topics = _whole(topics.list_topics)
    create_partitions = _each(topics.create_partitions)
    delete_records = _each(record_deletion.delete_records)
    list_offsets = _each(log_offsets.list_offsets)

    # -- settings --------------------

    describe_configs = _each(configs.describe_configs)
    alter_configs = _each(configs.alter_configs)

    # -- groups --------------------

    list_groups = _whole(groups.list_groups)
    describe_groups = _each(groups.describe_groups)
    delete_groups = _each(groups.delete_groups)
    remove_members = _each(groups.remove_members)
    list_group_offsets = _each(offsets.list_group_offsets)
    alter_group_offsets = _each(offsets.alter_group_offsets)
    delete_group_offsets = _each(offsets.delete_group_offsets)

    # -- the cluster, and where partitions are --------------------

    describe_cluster = _whole(cluster.describe_cluster)
    describe_features = _whole(features.describe_features)
    update_features = _each(features.update_features)
    elect_leaders = _each(elections.elect_leaders)
    alter_partition_reassignments = _each(reassignments.alter_partition_reassignments)
    list_partition_reassignments = _whole(reassignments.list_partition_reassignments)
    describe_log_dirs = _each(log_dirs.describe_log_dirs)
    alter_replica_log_dirs = _each(log_dirs.alter_replica_log_dirs)

    # -- transactions --------------------

    list_transactions = _whole(transactions.list_transactions)
    describe_transactions = _each(transactions.describe_transactions)
    describe_producers = _each(transactions.describe_producers)
    abort_transaction = _whole(transactions.abort_transaction)
    fence_producers = _each(transactions.fence_producers)
    find_hanging_transactions = _whole(hanging_transactions.find_hanging_transactions)

    # -- users, limits, access rules --------------------

    describe_users = _each(users.describe_users)
    alter_users = _each(users.alter_users)
    describe_client_quotas = _whole(client_quotas.describe_client_quotas)
    alter_client_quotas = _each(client_quotas.alter_client_quotas)
    create_delegation_token = _whole(delegation_tokens.create_delegation_token)
    renew_delegation_token = _whole(delegation_tokens.renew_delegation_token)
    expire_delegation_token = _whole(delegation_tokens.expire_delegation_token)
    describe_delegation_tokens = _whole(delegation_tokens.describe_delegation_tokens)
    describe_acls = _whole(acls.describe_acls)
    create_acls = _each(acls.create_acls)
    delete_acls = _each(acls.delete_acls)
