"""Topics are deleted replica by replica (`TopicDeletionManager`).

| step | what is done                                                                                   |
|------|------------------------------------------------------------------------------------------------|
| 1    | the partitions are told to be gone (UpdateMetadata with leader -2), once                       |
| 2    | replicas whose broker is away cannot be deleted: the topic waits until a broker starts         |
| 3    | StopReplica with `delete` to the others; each answer is an event                               |
| 4    | an error makes the topic wait as well; when all are deleted, so are the topic's nodes          |

A topic that is being reassigned waits for the end of that. While a topic waits it is in
`context.deletion_ineligible`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from typing import Final

from fastlog.coordination.controller import partition_machine, replica_machine
from fastlog.coordination.controller.data import PartitionKey, Replica
from fastlog.coordination.controller.events import Turns
from fastlog.coordination.controller.states import ReplicaPhase
from fastlog.coordination.controller.term import Term
from fastlog.coordination.znodes import paths

_LOG: Final = logging.getLogger(__name__)


async def load(term: Term) -> None:
    """Takes over the deletions that the former controller has left."""
    context = term.context
    asked = await term.store.children(paths.DELETIONS, term.watches.deletions)
    await _take_in(term, asked)
    for topic in context.deleting:
        replicas = context.replicas_of(context.partitions_of(topic))
        if not all(context.is_online(replica.broker, replica.key) for replica in replicas):
            context.mark_ineligible([topic])


async def asked_for(term: Term) -> None:
    """Somebody wants topics deleted."""
    names = await term.store.children(paths.DELETIONS, term.watches.deletions)
    new = [name for name in names if name not in term.context.deleting]
    await _take_in(term, new)
    await go_on(term, new)


async def resume(term: Term, topics: Collection[str]) -> None:
    """These topics need not wait any longer."""
    term.context.deletion_ineligible.difference_update(topics)
    await go_on(term, topics)


async def go_on(term: Term, topics: Iterable[str]) -> None:
    """Goes on with those of `topics` that can: an event is about few, and thousands may wait."""
    context = term.context
    ready: list[str] = []
    turns = Turns()
    for topic in sorted(context.deleting.intersection(topics)):
        replicas = context.replicas_of(context.partitions_of(topic))
        phases = [context.replica_phase(replica) for replica in replicas]
        await turns.step(len(replicas))
        if all(phase is ReplicaPhase.DELETED for phase in phases):
            await _complete(term, topic)
            continue
        if ReplicaPhase.DELETION_STARTED in phases:
            continue
        if ReplicaPhase.INELIGIBLE in phases:
            again = context.replicas_in(topic, ReplicaPhase.INELIGIBLE)
            await term.run(replica_machine.change(context, again, ReplicaPhase.OFFLINE))
        if context.may_delete(topic):
            ready.append(topic)
    if ready:
        await _begin(term, ready)


async def answered(term: Term, broker: int, errors: dict[PartitionKey, int]) -> None:
    """A broker has answered a StopReplica that deletes: error codes by partition."""
    context = term.context
    ours = {
        key: code
        for key, code in errors.items()
        if context.replica_phase(Replica(key, broker)) is ReplicaPhase.DELETION_STARTED
    }
    deleted = [Replica(key, broker) for key, code in ours.items() if code == 0]
    failed = [Replica(key, broker) for key, code in ours.items() if code != 0]
    if failed:
        _LOG.warning("broker %d cannot delete %d replicas now", broker, len(failed))
    await fail(term, failed)
    await term.run(replica_machine.change(context, deleted, ReplicaPhase.DELETED))
    await go_on(term, {topic for topic, _ in ours})


async def fail(term: Term, replicas: Collection[Replica]) -> None:
    """Replicas could not be deleted: their topics wait."""
    if not replicas:
        return
    context = term.context
    await term.run(replica_machine.change(context, replicas, ReplicaPhase.INELIGIBLE))
    context.mark_ineligible({replica.key[0] for replica in replicas})


async def brokers_started(term: Term, brokers: Collection[int]) -> None:
    """Topics with replicas there need not wait for these brokers any longer."""
    context = term.context
    topics = {key[0] for broker in brokers for key in context.hosted_by(broker)} & context.deleting
    if topics:
        await resume(term, topics)


async def _take_in(term: Term, names: Collection[str]) -> None:
    context = term.context
    unknown = [name for name in names if name not in context.topics]
    known = [name for name in names if name in context.topics]
    if not term.settings.delete_topic_enable:
        unknown, known = list(names), []
    if unknown:
        _LOG.info(
            "nothing is deleted of topics that are not there or must stay: %s", ", ".join(unknown)[:500]
        )
        await term.store.delete_nodes([paths.deletion(name) for name in unknown])
    context.deleting.update(known)
    moving = {topic for topic, _ in context.reassigning}
    context.mark_ineligible(moving.intersection(known))


async def _begin(term: Term, topics: Collection[str]) -> None:
    context = term.context
    unseen = [topic for topic in topics if topic not in context.deletion_started]
    keys = [key for topic in unseen for key in context.partitions_of(topic)]
    partition_machine.to_offline(context, keys)
    partition_machine.to_non_existent(context, keys)
    context.deletion_started.update(unseen)
    keys = [key for topic in topics for key in context.partitions_of(topic)]
    await term.update_metadata(keys)
    waiting: list[Replica] = []
    there: list[Replica] = []
    turns = Turns()
    for replica in context.replicas_of(keys):
        await turns.step()
        if context.replica_phase(replica) is ReplicaPhase.DELETED:
            continue
        if replica.broker in context.brokers and replica.broker not in context.shutting_down:
            # Of a directory that is offline it says so itself; of data that is lost nothing is left.
            there.append(replica)
        else:
            waiting.append(replica)
    await term.run(replica_machine.change(context, waiting, ReplicaPhase.OFFLINE))
    await fail(term, waiting)
    await term.run(replica_machine.change(context, there, ReplicaPhase.OFFLINE))
    await term.run(replica_machine.change(context, there, ReplicaPhase.DELETION_STARTED))


async def _complete(term: Term, topic: str) -> None:
    context = term.context
    gone = context.replicas_in(topic, ReplicaPhase.DELETED)
    await term.run(replica_machine.change(context, gone, ReplicaPhase.NON_EXISTENT))
    await term.store.delete_topic(topic)
    context.remove_topic(topic)
    _LOG.info("topic %s is deleted", topic)
