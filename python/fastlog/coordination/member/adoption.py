"""Brings what a broker alone knows into its tree: topics that are in its log directories only, and metadata
that it has kept elsewhere.

It is the controller for that time, and no other broker may be there: of what others have decided nothing is
known here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from fastlog.base.clock import Clock
from fastlog.coordination.controller.election import Election
from fastlog.coordination.member.own_tree import report
from fastlog.coordination.member.tree import MemberTree
from fastlog.coordination.startup_plan import StartupPlan, plan_startup
from fastlog.coordination.store import StoreError
from fastlog.coordination.znodes import paths
from fastlog.coordination.znodes.fenced_tree import FencedTree
from fastlog.coordination.znodes.takeover import FormerFile, FormerTree, add_topics, take_over
from fastlog.coordination.znodes.tree_loading import load
from fastlog.coordination.zookeeper.errors import ZkError
from fastlog.storage.adopt import FoundPartition

_LOG: Final = logging.getLogger(__name__)
_PAUSE_SECONDS: Final = 0.25
_FORMER_LIFE_SECONDS: Final = 45.0
"""How long a session of this broker that was killed may live on: servers grant 40 s unless told otherwise."""
_ALONE: Final = "what this broker has decided about alone cannot be brought into it"


class OtherController(StoreError):
    """Another broker is in the cluster."""


async def adopt(
    tree: MemberTree,
    cluster_id: str,
    node_id: int,
    former: FormerFile | FormerTree,
    found: Sequence[FoundPartition],
    clock: Clock,
) -> None:
    """Raises OtherController, MetadataDamaged, KeeperDamaged, StoreError; may be called again after that."""
    election = Election(tree.client, node_id, clock)
    session = tree.client.session
    before, session.on_state = session.on_state, election.on_session
    try:
        await _refuse_others(tree, node_id, clock)
        await _sit_down(election, clock)
        fenced = FencedTree(tree.client, election)
        known = await former.read(cluster_id)
        if known is not None:
            await take_over(fenced, known, node_id, election.epoch)
            await former.put_away()
        stored = await load(fenced)
        plan = plan_startup(stored.topics, found, node_id)
        # What becomes of the rest is decided, and told, when the logs are opened.
        report(StartupPlan(adopted=plan.adopted, grown=plan.grown))
        topics = {topic.name: topic for topic in [*plan.adopted, *plan.grown]}
        await add_topics(fenced, stored, topics, election.epoch)
    finally:
        session.on_state = before
        await election.resign()


async def _refuse_others(tree: MemberTree, node_id: int, clock: Clock) -> None:
    """A node that goes with no session is of no broker."""
    others: list[str] = []
    try:
        for name in sorted(set(await tree.children(paths.BROKER_IDS)) - {str(node_id)}):
            stat = await tree.client.exists(f"{paths.BROKER_IDS}/{name}")
            if stat is not None and stat.ephemeral_owner:
                others.append(name)
    except ZkError as error:
        raise StoreError(f"the registered brokers cannot be read: {error}") from error
    if others:
        raise OtherController(
            f"broker {', '.join(others)} is in this cluster: {_ALONE}. Use a chroot of its own "
            "(zookeeper.connect=HOST:PORT/PATH) or stop the others"
        )


async def _sit_down(election: Election, clock: Clock) -> None:
    deadline = clock.monotonic() + _FORMER_LIFE_SECONDS
    told = False
    while not await election.stand():
        if clock.monotonic() > deadline:
            raise StoreError(
                f"this broker does not become the controller: broker {election.controller_id} is it and "
                "stays: another broker with this broker.id runs in this cluster"
            )
        if not told:
            _LOG.info("broker %d is the controller; waiting for its session to end", election.controller_id)
            told = True
        await asyncio.sleep(_PAUSE_SECONDS)
