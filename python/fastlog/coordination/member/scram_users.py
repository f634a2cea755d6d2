"""The users of SCRAM, in Kafka's nodes: `/config/users/NAME`, keys `SCRAM-SHA-256` and `SCRAM-SHA-512`.

What is asked by tools is read from the tree each time. Only where a listener authenticates by SCRAM are
they kept in memory (`load`), and followed by the notifications of configs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import unquote

from fastlog.coordination.member.topic_writes import TopicWrites
from fastlog.coordination.member.tree import MemberTree
from fastlog.coordination.scram_credentials import HASHES, ScramCredential
from fastlog.coordination.store import MetadataDamaged
from fastlog.coordination.znodes import node_json, paths
from fastlog.errors import ErrorCode, KafkaError

_LOG: Final = logging.getLogger(__name__)
_USERS_AT_ONCE: Final = 200

Credentials = Mapping[str, ScramCredential]
"""Of one user, by mechanism."""


class ScramUsers:
    """Used on the event loop."""

    def __init__(self, tree: MemberTree, writes: TopicWrites) -> None:
        self._tree = tree
        self._writes = writes
        self._known: dict[str, Credentials] | None = None

    async def load(self) -> None:
        """Keeps them in memory from now on. Raises StoreError."""
        self._known = await self.read(await self.names())

    def credential(self, mechanism: str, user: str) -> ScramCredential | None:
        """What is kept of a user, once they are loaded."""
        found = None if self._known is None else self._known.get(user)
        return None if found is None else found.get(mechanism)

    async def take(self, name: str) -> None:
        """The node of a user has changed. Raises StoreError."""
        if self._known is not None:
            self._known.update(await self.read([name]))

    async def names(self) -> list[str]:
        """All who have a node, with credentials or other settings. Raises StoreError."""
        return [
            unquote(name) for name in await self._tree.children(paths.USER_CONFIGS) if name != paths.DEFAULT
        ]

    async def read(self, names: Iterable[str]) -> dict[str, Credentials]:
        """What the tree says of users now; of who is not there, nothing. Raises StoreError."""
        wanted = list(names)
        found: dict[str, Credentials] = {}
        for start in range(0, len(wanted), _USERS_AT_ONCE):
            some = wanted[start : start + _USERS_AT_ONCE]
            nodes = await self._tree.read_all([paths.user_config(name) for name in some])
            for name, node in zip(some, nodes, strict=True):
                found[name] = _credentials(paths.user_config(name), None if node is None else node[0])
        return found

    async def change(self, name: str, changes: Mapping[str, ScramCredential | None]) -> None:
        """Sets credentials of a user by mechanism, or (None) drops them; all of it or nothing.

        Raises KafkaError: RESOURCE_NOT_FOUND for one that is to be dropped and is not there. StoreError.
        """

        def edit(configs: dict[str, str]) -> None:
            # Here, and not before: others may drop it at the same time.
            if any(credential is None and name not in configs for name, credential in changes.items()):
                raise KafkaError(
                    ErrorCode.RESOURCE_NOT_FOUND, "Attempt to delete a user credential that does not exist"
                )
            for mechanism, credential in changes.items():
                if credential is None:
                    configs.pop(mechanism, None)
                else:
                    configs[mechanism] = credential.format()

        # The user's quotas are in the same node, and others may change those.
        notify = (paths.CONFIG_CHANGE, f"users/{paths.sanitise(name)}")
        await self._writes.edit_config(paths.user_config(name), edit, notify)
        await self.take(name)


def _credentials(path: str, data: bytes | None) -> Credentials:
    found = {}
    try:
        configs = node_json.decode_config(path, data)
    except MetadataDamaged as error:
        _LOG.error("a user cannot log in: %s", error)
        return {}
    for mechanism in HASHES:
        if mechanism in configs:
            try:
                found[mechanism] = ScramCredential.parse(configs[mechanism])
            except ValueError as error:
                _LOG.error("a user cannot log in by %s: %s: %s", mechanism, path, error)
    return found
