"""What a controller finalizes by itself: in new clusters, and where nobody but fastlog can have been."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from fastlog.coordination.features import KNOWN
from fastlog.coordination.znodes import feature_node, node_json, paths
from fastlog.wire.messages.update_features import FeatureUpdateKey, UpdateFeaturesRequest
from tests.unit.coordination.controller.cluster import Cluster

FEATURES: Final = feature_node.registered(KNOWN)
OF_KAFKA: Final[dict[str, dict[str, int]]] = {}
BY_DEFAULT: Final = {"transaction.version": 2}


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path) as made:
        yield made


def levels(cluster: Cluster) -> tuple[int, dict[str, int]]:
    """(epoch, what is finalized)."""
    node = cluster.keeper.machine.tree.nodes[paths.FEATURE]
    return node.version, feature_node.decode(paths.FEATURE, node.data)


async def next_term(cluster: Cluster, broker_id: int) -> None:
    """The broker is started again, and is the controller."""
    await cluster.stop(broker_id)
    await cluster.broker(broker_id, features=FEATURES)
    await cluster.active(broker_id)


async def test_a_new_cluster_has_it(cluster: Cluster) -> None:
    await cluster.broker(1, 2, features=FEATURES)
    await cluster.active(1)
    # Clients that have seen epoch 0, without it, take note of a higher one alone.
    assert levels(cluster) == (1, BY_DEFAULT)


async def test_not_where_a_broker_does_not_know_it(cluster: Cluster) -> None:
    await cluster.broker(1, features=FEATURES)
    await cluster.broker(2, features=OF_KAFKA)
    await cluster.active(1)
    assert levels(cluster) == (0, {})
    # Brokers of Kafka may be to come back: that they are gone changes nothing.
    await cluster.stop(2)
    await next_term(cluster, 1)
    assert levels(cluster) == (0, {})


async def test_not_where_a_broker_that_has_replicas_is_away(cluster: Cluster) -> None:
    await cluster.broker(1, features=FEATURES)
    await cluster.topic("a", (1, 2))
    await cluster.active(1)
    assert levels(cluster) == (0, {})


async def test_not_where_the_operator_says_so(cluster: Cluster) -> None:
    cluster.settings = replace(cluster.settings, default_transaction_version=0)
    await cluster.broker(1, features=FEATURES)
    await cluster.active(1)
    assert levels(cluster) == (0, {})


async def test_a_broker_alone_of_an_older_release_gets_it_and_an_ensemble_does_not(cluster: Cluster) -> None:
    await cluster.admin.create(paths.FEATURE, node_json.NO_FEATURES)
    await cluster.broker(1, features=FEATURES)
    await cluster.topic("a", (1,))
    await cluster.active(1)
    assert levels(cluster) == (0, {})
    cluster.settings = replace(cluster.settings, keeps_tree=True)
    await cluster.broker(2, features=OF_KAFKA)
    await next_term(cluster, 1)
    assert levels(cluster) == (0, {})
    await cluster.stop(2)
    await cluster.topic("b", (1, 2))
    await next_term(cluster, 1)
    assert levels(cluster) == (0, {})
    await cluster.broker(2, features=FEATURES)
    await next_term(cluster, 1)
    assert levels(cluster) == (1, BY_DEFAULT)


@pytest.mark.parametrize("keeps_tree", [False, True])
async def test_what_an_operator_takes_back_stays_so(cluster: Cluster, keeps_tree: bool) -> None:
    cluster.settings = replace(cluster.settings, keeps_tree=keeps_tree)
    await cluster.broker(1, features=FEATURES)
    controller = await cluster.active(1)
    row = FeatureUpdateKey("transaction.version", 0, upgrade_type=2)
    response, epoch = await controller.update_features(UpdateFeaturesRequest(feature_updates=[row]), 1)
    assert ([row.error_code for row in response.results], epoch) == ([0], 2)
    await next_term(cluster, 1)
    assert levels(cluster) == (2, {})


async def test_a_node_that_cannot_be_read_is_left_alone(cluster: Cluster) -> None:
    cluster.settings = replace(cluster.settings, keeps_tree=True)
    await cluster.admin.create(paths.FEATURE, b"no JSON")
    await cluster.broker(1, features=FEATURES)
    controller = await cluster.active(1)
    assert controller.is_active
    assert cluster.data(paths.FEATURE) == b"no JSON"


async def test_a_broker_that_comes_without_it_is_named(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    await cluster.broker(1, features=FEATURES)
    await cluster.active(1)
    await cluster.broker(2, features=OF_KAFKA)
    await next_term(cluster, 1)
    assert levels(cluster) == (1, BY_DEFAULT)
    assert "broker 2 does not know transaction.version, which is finalized" in caplog.text
