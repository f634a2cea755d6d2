"""What brokers see of `/feature` while others write it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastlog.coordination.cluster_view import ClusterView
from fastlog.coordination.features import Feature
from fastlog.coordination.member.feature_watch import FeatureWatch
from fastlog.coordination.member.tree import MemberTree
from fastlog.coordination.znodes import feature_node, node_json, paths
from tests.unit.coordination.controller.tree_world import World, until


async def test_levels_follow_the_node_and_unknown_ones_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with World(tmp_path) as world:
        view, changes = ClusterView(), []
        tree = MemberTree(await world.client(), wait_seconds=5)
        watch = FeatureWatch(
            tree, view, {"f": Feature("f", 2)}, lambda: changes.append(dict(view.features)), world.tasks
        )
        watch.start()
        await world.admin.create(paths.FEATURE, node_json.NO_FEATURES)
        await until(lambda: view.features_epoch == 0)
        await world.admin.set(paths.FEATURE, feature_node.encode({"f": 2}))
        await until(lambda: view.features_epoch == 1)
        assert view.features == {"f": 2}
        assert not caplog.records
        await world.admin.set(paths.FEATURE, feature_node.encode({"f": 3}))
        await until(lambda: view.features_epoch == 2)
        assert "finalized f at 3, which this broker does not know" in caplog.text
        # What cannot be read changes nothing.
        await world.admin.set(paths.FEATURE, b"no JSON")
        await until(lambda: "no JSON" in caplog.text or "/feature" in caplog.text.rpartition("know")[2])
        assert view.features == {"f": 3}
        await world.admin.delete(paths.FEATURE)
        await until(lambda: view.features_epoch == -1)
        assert view.features == {}
        assert changes[-1] == {}
        await watch.stop()
