"""Keeps a member known to its cluster: registered in each session, and its failed log directories told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from fastlog.base.tasks import Guard, Loop, Supervisor
from fastlog.coordination.member.tree import LOST, MemberTree
from fastlog.coordination.store import StoreError
from fastlog.coordination.znodes import node_json, paths
from fastlog.coordination.znodes.registration import Registration
from fastlog.coordination.zookeeper.client_session import SessionState
from fastlog.coordination.zookeeper.codes import CreateMode
from fastlog.coordination.zookeeper.errors import ZkError
from fastlog.coordination.zookeeper.replies import Event

_LOG: Final = logging.getLogger(__name__)
_PAUSE_SECONDS: Final = 1.0


class Presence:
    """`start` after the first registration, `stop` before the session ends."""

    def __init__(self, tree: MemberTree, registration: Registration, tasks: Supervisor) -> None:
        self._tree = tree
        self._registration = registration
        self._tasks = tasks
        self._changed = asyncio.Event()
        self._loop: Loop | None = None

    def on_state(self, state: SessionState) -> None:
        """To be called at each change of the session's state."""
        self._changed.set()

    def start(self) -> None:
        """Looks after the registration from now on."""
        self._changed.set()
        self._loop = self._tasks.run("registration", self._keep)

    async def stop(self) -> None:
        """Whatever becomes of the registration is left."""
        if self._loop is not None:
            await self._loop.stop()

    async def _keep(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._tree.client.session.state is not SessionState.CONNECTED:
                continue
            try:
                if not await self._registration.is_current(self._told):
                    await self._registration.register()
                    # Who removes it from here on is met by the watch.
                    self._changed.set()
            except LOST:
                # Of the next connection, or session, the state tells.
                continue
            except (ZkError, StoreError) as error:
                _LOG.warning("not registered, it will be tried again: %s", error)
                await asyncio.sleep(_PAUSE_SECONDS)
                self._changed.set()

    def _told(self, event: Event) -> None:
        self._changed.set()


class LogDirEvents:
    """Tells the controller that a log directory of this broker has failed: it asks for all partitions."""

    def __init__(self, tree: MemberTree, node_id: int, guard: Guard) -> None:
        self._tree = tree
        self._data = node_json.encode_log_dir_event(node_id)
        self._guard = guard
        self._telling: set[asyncio.Task[None]] = set()

    @property
    def callback(self) -> Callable[[Path, str, Sequence[tuple[str, int]]], None]:
        """For `LogManager.add_failure_callback`."""

        def failed(path: Path, reason: str, partitions: Sequence[tuple[str, int]]) -> None:
            task = asyncio.ensure_future(self.tell())
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

        return failed

    async def tell(self) -> None:
        """Returns when it is told."""
        while True:
            try:
                # Once too often does no harm.
                await self._tree.again(
                    lambda: self._tree.client.create(
                        paths.LOG_DIR_EVENT, self._data, mode=CreateMode.PERSISTENT_SEQUENTIAL
                    )
                )
            except StoreError as error:
                self._guard.failed(error)
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return

    async def stop(self) -> None:
        """What was not told stays untold: with the session this broker is gone as a whole."""
        for task in self._telling:
            task.cancel()
        while self._telling:
            await asyncio.wait(self._telling)
