"""Topics come and go, get partitions, and old brokers tell of their in-sync replicas through the tree."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from typing import Final

from fastlog.base.uuids import random_uuid
from fastlog.coordination.controller import creation
from fastlog.coordination.controller.data import Leadership, PartitionKey
from fastlog.coordination.controller.events import Turns
from fastlog.coordination.controller.stored_states import store
from fastlog.coordination.controller.term import Term
from fastlog.coordination.store import MetadataDamaged
from fastlog.coordination.znodes import controller_json, paths

_LOG: Final = logging.getLogger(__name__)


async def load(term: Term, names: Collection[str]) -> list[PartitionKey]:
    """Takes over ids and assignments of topics that are not known yet; gives their partitions.

    A topic without an id, of a Kafka before 2.8, gets one.
    """
    keys: list[PartitionKey] = []
    turns = Turns()
    for name, node in (await term.store.topics(sorted(names), term.watches.topic)).items():
        topic_id = node.topic_id
        if topic_id is None:
            topic_id = random_uuid()
            await term.store.set_topic(name, topic_id, node.assignments)
        elif (other := term.context.topic_named(topic_id)) not in (None, name):
            _LOG.error("topic %s is left alone: topic %s has the same id", name, other)
            continue
        term.context.put_topic(name, topic_id)
        for number, assignment in node.assignments.items():
            term.context.put_assignment((name, number), assignment)
            keys.append((name, number))
        await turns.step(len(node.assignments))
    return keys


async def changed(term: Term) -> None:
    """A topic has come, or its nodes are gone (`TopicChange`)."""
    context = term.context
    came, gone = await term.store.topic_news(term.watches.topics, context.topics)
    for name in gone:
        _LOG.info("the nodes of topic %s are gone", name)
        context.remove_topic(name)
    keys = await load(term, came)
    if keys:
        await _create(term, keys)


async def modified(term: Term, name: str) -> None:
    """The assignment of a topic has changed: it may have more partitions (`PartitionModifications`)."""
    context = term.context
    if name not in context.topics:
        return
    node = (await term.store.topics([name], term.watches.topic)).get(name)
    if node is None:
        return
    known = context.topics[name]
    new = {number: each for number, each in node.assignments.items() if number not in known}
    if not new:
        return
    if name in context.deleting:
        _LOG.warning("topic %s is being deleted: its new partitions are taken back", name)
        await term.store.set_topic(name, context.topic_id(name), dict(known))
        return
    for number, assignment in new.items():
        context.put_assignment((name, number), assignment)
    await _create(term, [(name, number) for number in new])


async def in_sync_changed(term: Term) -> None:
    """Brokers of before Kafka 2.7 have changed in-sync replicas (`IsrChangeNotification`)."""
    names = await term.store.children(paths.ISR_CHANGES, term.watches.isr_changes)
    nodes = [f"{paths.ISR_CHANGES}/{name}" for name in names]
    keys: set[PartitionKey] = set()
    for path, data in zip(nodes, await term.store.data_of(nodes), strict=True):
        try:
            keys.update([] if data is None else controller_json.decode_partitions(path, data))
        except MetadataDamaged as error:
            _LOG.error("a notification is left out: %s", error)
    known = [key for key in sorted(keys) if term.context.assignment(key).replicas]
    await load_states(term, known)
    await term.update_metadata(known)
    await term.store.delete_nodes(nodes)


async def load_states(term: Term, keys: Iterable[PartitionKey]) -> None:
    """Takes over the states of partitions as they are stored."""
    turns = Turns()
    for key, state in (await term.store.states(keys)).items():
        term.context.put_leadership(key, state)
        await turns.step()


async def bring_back_states(
    term: Term, keys: Iterable[PartitionKey], remembered: Callable[[PartitionKey, bytes], Leadership | None]
) -> None:
    """States that somebody has removed are made again, as this broker was last told of them.

    Without that the partition would begin anew: in leader epoch 0, which no broker obeys that knows a higher
    one, and with all replicas taken for in sync.
    """
    context = term.context
    found: dict[PartitionKey, Leadership] = {}
    turns = Turns()
    for key in keys:
        await turns.step()
        if context.leadership(key) is None:
            known = remembered(key, context.topic_id(key[0]))
            if known is not None:
                found[key] = known.in_next_epoch()
    stored = await term.run(store(context, found))
    for key, reason in stored.failed.items():
        _LOG.error("the state of partition %s-%d is gone: %s", *key, reason)


async def _create(term: Term, keys: Collection[PartitionKey]) -> None:
    """Partitions get their first leaders (`onNewPartitionCreation`)."""
    _LOG.info("%d partitions are new", len(keys))
    await term.run(creation.create_partitions(term.context, keys))
