"""The access rules of the cluster, in Kafka's nodes, and in memory where there is an authorizer.

Any broker writes them: a pattern's rules at the version that was read, and the notification, in one
multi. All brokers, Java's as well, read anew what a notification names. After a session has expired
everything is read again: notifications live for a quarter of an hour.

Rules that cannot be read close their resource to all but super users.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from fastlog.base.clock import Clock
from fastlog.base.tasks import Loop, Supervisor
from fastlog.coordination.access.rule_set import RuleSet
from fastlog.coordination.access.rules import (
    EVERYBODY,
    WILDCARD,
    Operation,
    Pattern,
    PatternType,
    Permission,
    Resource,
    Rule,
)
from fastlog.coordination.member.config_notifications import ConfigNotifications, Entity
from fastlog.coordination.member.tree import LOST, MemberTree
from fastlog.coordination.store import MetadataDamaged, StoreError
from fastlog.coordination.znodes import acl_nodes
from fastlog.coordination.zookeeper.client_session import SessionState
from fastlog.coordination.zookeeper.codes import CreateMode
from fastlog.coordination.zookeeper.errors import BadVersion, NodeExists, NoNode, ZkError
from fastlog.coordination.zookeeper.requests import Create, Delete, SetData
from fastlog.errors import ErrorCode, KafkaError

__all__ = ["AccessRules"]

_LOG: Final = logging.getLogger(__name__)
_CLOSED: Final = (Rule(EVERYBODY, WILDCARD, Operation.ALL, Permission.DENY),)
_TRIES: Final = 11
_BACKOFF_SECONDS: Final = 0.02
_PAUSE_SECONDS: Final = 1.0
_AT_ONCE: Final = 200

Rules = tuple[Rule, ...]


class AccessRules:
    """Used on the event loop. `start`, `change` and `stop`; without `start` there is nothing in `rules`."""

    def __init__(
        self, tree: MemberTree, has_room: Callable[[], bool], clock: Clock, tasks: Supervisor
    ) -> None:
        self._tree = tree
        self._has_room = has_room
        self._tasks = tasks
        self.rules: Final = RuleSet()
        """Those in force."""
        self._changing = asyncio.Lock()
        self._stale = asyncio.Event()
        self._loop: Loop | None = None
        self._notifications = [
            ConfigNotifications(
                *(tree, parent, self._take, clock, tasks),
                start=acl_nodes.SEQUENCE,
                decode=partial(_entity, kind),
            )
            for kind, parent in acl_nodes.CHANGES.items()
        ]

    async def start(self) -> None:
        """Reads all, and follows them from now on. Raises StoreError."""
        await self._tree.ensure(*acl_nodes.PERSISTENT)
        for notifications in self._notifications:
            await notifications.start()
        await self._load()
        self._loop = self._tasks.run("access-rules", self._follow)

    async def stop(self) -> None:
        """Follows them no more."""
        if self._loop is not None:
            await self._loop.stop()
        for notifications in self._notifications:
            await notifications.stop()

    def on_state(self, state: SessionState) -> None:
        """To be called at each change of the session's state."""
        if state is SessionState.EXPIRED:
            self._stale.set()

    async def change(self, pattern: Pattern, change: Callable[[Rules], Rules]) -> tuple[Rules, Rules]:
        """Replaces the rules of a pattern; (those that there were, those that there are).

        `change` may be called more than once, when others change them too. Raises KafkaError.
        """
        async with self._changing:
            try:
                return await self._change(pattern, change)
            except MetadataDamaged as error:
                _LOG.error("access rules stay as they are: %s", error)
                raise _storage_error(str(error)) from error
            except (ZkError, StoreError) as error:
                raise _storage_error(str(error)) from error

    async def _change(self, pattern: Pattern, change: Callable[[Rules], Rules]) -> tuple[Rules, Rules]:
        path = acl_nodes.path_of(pattern)
        start, data = acl_nodes.change_of(pattern)
        note = Create(start, data, flags=CreateMode.PERSISTENT_SEQUENTIAL)
        found: dict[Rule, None] = {}
        for _ in range(_TRIES):
            node = await self._tree.read(path)
            before = () if node is None else acl_nodes.decode_rules(path, node[0])
            found.update(dict.fromkeys(before))
            after = change(before)
            if after == before:
                # Or it was written, and the answer got lost.
                self.rules.replace({pattern: after})
                return tuple(found), after
            if len(after) > len(before) and not self._has_room():
                raise _storage_error("the disk that the metadata is on is full")
            try:
                await self._tree.write([_put(path, after, node), note])
            except NoNode:
                parents = (path.rpartition("/")[0], start.rpartition("/")[0])
                await self._tree.ensure(*parents)
            except (BadVersion, NodeExists):
                await asyncio.sleep(_BACKOFF_SECONDS * (1 + random.random()))  # noqa: S311 - no secret
            except LOST:
                continue
            else:
                self.rules.replace({pattern: after})
                return tuple(found), after
        raise StoreError(f"{path} is changed by others again and again")

    async def _follow(self) -> None:
        while True:
            await self._stale.wait()
            self._stale.clear()
            try:
                await self._load()
            except StoreError as error:
                _LOG.warning("access rules are read again later: %s", error)
                await asyncio.sleep(_PAUSE_SECONDS)
                self._stale.set()

    async def _take(self, changed: set[Entity]) -> None:
        """Reads anew what notifications name. Raises StoreError."""
        patterns = [_pattern(entity) for entity in changed]
        async with self._changing:
            self.rules.replace(await self._read(patterns))

    async def _load(self) -> None:
        """Reads all. Raises StoreError."""
        async with self._changing:
            found: set[Pattern] = set()
            for kind, root in acl_nodes.ROOTS.items():
                for title in await self._tree.children(root):
                    resource = acl_nodes.resource_of(title)
                    if resource is None:
                        _LOG.warning("rules of %s are left alone: nobody knows that type", ascii(title)[:100])
                        continue
                    names = await self._tree.children(f"{root}/{title}")
                    found.update(Pattern(resource, name, kind) for name in names)
            gone = [pattern for pattern in self.rules.patterns() if pattern not in found]
            self.rules.replace(dict.fromkeys(gone, ()))
            known = list(found)
            for first in range(0, len(known), _AT_ONCE):
                # Others have their turn while a lot is read.
                self.rules.replace(await self._read(known[first : first + _AT_ONCE]))

    async def _read(self, patterns: Sequence[Pattern]) -> Mapping[Pattern, Rules]:
        wanted = [acl_nodes.path_of(pattern) for pattern in patterns]
        nodes = await self._tree.read_all(wanted)
        found: dict[Pattern, Rules] = {}
        for pattern, path, node in zip(patterns, wanted, nodes, strict=True):
            try:
                found[pattern] = () if node is None else acl_nodes.decode_rules(path, node[0])
            except MetadataDamaged as error:
                _LOG.error("closed to all but super users: %s", error)
                found[pattern] = _CLOSED
        return found


def _put(path: str, rules: Rules, node: tuple[bytes | None, int] | None) -> Create | SetData | Delete:
    if node is None:
        return Create(path, acl_nodes.encode_rules(rules))
    if not rules:
        return Delete(path, node[1])
    return SetData(path, acl_nodes.encode_rules(rules), node[1])


def _entity(kind: PatternType, path: str, data: bytes | None) -> Entity | None:
    try:
        pattern = acl_nodes.changed_pattern(kind, path, data)
    except MetadataDamaged as error:
        _LOG.error("a notification is left out: %s", error)
        return None
    if acl_nodes.impossible_name(pattern.name):
        return None
    return f"{pattern.kind.name}:{pattern.resource.name}", pattern.name


def _pattern(entity: Entity) -> Pattern:
    kind, _, resource = entity[0].partition(":")
    return Pattern(Resource[resource], entity[1], PatternType[kind])


def _storage_error(message: str) -> KafkaError:
    return KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, f"it cannot be stored: {message}")
