"""Carries out changes of nodes, and says what kept one from it in the words of `store`."""

from __future__ import annotations

from collections.abc import Sequence

from fastlog.coordination.store import StaleVersion, StoreError, TopicMissing
from fastlog.coordination.znodes.fenced_tree import FencedTree, Part
from fastlog.coordination.zookeeper.codes import OpCode
from fastlog.coordination.zookeeper.errors import BadVersion, NodeExists, NoNode, NotEmpty, ZkError
from fastlog.coordination.zookeeper.requests import Create


async def commit(
    tree: FencedTree,
    parts: Sequence[Part],
    *,
    unless: tuple[type[ZkError], ...] = (),
) -> list[int]:
    """All parts or none; gives the version of each node.

    With `unless`, parts that meet one of these errors are done already: then each is carried out by itself.
    Raises StaleVersion, TopicMissing, StoreError.
    """
    asked = [part._replace(op=OpCode.CREATE2) if isinstance(part, Create) else part for part in parts]
    try:
        return await tree.commit(asked)
    except unless:
        if len(parts) == 1:
            return [-1]
        return [version for part in parts for version in await commit(tree, [part], unless=unless)]
    except (NodeExists, BadVersion, NotEmpty) as error:
        raise StaleVersion(f"somebody else has changed the metadata: {error}") from error
    except NoNode as error:
        raise TopicMissing(f"somebody else has changed the metadata: {error}") from error
    except ZkError as error:
        raise StoreError(f"the metadata cannot be written: {error}") from error
