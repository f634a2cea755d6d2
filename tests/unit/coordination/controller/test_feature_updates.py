"""UpdateFeatures at the controller: what is written to `/feature`, and when."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastlog.coordination.controller.controller import Controller
from fastlog.coordination.znodes import feature_node, paths
from fastlog.coordination.zookeeper.errors import ConnectionLoss
from fastlog.errors import ErrorCode
from fastlog.wire.messages.update_features import FeatureUpdateKey, UpdateFeaturesRequest
from tests.unit.coordination.controller.cluster import Cluster

FEATURES = {"f": {"min_version": 1, "max_version": 3}, "g": {"min_version": 1, "max_version": 1}}
INVALID, FAILED = ErrorCode.INVALID_REQUEST, ErrorCode.FEATURE_UPDATE_FAILED


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path) as made:
        yield made


def request(*updates: tuple[str, int, int], check: bool = False) -> UpdateFeaturesRequest:
    rows = [FeatureUpdateKey(name, level, upgrade_type=kind) for name, level, kind in updates]
    return UpdateFeaturesRequest(feature_updates=rows, validate_only=check)


async def ask(
    controller: Controller, *updates: tuple[str, int, int], check: bool = False
) -> tuple[list[int], int | None]:
    response, epoch = await controller.update_features(request(*updates, check=check), 1)
    assert response.error_code == 0
    return [row.error_code for row in response.results], epoch


def levels(cluster: Cluster) -> dict[str, int]:
    return feature_node.decode("", cluster.data(paths.FEATURE))


async def test_what_can_be_is_written_at_once_and_the_rest_is_refused(cluster: Cluster) -> None:
    await cluster.broker(1, 2, features=FEATURES)
    controller = await cluster.active(1)
    assert await ask(controller, ("f", 2, 1), ("h", 1, 1), ("g", 1, 1)) == ([0, INVALID, 0], 1)
    assert levels(cluster) == {"f": 2, "g": 1}
    assert await ask(controller, ("f", 3, 1), check=True) == ([0], None)
    assert await ask(controller, ("f", 2, 1)) == ([INVALID], None)
    assert levels(cluster) == {"f": 2, "g": 1}
    # Each of its epochs is a change.
    assert await ask(controller, ("f", 0, 2), ("g", 0, 3)) == ([0, 0], 2)
    assert levels(cluster) == {}


async def test_in_version_0_a_flag_says_that_it_is_a_downgrade(cluster: Cluster) -> None:
    await cluster.broker(1, features=FEATURES)
    controller = await cluster.active(1)
    await ask(controller, ("f", 3, 1))
    for allow, code in ((False, INVALID), (True, 0)):
        row = FeatureUpdateKey("f", 1, allow_downgrade=allow)
        response, _ = await controller.update_features(UpdateFeaturesRequest(feature_updates=[row]), 0)
        assert [row.error_code for row in response.results] == [code]
    assert levels(cluster) == {"f": 1}


async def test_a_broker_that_does_not_know_a_feature_keeps_it_from_being_finalized(cluster: Cluster) -> None:
    """Brokers of Kafka 3.9 in ZooKeeper mode know none, and end themselves when one is finalized."""
    await cluster.broker(1, features=FEATURES)
    await cluster.broker(2)
    controller = await cluster.active(1)
    assert await ask(controller, ("f", 1, 1)) == ([INVALID], None)
    await cluster.stop(2)
    await cluster.settled(controller)
    assert await ask(controller, ("f", 1, 1)) == ([0], 1)


async def test_who_is_not_the_controller_says_so(cluster: Cluster) -> None:
    await cluster.broker(1, 2, features=FEATURES)
    await cluster.active(1)
    other = await cluster.controller(2)
    response, epoch = await other.update_features(request(("f", 1, 1)), 1)
    assert (response.error_code, epoch) == (ErrorCode.NOT_CONTROLLER, None)


async def test_an_answer_that_is_lost_and_a_node_that_cannot_be_read(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.broker(1, features=FEATURES)
    controller = await cluster.active(1)
    client = cluster.sessions[1]
    write = client.set

    async def lost(path: str, data: bytes | None, version: int = -1) -> None:
        await write(path, data, version)
        raise ConnectionLoss("lost")

    monkeypatch.setattr(client, "set", lost)
    assert await ask(controller, ("f", 1, 1)) == ([0], 1)
    monkeypatch.undo()
    await cluster.admin.set(paths.FEATURE, b"no JSON")
    assert await ask(controller, ("f", 2, 1)) == ([FAILED], None)
    assert controller.is_active
