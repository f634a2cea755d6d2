"""Blocks of producer ids for brokers (`ZkProducerIdManager`, KIP-730).

/latest_producer_id_block holds the block that was given out last. It is written by version, without the fence
of the controller: of two controllers that give out a block at the same moment one has to read again.
"""

from __future__ import annotations

from typing import Final

from fastlog.coordination.store import StoreError
from fastlog.coordination.znodes import node_json, paths
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.errors import BadVersion, ConnectionLoss, NodeExists, NoNode, ZkError

BLOCK_SIZE: Final = 1000
_TRIES: Final = 10
_LAST_ID: Final = 2**63 - 1


class NoMoreProducerIds(StoreError):
    """All 2**63 ids have been given out."""


async def allocate_block(client: ZkClient, node_id: int) -> tuple[int, int]:
    """(first id, how many) of a block that nobody has had. Raises StoreError.

    An answer that is lost costs a block, which is skipped.
    """
    for _ in range(_TRIES):
        try:
            data, stat = await client.get(paths.PRODUCER_IDS)
            first = node_json.decode_next_producer_id(paths.PRODUCER_IDS, data)
            if first > _LAST_ID - BLOCK_SIZE:
                raise NoMoreProducerIds("there are no producer ids left")
            block = node_json.encode_producer_ids(node_id, first, BLOCK_SIZE)
            await client.set(paths.PRODUCER_IDS, block, stat.version)
        except BadVersion:
            continue
        except NoNode:
            await _make(client)
        except ConnectionLoss:
            await _connected(client)
        except ZkError as error:
            raise StoreError(f"no block of producer ids can be reserved: {error}") from error
        else:
            return first, BLOCK_SIZE
    raise StoreError("no block of producer ids can be reserved: others take one again and again")


async def _make(client: ZkClient) -> None:
    try:
        await client.create(paths.PRODUCER_IDS)
    except (NodeExists, ConnectionLoss):
        return


async def _connected(client: ZkClient) -> None:
    try:
        await client.session.connected()
    except ZkError as error:
        raise StoreError(f"no ZooKeeper session: {error}") from error
