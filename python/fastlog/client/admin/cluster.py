"""The cluster itself: what each broker speaks, and the features that all have settled on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from fastlog.client.admin.answer_errors import failure
from fastlog.client.cluster import Cluster
from fastlog.client.errors import ClientError
from fastlog.net.versions import SOFTWARE_NAME
from fastlog.wire import ApiKey
from fastlog.wire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse

__all__ = ["BrokerAbilities", "Feature", "broker_abilities"]


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


async def broker_abilities(
    cluster: Cluster, nodes: Iterable[int]
) -> dict[int, BrokerAbilities | ClientError]:
    """What each of these brokers announces."""

    async def ask(node: int) -> BrokerAbilities | ClientError:
        body = ApiVersionsRequest(client_software_name=SOFTWARE_NAME, client_software_version="0")
        try:
            answer = await cluster.request(body, ApiVersionsResponse, node=node)
        except ClientError as error:
            return error
        return failure(answer.error_code, None, ApiKey.API_VERSIONS) or _abilities(answer)

    wanted = list(nodes)
    return dict(zip(wanted, await asyncio.gather(*map(ask, wanted)), strict=True))


def _abilities(answer: ApiVersionsResponse) -> BrokerAbilities:
    in_force = {row.name: row.max_version_level for row in answer.finalized_features}
    return BrokerAbilities(
        apis={row.api_key: (row.min_version, row.max_version) for row in answer.api_keys},
        features=tuple(
            Feature(row.name, row.min_version, row.max_version, in_force.get(row.name))
            for row in sorted(answer.supported_features, key=lambda item: item.name)
        ),
    )
