"""The cluster itself: its brokers, what each of them speaks, and the features that all have settled on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from fastlog.client.admin.acl_values import AclOperation, operations_of
from fastlog.client.admin.answer_errors import check, failure
from fastlog.client.cluster import Cluster
from fastlog.client.errors import ClientError, VersionMismatch
from fastlog.client.metadata import BrokerNode
from fastlog.net.versions import SOFTWARE_NAME
from fastlog.wire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from fastlog.wire.messages.cluster import DescribeClusterRequest, DescribeClusterResponse

__all__ = [
    "BrokerAbilities",
    "ClusterDescription",
    "Feature",
    "ask_abilities",
    "broker_abilities",
    "describe_cluster",
    "features_of",
]


@dataclass(frozen=True, slots=True)
class Feature:
    """Levels that a broker can run with, and the one in force (None: not set). KIP-584."""

    name: str
    lowest: int
    highest: int
    in_force: int | None


@dataclass(frozen=True, slots=True)
class BrokerAbilities:
    """Version ranges by API key (keys that this package does not know are in it too), and features."""

    apis: dict[int, tuple[int, int]]
    features: tuple[Feature, ...]


@dataclass(frozen=True, slots=True)
class ClusterDescription:
    """The live brokers by node id, and which of them is the controller (None: there is none now).

    `authorized_operations` are what the client may do with the cluster; None when that was not asked for.
    Clusters in KRaft mode name any broker as the controller.
    """

    cluster_id: str | None
    controller: int | None
    brokers: dict[int, BrokerNode]
    authorized_operations: frozenset[AclOperation] | None = None


async def describe_cluster(
    cluster: Cluster, *, include_authorized_operations: bool = False
) -> ClusterDescription:
    """Asks any broker. Brokers before 2.8 cannot tell of operations: VersionMismatch. Raises ClientError."""
    body = DescribeClusterRequest(include_cluster_authorized_operations=include_authorized_operations)
    try:
        answer = await cluster.request(body, DescribeClusterResponse)
    except VersionMismatch:
        if include_authorized_operations:
            raise
        found = await cluster.metadata([])
        controller = None if found.controller_id < 0 else found.controller_id
        return ClusterDescription(found.cluster_id, controller, found.brokers)
    check(answer.error_code, answer.error_message, answer)
    return ClusterDescription(
        answer.cluster_id,
        None if answer.controller_id < 0 else answer.controller_id,
        {
            row.broker_id: BrokerNode(row.broker_id, row.host, row.port, row.rack)
            for row in sorted(answer.brokers, key=lambda row: row.broker_id)
        },
        operations_of(answer.cluster_authorized_operations),
    )


async def broker_abilities(
    cluster: Cluster, nodes: Iterable[int]
) -> dict[int, BrokerAbilities | ClientError]:
    """What each of these brokers announces."""

    async def ask(node: int) -> BrokerAbilities | ClientError:
        try:
            answer = await ask_abilities(cluster, node)
        except ClientError as error:
            return error
        return failure(answer.error_code, None, answer) or BrokerAbilities(
            apis={row.api_key: (row.min_version, row.max_version) for row in answer.api_keys},
            features=features_of(answer),
        )

    wanted = list(nodes)
    return dict(zip(wanted, await asyncio.gather(*map(ask, wanted)), strict=True))


async def ask_abilities(cluster: Cluster, node: int | None) -> ApiVersionsResponse:
    """What a broker announces, or any broker. Raises ClientError."""
    body = ApiVersionsRequest(client_software_name=SOFTWARE_NAME, client_software_version="0")
    return await cluster.request(body, ApiVersionsResponse, node=node)


def features_of(answer: ApiVersionsResponse) -> tuple[Feature, ...]:
    """Its features, in order of their names."""
    in_force = {row.name: row.max_version_level for row in answer.finalized_features}
    return tuple(
        Feature(row.name, row.min_version, row.max_version, in_force.get(row.name))
        for row in sorted(answer.supported_features, key=lambda item: item.name)
    )
