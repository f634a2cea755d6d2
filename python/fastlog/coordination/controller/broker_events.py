"""Brokers come, go, come back, change their listeners, and lose directories."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Final

from fastlog.coordination.controller import (
    brokers,
    deletion,
    partition_machine,
    reassignment_events,
    replica_machine,
)
from fastlog.coordination.controller.context import ControllerContext
from fastlog.coordination.controller.data import LiveBroker, PartitionKey, Replica
from fastlog.coordination.controller.flow import Flow
from fastlog.coordination.controller.states import ReplicaPhase
from fastlog.coordination.controller.term import Term
from fastlog.coordination.store import MetadataDamaged
from fastlog.coordination.znodes import controller_json, paths

_LOG: Final = logging.getLogger(__name__)


async def changed(term: Term) -> None:
    """A registration has come or gone (`BrokerChange`)."""
    found = await term.store.brokers(term.watches.brokers, term.watches.broker)
    diff = brokers.broker_diff(term.context, found)
    if diff.new or diff.bounced or diff.dead:
        _LOG.info(
            "brokers: %s have come, %s have come back, %s are gone",
            *(list(ids) or "none" for ids in (diff.new, diff.bounced, diff.dead)),
        )
    if diff.new:
        await _started(term, [found[broker_id] for broker_id in diff.new])
    if diff.bounced:
        await _failed(term, diff.bounced)
        await _started(term, [found[broker_id] for broker_id in diff.bounced])
    if diff.dead:
        await _failed(term, diff.dead)


async def modified(term: Term, broker_id: int) -> None:
    """A registration has other listeners now (`BrokerModifications`)."""
    found = await term.store.broker(broker_id, term.watches.broker)
    known = term.context.brokers.get(broker_id)
    if found is None or known is None or found == known or found.epoch != known.epoch:
        return
    _LOG.info("broker %d has changed its registration", broker_id)
    term.context.put_broker(found)
    await term.update_metadata()


async def suspected(term: Term, broker_id: int, epoch: int) -> None:
    """A registered broker's port refuses connections: see `suspicion`."""
    context = term.context
    broker = context.brokers.get(broker_id)
    if broker is None or broker.epoch != epoch or broker_id in context.shutting_down:
        return
    _LOG.warning("broker %d is taken for failed, although it is registered", broker_id)
    term.suspects.add(broker_id)
    # Like a broker that shuts down it is to lead nothing and to be in sync nowhere. What there is to tell it
    # goes on to wait in its channel: if it lives it must miss nothing.
    context.begin_shutdown(broker_id)
    await term.run(_replace(context, broker_id))


async def answers_again(term: Term, broker_id: int, epoch: int) -> None:
    """A broker that was taken for failed accepts connections."""
    context = term.context
    broker = context.brokers.get(broker_id)
    if broker_id not in term.suspects or broker is None or broker.epoch != epoch:
        return
    term.suspects.discard(broker_id)
    offline = context.offline_in_directories(broker_id)
    context.remove_broker(broker_id)
    context.put_offline_in_directories(broker_id, offline)
    await _welcome(term, [broker])


async def directories_failed(term: Term) -> None:
    """Brokers have lost log directories: they are asked which replicas are offline (`LogDirEvent`)."""
    names = await term.store.children(paths.LOG_DIR_EVENTS, term.watches.log_dirs)
    nodes = [f"{paths.LOG_DIR_EVENTS}/{name}" for name in names]
    hit: set[int] = set()
    for path, data in zip(nodes, await term.store.data_of(nodes), strict=True):
        try:
            broker_id = None if data is None else controller_json.decode_log_dir_event(path, data)
        except MetadataDamaged as error:
            _LOG.error("an event is left out: %s", error)
        else:
            hit |= set() if broker_id is None else {broker_id}
    await term.run(brokers.ask_directories(term.context, sorted(hit)))
    await term.store.delete_nodes(nodes)
    # What could not be deleted may be by now.
    await deletion.brokers_started(term, hit)


async def directories_answered(term: Term, broker_id: int, errors: dict[PartitionKey, int]) -> None:
    """A broker has answered LeaderAndIsr."""
    await term.run(brokers.directories_answer(term.context, broker_id, errors))


async def _started(term: Term, found: Collection[LiveBroker]) -> None:
    for broker in found:
        term.open_channel(broker)
    await _welcome(term, found)


async def _welcome(term: Term, found: Collection[LiveBroker]) -> None:
    await term.run(brokers.brokers_started(term.context, found))
    ids = [broker.id for broker in found]
    await reassignment_events.brokers_started(term, ids)
    await deletion.brokers_started(term, ids)


async def _failed(term: Term, ids: Collection[int]) -> None:
    term.suspects.difference_update(ids)
    for broker_id in ids:
        term.channels.remove(broker_id)
    await term.run(brokers.brokers_failed(term.context, ids))


def _replace(context: ControllerContext, broker_id: int) -> Flow[None]:
    """Others lead, and are in sync, without the suspect: where there are others."""
    shared: list[PartitionKey] = []
    for key in context.hosted_by(broker_id):
        now = context.leadership(key)
        if key[0] in context.deleting or now is None:
            continue
        if any(context.is_online(member, key) for member in now.isr):
            shared.append(key)
    led = [key for key in shared if key in context.led_by(broker_id)]
    partition_machine.to_offline(context, led)
    yield from partition_machine.to_online(context, led)
    replicas = [Replica(key, broker_id) for key in shared]
    yield from replica_machine.change(context, replicas, ReplicaPhase.OFFLINE)
