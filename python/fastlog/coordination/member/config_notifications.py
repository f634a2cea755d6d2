"""What other brokers, and tools, change of configs and access rules: the notifications that they leave in the
tree.

Follows `ZkNodeChangeNotificationListener` and `ZkConfigManager` of Kafka 3.9: a watch on the children, all
numbers above the last one that was seen are read, and what they name is read anew. Whoever sees one that is
older than a quarter of an hour removes it.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final
from urllib.parse import unquote

from fastlog.base.clock import Clock
from fastlog.base.tasks import Loop, Supervisor
from fastlog.coordination.member.tree import LOST, MemberTree
from fastlog.coordination.store import MetadataDamaged, StoreError
from fastlog.coordination.znodes import node_json
from fastlog.coordination.zookeeper.errors import NoNode, ZkError
from fastlog.coordination.zookeeper.replies import Event

_LOG: Final = logging.getLogger(__name__)
_KEPT_MS: Final = 15 * 60 * 1000
_OF_CONFIGS: Final = "config_change_"
_PAUSE_SECONDS: Final = 1.0

Entity = tuple[str, str]
"""(kind, name) of what has configs: ("topics", "T"), ("brokers", "1"), ("groups", "g").

Names of users, clients and addresses are those of their nodes, as they are encoded: `U/clients/C` is one of
them, and `<default>` is not the name of anybody."""
_AS_NODES: Final = ("users", "clients", "ips")
Decode = Callable[[str, bytes | None], Entity | None]
"""What the notification at a path names, by its data; None when that cannot be told."""


class ConfigNotifications:
    """The notifications below `parent`. `take` is given what changed, again after a StoreError.

    Their names begin with `start`; `decode` says what they name.
    Used on the event loop: `start`, which returns when all that was there has been taken, then `stop`.
    """

    def __init__(
        self,
        tree: MemberTree,
        parent: str,
        take: Callable[[set[Entity]], Coroutine[Any, Any, None]],
        clock: Clock,
        tasks: Supervisor,
        *,
        start: str = _OF_CONFIGS,
        decode: Decode | None = None,
    ) -> None:
        self._tree = tree
        self._parent = parent
        self._numbered = re.compile(rf"{start}(\d{{1,10}})")
        self._decode = decode or _entity
        self._take = take
        self._clock = clock
        self._tasks = tasks
        self._last = -1
        self._kept: deque[str] = deque()
        """Names of those that were there at the last look, from the oldest on."""
        self._new: dict[int, str] = {}
        """Those that have not been taken yet, by number."""
        self._changed = asyncio.Event()
        self._is_armed = False
        self._loop: Loop | None = None

    async def start(self) -> None:
        """Raises StoreError."""
        await self._look()
        self._loop = self._tasks.run("config-notifications", self._follow)

    async def stop(self) -> None:
        """Nothing is taken any more."""
        if self._loop is not None:
            await self._loop.stop()

    async def _follow(self) -> None:
        while True:
            if self._is_armed:
                await self._changed.wait()
            try:
                await self._look()
            except StoreError as error:
                _LOG.info("changes of configs are looked for again: %s", error)
                # The watch may be there, and say nothing: what has come is known already.
                self._changed.set()
                await asyncio.sleep(_PAUSE_SECONDS)

    def _told(self, event: Event) -> None:
        self._is_armed = False
        self._changed.set()

    async def _look(self) -> None:
        self._changed.clear()
        await self._list()
        new = sorted(self._new.items())
        found = await self._tree.read_all([f"{self._parent}/{name}" for _, name in new])
        entities = {
            entity
            for (_, name), node in zip(new, found, strict=True)
            if node is not None and (entity := self._decode(f"{self._parent}/{name}", node[0])) is not None
        }
        if entities:
            await self._take(entities)
        if new:
            self._last = new[-1][0]
            self._new.clear()
            await self._sweep()

    async def _list(self) -> None:
        """Learns which there are; the watch is there afterwards.

        With the keeper in this process it costs what has come: of a quarter of an hour there are thousands.
        """

        async def ask() -> tuple[list[str], list[str] | None]:
            while True:
                try:
                    return await self._tree.client.child_news(self._parent, self._told)
                except NoNode:
                    # A node that Kafka does not have is made by the first who needs it.
                    if await self._tree.client.exists(self._parent, self._told) is None:
                        return [], None

        self._is_armed = True
        try:
            names, gone = await self._tree.again(ask)
        except StoreError:
            self._is_armed = False
            raise
        found = sorted(
            (int(match[1]), name) for name in names if (match := self._numbered.fullmatch(name)) is not None
        )
        if gone is None:
            self._kept.clear()
        self._kept.extend(name for _, name in found)
        self._new |= {number: name for number, name in found if number > self._last}

    async def _sweep(self) -> None:
        limit = self._clock.now_ms() - _KEPT_MS
        while self._kept:
            name = self._kept[0]
            try:
                stat = await self._tree.client.exists(f"{self._parent}/{name}")
                if stat is not None and stat.ctime >= limit:
                    return
                if stat is not None:
                    await self._tree.client.delete(f"{self._parent}/{name}")
            except NoNode:
                pass
            except LOST:
                # On another connection all are listed again.
                return
            except ZkError as error:
                _LOG.debug("old notifications stay for now: %s", error)
                return
            self._kept.popleft()


def _entity(path: str, data: bytes | None) -> Entity | None:
    """What a notification names, in version 1 or 2."""
    try:
        fields = node_json.load(path, data)
    except MetadataDamaged as error:
        _LOG.error("a notification is left out: %s", error)
        return None
    if fields.get("version") == 1:
        kind, name = str(fields.get("entity_type")), str(fields.get("entity_name"))
    else:
        kind, _, name = str(fields.get("entity_path")).partition("/")
    return kind, name if kind in _AS_NODES else unquote(name)
