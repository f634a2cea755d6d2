"""What is finalized before any operator has asked: `transaction.version`, in a cluster of fastlog alone.

Brokers of Kafka 3.9 in ZooKeeper mode end themselves where a feature is finalized, also one that starts: it
looks at `/feature` before it registers, so that the controller never sees it. So the level is given

* to a new tree, together with the node;
* to a tree in the keeper of this process whose node nobody has ever changed (version 0): that of an older
  release.

All brokers that have replicas must be registered then, and all that are registered know the feature.

In any other tree it is left to the operator: there may have been brokers of Kafka, and they may be to come
back. A node that was changed once, be it to no level, is never changed here: what an operator takes back
stays so.
"""

from __future__ import annotations

import logging
from typing import Final

from fastlog.coordination.controller.context import ControllerContext
from fastlog.coordination.controller.events import Turns
from fastlog.coordination.controller.term import Term
from fastlog.coordination.features import TRANSACTION_VERSION, Levels, knows
from fastlog.coordination.store import MetadataDamaged
from fastlog.coordination.znodes import feature_node, node_json, paths

_LOG: Final = logging.getLogger(__name__)
_NAME: Final = TRANSACTION_VERSION.name
_UNTOUCHED: Final = 0


async def settle(term: Term) -> None:
    """Makes /feature if there is none, and finalizes what is finalized by default.

    To be called when brokers and assignments are known. Raises ControllerMoved, StoreError.
    """
    found = await term.store.data(paths.FEATURE)
    if found is None:
        wanted = await _wanted(term)
        parts = [node_json.NO_FEATURES, *([feature_node.encode(wanted)] if wanted else [])]
        if await term.store.make_node(paths.FEATURE, parts):
            _finalized(wanted)
            return
        # Somebody has been first.
        found = await term.store.data(paths.FEATURE)
    if found is not None:
        await _look(term, *found)


async def _look(term: Term, data: bytes | None, version: int) -> None:
    """At a node that is there."""
    try:
        levels = feature_node.decode(paths.FEATURE, data)
    except MetadataDamaged as error:
        _LOG.error("%s", error)
        return
    if _NAME in levels:
        for broker_id in _strangers(term.context, levels[_NAME]):
            _LOG.error("broker %d does not know %s, which is finalized", broker_id, _NAME)
    elif version == _UNTOUCHED and not term.settings.keeps_tree:
        _LOG.info("%s is not finalized: an operator may do it, if no broker of Kafka 3.9 is to come", _NAME)
    elif version == _UNTOUCHED and (wanted := await _wanted(term)):
        written = feature_node.encode({**levels, **wanted})
        # Somebody who is quicker has decided.
        if await term.store.set_data(paths.FEATURE, written, version):
            _finalized(wanted)


async def _wanted(term: Term) -> Levels:
    """What nobody stands against."""
    level = term.settings.default_transaction_version
    if not level or _strangers(term.context, level) or not await _all_are_here(term.context):
        return {}
    return {_NAME: level}


def _strangers(context: ControllerContext, level: int) -> list[int]:
    """Registered brokers that do not know that level."""
    return sorted(
        broker.id for broker in context.brokers.values() if not knows(broker.features.get(_NAME), level)
    )


async def _all_are_here(context: ControllerContext) -> bool:
    """Whether every broker that has a replica is registered."""
    turns = Turns()
    for partitions in [*context.topics.values()]:
        for assignment in partitions.values():
            if not context.brokers.keys() >= set(assignment.replicas):
                return False
        await turns.step()
    return True


def _finalized(levels: Levels) -> None:
    for name, level in levels.items():
        _LOG.info("%s is finalized at %d", name, level)
