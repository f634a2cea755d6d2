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


def updated(broker: BrokerProcess, feature: str, level: int) -> tuple[int, list[int]]:
    """(error of the whole, of each feature)."""
    with Link(broker.port) as link:
        answer = link.call(UpdateFeaturesRequest(feature_updates=[FeatureUpdateKey(feature, level)]), 1)
    assert isinstance(answer, UpdateFeaturesResponse)
    return answer.error_code, [row.error_code for row in answer.results]


async def finalize(client: ZkClient) -> None:
    await client.set(paths.FEATURE, feature_node.encode({"some.version": 1}))


def test_features_are_the_controllers_and_shown_by_all(tmp_path: Path) -> None:
    with KeeperProcess(tmp_path / "keeper", tick_ms=500) as keeper:

        def broker(node_id: int) -> BrokerProcess:
            settings = {"broker.id": str(node_id), "zookeeper.connect": keeper.address}
            return BrokerProcess(tmp_path / str(node_id), settings=settings)

        with broker(1) as one:
            served = finalized(one)[1]
            assert "group.version" in served
            with broker(2) as two:
                wait_until(lambda: finalized(two)[0] == 0, "it does not serve", seconds=60)
                # There is none yet that could be finalized.
                assert updated(one, "some.version", 1) == (0, [ErrorCode.INVALID_REQUEST])
                assert updated(two, "some.version", 1) == (ErrorCode.NOT_CONTROLLER, [])
                at(keeper.address, finalize)
                for each in (one, two):
                    wait_until(
                        lambda each=each: finalized(each) == (1, {**served, "some.version": 1}),
                        "the level is not to be seen",
                        seconds=30,
                    )
                unknown = "finalized some.version at 1, which this broker does not know"
                wait_until(lambda: unknown in two.log_text, "nothing is said of it", seconds=30)
