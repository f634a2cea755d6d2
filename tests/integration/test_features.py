"""Features of the cluster over the wire: two members on a keeper, one of them the controller."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastlog.coordination.znodes import feature_node, paths
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.errors import ErrorCode
from fastlog.wire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from fastlog.wire.messages.update_features import (
    FeatureUpdateKey,
    UpdateFeaturesRequest,
    UpdateFeaturesResponse,
)
from tests.harness.broker_process import BrokerProcess
from tests.harness.keeper_process import KeeperProcess
from tests.harness.link import Link
from tests.harness.tree import at
from tests.harness.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def finalized(broker: BrokerProcess) -> tuple[int, dict[str, int]]:
    """(epoch, level by feature), as a broker tells them."""
    with Link(broker.port) as link:
        request = ApiVersionsRequest(client_software_name="test", client_software_version="1")
        answer = link.call(request, 4)
    assert isinstance(answer, ApiVersionsResponse)
    return answer.finalized_features_epoch, {
        row.name: row.max_version_level for row in answer.finalized_features
    }


def updated(broker: BrokerProcess, feature: str, level: int, kind: int = 1) -> tuple[int, list[int]]:
    """(error of the whole, of each feature). `kind` is its upgrade type."""
    row = FeatureUpdateKey(feature, level, upgrade_type=kind)
    with Link(broker.port) as link:
        answer = link.call(UpdateFeaturesRequest(feature_updates=[row]), 1)
    assert isinstance(answer, UpdateFeaturesResponse)
    return answer.error_code, [row.error_code for row in answer.results]


def shows(broker: BrokerProcess, epoch: int, levels: dict[str, int]) -> None:
    """Returns when it tells that: ApiVersions is answered before a broker that starts has looked."""
    wait_until(
        lambda: finalized(broker) == (epoch, levels),
        lambda: f"it tells {finalized(broker)}",
        seconds=60,
    )


async def finalize(client: ZkClient) -> None:
    levels = {"transaction.version": 2, "some.version": 1}
    await client.set(paths.FEATURE, feature_node.encode(levels))


def test_features_are_the_controllers_and_shown_by_all(tmp_path: Path) -> None:
    with KeeperProcess(tmp_path / "keeper", tick_ms=500) as keeper:

        def broker(node_id: int) -> BrokerProcess:
            settings = {"broker.id": str(node_id), "zookeeper.connect": keeper.address}
            return BrokerProcess(tmp_path / str(node_id), settings=settings)

        with broker(1) as one:
            served = {"group.version": 1, "transaction.version": 2}
            shows(one, 1, served)
            with broker(2) as two:
                shows(two, 1, served)
                assert updated(one, "some.version", 1) == (0, [ErrorCode.INVALID_REQUEST])
                assert updated(two, "some.version", 1) == (ErrorCode.NOT_CONTROLLER, [])
                at(keeper.address, finalize)
                for each in (one, two):
                    shows(each, 2, {**served, "some.version": 1})
                unknown = "finalized some.version at 1, which this broker does not know"
                wait_until(lambda: unknown in two.log_text, "nothing is said of it", seconds=30)


def test_a_broker_alone_has_transaction_version_until_it_is_taken_back(tmp_path: Path) -> None:
    older = {"fastlog.default.transaction.version": "0"}
    own = {"zookeeper.connect": ""}
    none, both = {"group.version": 1}, {"group.version": 1, "transaction.version": 2}
    # A directory whose /feature has none, as that of an older release.
    with BrokerProcess(tmp_path, settings={**own, **older}) as broker:
        wait_until(lambda: "ready:" in broker.log_text, "it does not serve", seconds=60)
        shows(broker, 0, none)
    with BrokerProcess(tmp_path, settings=own) as broker:
        shows(broker, 1, both)
        assert updated(broker, "transaction.version", 1) == (0, [ErrorCode.INVALID_REQUEST])
        assert updated(broker, "transaction.version", 0, kind=2) == (0, [0])
        assert finalized(broker) == (2, none)
        for end in (broker.kill, broker.stop):
            end()
            before = broker.log_text.count("ready:")
            broker.start()
            wait_until(lambda: broker.log_text.count("ready:") > before, "it does not serve", seconds=60)  # noqa: B023
            shows(broker, 2, none)
        assert updated(broker, "transaction.version", 2) == (0, [0])
        broker.stop()
        broker.start()
        shows(broker, 3, both)
