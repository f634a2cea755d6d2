"""A topic that has the name of another one now, without that its deletion was heard of.

Somebody has removed its nodes from the tree (Kafka's controller deletes a topic's replicas first), and a
topic was made of the same name. Kafka's brokers answer INCONSISTENT_TOPIC_ID of it until an operator has
moved the former directories away; here they are renamed to `-stray`, as at a start, and kept.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Final

from fastlog.coordination.cluster_view import TopicState
from fastlog.errors import KafkaError
from fastlog.replication.partition import PartitionKey
from fastlog.replication.reconciler import Reconciler
from fastlog.storage.log_manager import LogManager

_LOG: Final = logging.getLogger(__name__)

Former = dict[PartitionKey, bytes]
"""Partitions, with the topic id that they have here."""


def of(
    reconciler: Reconciler[TopicState], logs: LogManager, name: str, topic_id: bytes, numbers: Iterable[int]
) -> Former:
    """What is here of topics of that name with other ids: all that is open, of the rest these `numbers`."""
    found = {key: _id_here(reconciler, name) for key in assigned_of(reconciler, name, topic_id)}
    for entry in logs.table.of_topic(name):
        if entry.topic_id != topic_id:
            found[entry.key] = entry.topic_id
    for number in numbers:
        closed = logs.table.closed.get((name, number))
        if closed is not None and closed.topic_id != topic_id:
            found[name, number] = closed.topic_id
    return found


def assigned_of(reconciler: Reconciler[TopicState], name: str, topic_id: bytes) -> Collection[PartitionKey]:
    """Partitions that are assigned to this broker under another id."""
    topic = reconciler.view.get(name)
    if topic is None or topic.topic_id == topic_id:
        return ()
    return [
        (name, number)
        for number, partition in enumerate(topic.partitions)
        if reconciler.node_id in partition.replicas
    ]


async def set_aside(reconciler: Reconciler[TopicState], logs: LogManager, name: str, former: Former) -> None:
    """Serves these partitions no more, and renames their directories; what fails is logged, and stays."""
    view = reconciler.view
    topic = view.get(name)
    if topic is not None and topic.topic_id in former.values():
        nowhere = tuple(replace(partition, replicas=()) for partition in topic.partitions)
        await reconciler.apply(view.updated({name: replace(topic, partitions=nowhere)}), each_on_its_own=True)
        await reconciler.apply(reconciler.view.without([name]), each_on_its_own=True)
    _LOG.error(
        "topic %s is not the one of the %d partitions here: its nodes were removed. They are kept as stray",
        *(name, len(former)),
    )
    for key, topic_id in former.items():
        try:
            await logs.delete(*key, topic_id, keep=True)
        except KafkaError as error:
            _LOG.error("%s-%d cannot be set aside: %s", *key, error)


def _id_here(reconciler: Reconciler[TopicState], name: str) -> bytes:
    return reconciler.view[name].topic_id
