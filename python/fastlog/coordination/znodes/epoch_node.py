"""/controller_epoch: how often a controller has been elected. Its version fences what controllers write."""

from __future__ import annotations

import contextlib

from fastlog.coordination.store import MetadataDamaged
from fastlog.coordination.znodes import paths
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.errors import NodeExists, NoNode

_MAX_DIGITS = 9


async def controller_epoch(client: ZkClient) -> tuple[int, int]:
    """(epoch, version of its node); the node is made if it is missing. Raises MetadataDamaged, ZkError."""
    while True:
        try:
            data, stat = await client.get(paths.CONTROLLER_EPOCH)
        except NoNode:
            with contextlib.suppress(NodeExists):
                await client.create(paths.CONTROLLER_EPOCH, b"0")
            continue
        text = (data or b"").decode("ascii", "replace")
        if not text.isdecimal() or len(text) > _MAX_DIGITS:
            raise MetadataDamaged(f"{paths.CONTROLLER_EPOCH} holds {text[:100]!r}")
        return int(text), stat.version
