"""The metadata in the tree of a keeper that does not run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import cast

from fastlog.coordination.keeper.tree import Tree
from fastlog.coordination.store import ClusterMetadata, MetadataDamaged
from fastlog.coordination.znodes import feature_node, node_json, paths
from fastlog.coordination.znodes.tree_loading import load


class StillTree:
    """`ReadableTree` over a tree that nobody changes."""

    def __init__(self, tree: Tree) -> None:
        self._nodes = tree.nodes

    async def read_all(self, wanted: Sequence[str]) -> list[tuple[bytes | None, int] | None]:
        """Data and version of nodes; None for one that is missing."""
        found = (self._nodes.get(path) for path in wanted)
        return [None if node is None else (node.data, node.version) for node in found]

    async def children(self, path: str) -> list[str]:
        """Names of the children, in order; none of a node that is missing."""
        return (await self.children_of_all([path]))[0] or []

    async def children_of_all(self, wanted: Sequence[str]) -> list[list[str] | None]:
        """The same of many nodes."""
        found = (self._nodes.get(path) for path in wanted)
        return [None if node is None else sorted(node.children or ()) for node in found]


def read_metadata(directory: Path) -> ClusterMetadata | None:
    """What the keeper in `directory` has; None when no broker has ever come so far as to name its cluster.

    Nothing is changed. Blocks. Raises KeeperDamaged, MetadataDamaged.
    """
    from fastlog.coordination.keeper.offline import read_tree  # a start has no need of it

    reading = _read(StillTree(read_tree(directory)))
    try:
        # It never waits for anything: a loop is not needed.
        reading.send(None)
    except StopIteration as done:
        return cast("ClusterMetadata | None", done.value)
    raise RuntimeError("reading a tree in memory waited for something")


async def _read(tree: StillTree) -> ClusterMetadata | None:
    cluster_id, producer_ids, features = await tree.read_all(
        [paths.CLUSTER_ID, paths.PRODUCER_IDS, paths.FEATURE]
    )
    if cluster_id is None:
        return None
    loaded = await load(tree)
    if loaded.without_id:
        raise MetadataDamaged(f"topics without an id: {', '.join(loaded.without_id[:10])}")
    block = None if producer_ids is None else producer_ids[0]
    return ClusterMetadata(
        cluster_id=node_json.decode_cluster_id(paths.CLUSTER_ID, cluster_id[0]),
        topics=MappingProxyType(loaded.topics),
        broker_configs=MappingProxyType(loaded.broker_configs),
        next_producer_id=node_json.decode_next_producer_id(paths.PRODUCER_IDS, block),
        group_configs=MappingProxyType(loaded.group_configs),
        # One that was never changed says nothing.
        features=feature_node.decode(paths.FEATURE, features[0]) if features and features[1] else None,
    )
