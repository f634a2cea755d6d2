"""The delegation tokens of the cluster, in Kafka's nodes, and in memory where brokers have a key for them.

Any broker makes, renews and removes them: the node of a token at the version that was read, and the
notification, in one multi. All brokers, Java's as well, read anew what a notification names. After a session
has expired everything is read again: notifications live for a quarter of an hour.

Tokens that are over are removed by the broker that is the controller.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Final, TypeVar

from fastlog.base.clock import Clock
from fastlog.base.frequent_log import FrequentLog
from fastlog.base.tasks import Loop, Supervisor
from fastlog.base.uuids import format_uuid, random_uuid
from fastlog.config.token_settings import TokenSettings
from fastlog.coordination.delegation_token import DelegationToken
from fastlog.coordination.member.config_notifications import ConfigNotifications, Entity
from fastlog.coordination.member.tree import LOST, MemberTree
from fastlog.coordination.store import MetadataDamaged, StoreError
from fastlog.coordination.token_table import TokenTable
from fastlog.coordination.znodes import token_nodes
from fastlog.coordination.zookeeper.client_session import SessionState
from fastlog.coordination.zookeeper.codes import CreateMode
from fastlog.coordination.zookeeper.errors import BadVersion, NodeExists, NoNode, ZkError
from fastlog.coordination.zookeeper.requests import Create, Delete, SetData
from fastlog.errors import ErrorCode, KafkaError

__all__ = ["DelegationTokens"]

T = TypeVar("T")

_LOG: Final = logging.getLogger(__name__)
_REFUSED: Final = FrequentLog(_LOG, "%s gets no delegation token: %s")
_TRIES: Final = 11
_BACKOFF_SECONDS: Final = 0.02
_PAUSE_SECONDS: Final = 1.0
_AT_ONCE: Final = 200
_MOST_RENEWERS: Final = 100
_MOST_BYTES: Final = 8 * 1024
"""Of a token's node."""
_LOOK_SECONDS: Final = 10.0
"""How often a broker looks whether it has become the controller, who removes old tokens at once."""


class DelegationTokens:
    """Used on the event loop. `start`, changes and `stop`. `is_controller`: whether this broker is it."""

    def __init__(
        self,
        tree: MemberTree,
        settings: TokenSettings,
        is_controller: Callable[[], bool],
        has_room: Callable[[], bool],
        clock: Clock,
        tasks: Supervisor,
    ) -> None:
        self._tree = tree
        self._settings = settings
        self._is_controller = is_controller
        self._has_room = has_room
        self._clock = clock
        self._tasks = tasks
        self.table: Final = TokenTable(settings.key)
        """Those that there are."""
        self._changing = asyncio.Lock()
        self._stale = asyncio.Event()
        self._swept_at: float | None = None
        self._loops: list[Loop] = []
        self._notifications = ConfigNotifications(
            *(tree, token_nodes.CHANGES, self._take, clock, tasks),
            start=token_nodes.SEQUENCE,
            decode=_entity,
        )

    async def start(self) -> None:
        """Reads all, and follows them from now on. Raises StoreError."""
        await self._tree.ensure(*token_nodes.PERSISTENT)
        await self._notifications.start()
        await self._load()
        every = min(max(self._settings.check_interval_ms / 1000, _PAUSE_SECONDS / 10), _LOOK_SECONDS)
        self._loops = [
            self._tasks.run("delegation-tokens", self._follow),
            self._tasks.repeat("token-expiry", self._sweep, every=every, first=every),
        ]

    async def stop(self) -> None:
        """Follows them no more."""
        for loop in self._loops:
            await loop.stop()
        await self._notifications.stop()

    def on_state(self, state: SessionState) -> None:
        """To be called at each change of the session's state."""
        if state is SessionState.EXPIRED:
            self._stale.set()

    async def create(
        self, owner: str, requester: str, renewers: Sequence[str], lifetime_ms: int
    ) -> DelegationToken:
        """Makes a token. At most `lifetime_ms` can it be renewed; 0 or less: as configured.

        Raises KafkaError: POLICY_VIOLATION where there are too many, INVALID_REQUEST where it is too large,
        KAFKA_STORAGE_ERROR.
        """
        # Before they are encoded, which takes a while.
        if len(renewers) > _MOST_RENEWERS or sum(map(len, (owner, requester, *renewers))) > _MOST_BYTES:
            raise _too_large()
        settings, now = self._settings, self._clock.now_ms()
        longest = settings.max_lifetime_ms
        end = min(now + (longest if lifetime_ms <= 0 else min(lifetime_ms, longest)), token_nodes.LAST_MS)
        token = DelegationToken(
            format_uuid(random_uuid()),
            owner,
            requester,
            tuple(dict.fromkeys(renewers)),
            now,
            min(end, now + settings.expiry_ms),
            end,
        )
        data = token_nodes.encode_token(token)
        if len(data) > _MOST_BYTES:
            raise _too_large()
        async with self._changing:
            self._check_count(requester)
            await _stored(self._create(token, data))
        _LOG.info("made delegation token %s of %s", token.token_id, ascii(owner)[1:-1])
        return token

    async def renew(self, principal: str, secret: bytes, period_ms: int) -> int:
        """When the token ends now: so much later, below 0 as configured, within the life that it was given.

        Raises KafkaError: DELEGATION_TOKEN_NOT_FOUND, _OWNER_MISMATCH, _EXPIRED, KAFKA_STORAGE_ERROR.
        """
        period = self._settings.expiry_ms if period_ms < 0 else period_ms

        def renewed(token: DelegationToken, now: int) -> DelegationToken:
            if token.is_over(now):
                raise _refusal(ErrorCode.DELEGATION_TOKEN_EXPIRED)
            return token.until(now + period)

        return await self._changed(principal, secret, renewed)

    async def expire(self, principal: str, secret: bytes, period_ms: int) -> int:
        """When the token ends: so much later, at once for a period below 0. Raises the same KafkaErrors."""

        def ended(token: DelegationToken, now: int) -> DelegationToken | None:
            if period_ms < 0:
                return None
            if token.is_over(now):
                raise _refusal(ErrorCode.DELEGATION_TOKEN_EXPIRED)
            return token.until(now + period_ms)

        return await self._changed(principal, secret, ended)

    async def _changed(
        self,
        principal: str,
        secret: bytes,
        change: Callable[[DelegationToken, int], DelegationToken | None],
    ) -> int:
        token_id = self.table.with_secret(secret)
        if token_id is None:
            raise _refusal(ErrorCode.DELEGATION_TOKEN_NOT_FOUND)
        now = self._clock.now_ms()

        def by_principal(token: DelegationToken) -> DelegationToken | None:
            if not token.may_be_changed_by(principal):
                raise _refusal(ErrorCode.DELEGATION_TOKEN_OWNER_MISMATCH)
            return change(token, now)

        async with self._changing:
            found = await _stored(self._change(token_id, by_principal))
        what = "removed" if found is None else "changed the end of"
        _LOG.info("%s delegation token %s for %s", what, token_id, ascii(principal)[1:-1])
        return now if found is None else found.expiry_ms

    def _check_count(self, requester: str) -> None:
        most = self._settings.max_count
        if len(self.table) >= most:
            problem = f"there are {most} of them (fastlog.delegation.token.max.count)"
        elif self.table.made_for(requester) >= max(most // 2, 1):
            problem = f"half of {most} (fastlog.delegation.token.max.count) are made for this one"
        else:
            return
        _REFUSED.info(ascii(requester)[1:-1], problem)
        raise KafkaError(ErrorCode.POLICY_VIOLATION, problem)

    async def _create(self, token: DelegationToken, data: bytes) -> None:
        path = token_nodes.path_of(token.token_id)
        if not self._has_room():
            raise StoreError("the disk that the metadata is on is full")
        for _ in range(_TRIES):
            try:
                await self._tree.write([Create(path, data), _note(token.token_id)])
            except NoNode:
                await self._tree.ensure(*token_nodes.PERSISTENT)
            except LOST:
                continue
            except NodeExists:
                # It was written, and the answer got lost: nobody else makes up this id.
                break
            else:
                break
        else:
            raise StoreError("the connection to ZooKeeper breaks again and again")
        self.table.put(token)

    async def _change(
        self, token_id: str, change: Callable[[DelegationToken], DelegationToken | None]
    ) -> DelegationToken | None:
        """Replaces a token by what `change` makes of it, or removes it; it may be called more than once."""
        path = token_nodes.path_of(token_id)
        sent: list[DelegationToken | None] = []
        """What may have been written: its answer got lost."""
        for _ in range(_TRIES):
            node = await self._tree.read(path)
            if node is None:
                self.table.drop(token_id)
                if None in sent:
                    return None
                raise _refusal(ErrorCode.DELEGATION_TOKEN_NOT_FOUND)
            token = token_nodes.decode_token(path, node[0])
            self.table.put(token)
            after = token if token in sent else change(token)
            if after == token:
                return token
            try:
                await self._tree.write([_put(path, after, node[1]), _note(token_id)])
            except NoNode:
                # The token is gone, as the next look tells, or somebody has removed the parents.
                await self._tree.ensure(*token_nodes.PERSISTENT)
            except BadVersion:
                await asyncio.sleep(_BACKOFF_SECONDS * (1 + random.random()))  # noqa: S311 - no secret
            except LOST:
                sent.append(after)
            else:
                if after is None:
                    self.table.drop(token_id)
                else:
                    self.table.put(after)
                return after
        raise StoreError(f"{path} is changed by others again and again")

    async def _sweep(self) -> None:
        """Removes tokens that are over, where this broker is the controller and it is time."""
        if not self._is_controller():
            self._swept_at = None
            return
        now = self._clock.monotonic()
        if self._swept_at is not None and (now - self._swept_at) * 1000 < self._settings.check_interval_ms:
            return
        self._swept_at = now
        for token in self.table.all():
            if not token.is_over(self._clock.now_ms()):
                continue
            try:
                async with self._changing:
                    gone = await self._change(token.token_id, self._unless_over) is None
            except KafkaError:
                # Somebody else has removed it.
                continue
            except MetadataDamaged as error:
                _LOG.error("a delegation token that may be over stays: %s", error)
                continue
            except (StoreError, ZkError) as error:
                _LOG.warning("old delegation tokens are removed later: %s", error)
                self._swept_at = None
                return
            if gone:
                _LOG.info("delegation token %s has expired, and is removed", token.token_id)

    def _unless_over(self, token: DelegationToken) -> DelegationToken | None:
        return None if token.is_over(self._clock.now_ms()) else token

    async def _follow(self) -> None:
        while True:
            await self._stale.wait()
            self._stale.clear()
            try:
                await self._load()
            except StoreError as error:
                _LOG.warning("delegation tokens are read again later: %s", error)
                await asyncio.sleep(_PAUSE_SECONDS)
                self._stale.set()

    async def _take(self, changed: set[Entity]) -> None:
        """Reads anew what notifications name. Raises StoreError."""
        wanted = [token_id for _, token_id in changed]
        async with self._changing:
            for first in range(0, len(wanted), _AT_ONCE):
                await self._read(wanted[first : first + _AT_ONCE])

    async def _load(self) -> None:
        """Reads all. Raises StoreError."""
        async with self._changing:
            names = await self._tree.children(token_nodes.TOKENS)
            there = set(filter(token_nodes.is_token_id, names))
            for gone in self.table.ids() - there:
                self.table.drop(gone)
            wanted = list(there)
            for first in range(0, len(wanted), _AT_ONCE):
                await self._read(wanted[first : first + _AT_ONCE])

    async def _read(self, token_ids: Iterable[str]) -> None:
        wanted = {token_id: token_nodes.path_of(token_id) for token_id in token_ids}
        nodes = await self._tree.read_all(list(wanted.values()))
        for (token_id, path), node in zip(wanted.items(), nodes, strict=True):
            if node is None:
                self.table.drop(token_id)
                continue
            try:
                self.table.put(token_nodes.decode_token(path, node[0]))
            except MetadataDamaged as error:
                _LOG.error("a delegation token is void: %s", error)
                self.table.drop(token_id)


async def _stored(work: Coroutine[Any, Any, T]) -> T:
    """Has what keeps a change from the tree be KAFKA_STORAGE_ERROR."""
    try:
        return await work
    except (ZkError, StoreError) as error:
        raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, f"it cannot be stored: {error}") from error


def _put(path: str, token: DelegationToken | None, version: int) -> SetData | Delete:
    if token is None:
        return Delete(path, version)
    return SetData(path, token_nodes.encode_token(token), version)


def _note(token_id: str) -> Create:
    return Create(token_nodes.CHANGE, token_id.encode(), flags=CreateMode.PERSISTENT_SEQUENTIAL)


def _entity(path: str, data: bytes | None) -> Entity | None:
    token_id = (data or b"").decode("utf-8", "replace")
    if not token_nodes.is_token_id(token_id):
        _LOG.error("a notification is left out: %s names no token", path)
        return None
    return "tokens", token_id


def _too_large() -> KafkaError:
    return KafkaError(ErrorCode.INVALID_REQUEST, "there are too many renewers, or names are too long")


def _refusal(code: ErrorCode) -> KafkaError:
    return KafkaError(code, code.text)
