"""Each broker follows `/feature`, and tells clients what is finalized (`FinalizedFeatureChangeListener`).

Kafka's brokers end themselves when something is finalized that they do not know. Here it is said in the log,
and the broker goes on: the controller finalizes nothing that a registered broker does not know.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from fastlog.base.tasks import Loop, Supervisor
from fastlog.coordination.cluster_view import ClusterView
from fastlog.coordination.features import Feature
from fastlog.coordination.member.tree import LOST, MemberTree
from fastlog.coordination.store import MetadataDamaged, StoreError
from fastlog.coordination.znodes import feature_node, paths
from fastlog.coordination.zookeeper.client_session import SessionState
from fastlog.coordination.zookeeper.errors import NoNode, ZkError
from fastlog.coordination.zookeeper.replies import Event

_LOG: Final = logging.getLogger(__name__)
_PAUSE_SECONDS: Final = 1.0


class FeatureWatch:
    """`start` before the broker registers, `stop` before the session ends. `on_view` is told of changes."""

    def __init__(
        self,
        tree: MemberTree,
        view: ClusterView,
        known: Mapping[str, Feature],
        on_view: Callable[[], object],
        tasks: Supervisor,
    ) -> None:
        self._tree = tree
        self._view = view
        self._known = known
        self._on_view = on_view
        self._tasks = tasks
        self._changed = asyncio.Event()
        self._loop: Loop | None = None

    def on_state(self, state: SessionState) -> None:
        """To be called at each change of the session's state: watches may be gone with it."""
        self._changed.set()

    def start(self) -> None:
        """Follows the node from now on."""
        self._changed.set()
        self._loop = self._tasks.run("features", self._follow)

    async def stop(self) -> None:
        """Follows it no more."""
        if self._loop is not None:
            await self._loop.stop()

    async def _follow(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._tree.client.session.state is not SessionState.CONNECTED:
                continue
            try:
                await self._look()
            except LOST:
                # Of the next connection, or session, the state tells.
                continue
            except (ZkError, StoreError) as error:
                _LOG.warning("the cluster's features are not known, it will be tried again: %s", error)
                await asyncio.sleep(_PAUSE_SECONDS)
                self._changed.set()

    async def _look(self) -> None:
        client = self._tree.client
        if await client.exists(paths.FEATURE, self._told) is None:
            self._take({}, -1)
            return
        try:
            data, stat = await client.get(paths.FEATURE)
        except NoNode:
            # The watch has been told.
            return
        try:
            self._take(feature_node.decode(paths.FEATURE, data), stat.version)
        except MetadataDamaged as error:
            _LOG.error("%s", error)

    def _take(self, levels: dict[str, int], epoch: int) -> None:
        if (levels, epoch) == (self._view.features, self._view.features_epoch):
            return
        self._view.set_features(levels, epoch)
        for name, level in levels.items():
            known = self._known.get(name)
            if known is None or level > known.highest:
                _LOG.error("the cluster has finalized %s at %d, which this broker does not know", name, level)
        self._on_view()

    def _told(self, event: Event) -> None:
        self._changed.set()
