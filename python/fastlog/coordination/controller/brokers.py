"""What brokers do to partitions: they come, fail, lose a directory, shut down (`KafkaController`).

Reassignments and deletions that wait for a broker are not resumed here: see `reassignment.resume` and
`ControllerContext.may_delete`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.coordination.controller import partition_machine, replica_machine
from fastlog.coordination.controller.context import ControllerContext
from fastlog.coordination.controller.control_batch import ControlBatch
from fastlog.coordination.controller.data import LiveBroker, Replica
from fastlog.coordination.controller.elections import Election, known_in_sync
from fastlog.coordination.controller.flow import Flow, Pause, in_turns, send
from fastlog.coordination.controller.states import ReplicaPhase, replica_may
from fastlog.errors import ErrorCode, KafkaError
from fastlog.replication.partition import PartitionKey

UNKNOWN_BROKER_EPOCH: Final = -1


@dataclass(frozen=True, slots=True)
class BrokerDiff:
    """Brokers that have come, that have registered anew (a higher epoch), and that are gone: rising ids."""

    new: tuple[int, ...]
    bounced: tuple[int, ...]
    dead: tuple[int, ...]


def broker_diff(context: ControllerContext, found: Mapping[int, LiveBroker]) -> BrokerDiff:
    """The difference between what is known and what is registered now. A lower epoch is old news."""
    known = context.brokers
    return BrokerDiff(
        new=tuple(sorted(found.keys() - known.keys())),
        bounced=tuple(
            sorted(id_ for id_ in found.keys() & known.keys() if found[id_].epoch > known[id_].epoch)
        ),
        dead=tuple(sorted(known.keys() - found.keys())),
    )


def brokers_started(context: ControllerContext, brokers: Collection[LiveBroker]) -> Flow[None]:
    """Brokers are there that were not known. All learn of them, they learn all; they lead what nobody can."""
    for broker in brokers:
        context.put_broker(broker)
    ids = {broker.id for broker in brokers}
    yield from _send_metadata(context, context.brokers.keys() - ids, ())
    with_leaders = [key for key in context.leaderships if key[0] not in context.deleting]
    yield from _send_metadata(context, sorted(ids), with_leaders)
    yield from replica_machine.change(context, context.replicas_on(sorted(ids)), ReplicaPhase.ONLINE)
    yield from partition_machine.pending_to_online(context)


def brokers_failed(context: ControllerContext, ids: Collection[int]) -> Flow[list[Replica]]:
    """Brokers are gone, or about to be known anew. Returns what `replicas_failed` does."""
    replicas = context.replicas_on(ids)
    for broker in ids:
        context.remove_broker(broker)
    return (yield from replicas_failed(context, replicas))


def replicas_failed(context: ControllerContext, replicas: Collection[Replica]) -> Flow[list[Replica]]:
    """Replicas are not online any more: others lead, and they leave the in-sync sets.

    Returns those of topics that are being deleted, which could not be deleted now; they are INELIGIBLE.
    """
    doomed = [replica for replica in replicas if replica.key[0] in context.deleting]
    hit = [replica for replica in replicas if replica.key[0] not in context.deleting]
    led = [replica.key for replica in hit if replica.key in context.led_by(replica.broker)]
    partition_machine.to_offline(context, led)
    outcomes = yield from partition_machine.pending_to_online(context)
    yield from replica_machine.change(context, hit, ReplicaPhase.OFFLINE)
    if doomed:
        begun = [r for r in doomed if replica_may(context.replica_phase(r), ReplicaPhase.INELIGIBLE)]
        yield from replica_machine.change(context, begun, ReplicaPhase.INELIGIBLE)
        context.mark_ineligible({replica.key[0] for replica in doomed})
    if not hit and all(isinstance(outcome, str) for outcome in outcomes.values()):
        # Nothing else has told anybody which brokers there are.
        yield from tell_brokers(context)
    return doomed


def directories_answer(
    context: ControllerContext, broker: int, errors: Mapping[PartitionKey, int]
) -> Flow[list[Replica]]:
    """A broker has answered LeaderAndIsr: KAFKA_STORAGE_ERROR says that a replica's directory is offline, no
    error that it is not (any other says nothing). Returns what `replicas_failed` does.
    """
    before = context.offline_in_directories(broker)
    if broker not in context.brokers:
        return []
    offline = {key for key, code in errors.items() if code == ErrorCode.KAFKA_STORAGE_ERROR}
    online = {key for key, code in errors.items() if code == ErrorCode.NONE}
    if not offline and before.isdisjoint(online):
        return []
    context.put_offline_in_directories(broker, (before - online) | offline)
    # Whether those of a topic that is being deleted can be, the answer to that says.
    failed = [Replica(key, broker) for key in sorted(offline - before) if key[0] not in context.deleting]
    if failed:
        return (yield from replicas_failed(context, failed))
    if not before.isdisjoint(online):
        # They may lead again what nobody leads.
        yield from partition_machine.pending_to_online(context)
    return []


def ask_directories(context: ControllerContext, brokers: Iterable[int]) -> Flow[None]:
    """A directory of brokers failed: they are told of their replicas, and will answer which are offline."""
    replicas = context.replicas_on(broker for broker in brokers if broker in context.brokers)
    yield from replica_machine.change(context, replicas, ReplicaPhase.ONLINE)


def controlled_shutdown(context: ControllerContext, broker: int, epoch: int) -> Flow[list[PartitionKey]]:
    """A broker is about to stop: others lead what they can, and it follows nothing more.

    Returns what it still leads beside others. Raises KafkaError: STALE_BROKER_EPOCH, BROKER_NOT_AVAILABLE.
    """
    registered = context.brokers.get(broker)
    if registered is None:
        raise KafkaError(ErrorCode.BROKER_NOT_AVAILABLE, f"broker {broker} is not registered")
    if epoch != UNKNOWN_BROKER_EPOCH and epoch < registered.epoch:
        raise KafkaError(ErrorCode.STALE_BROKER_EPOCH, f"broker {broker} has registered again since")
    context.begin_shutdown(broker)
    shared = [key for key in context.hosted_by(broker) if _is_shared(context, key)]
    led = [key for key in shared if key in context.led_by(broker)]
    followed = [key for key in shared if key not in context.led_by(broker)]
    yield from partition_machine.to_online(context, led, Election.SHUTDOWN)
    batch = ControlBatch(context)
    for key in followed:
        batch.stop((broker,), key, delete=False)
    yield from send(batch)
    yield from replica_machine.change(
        context, [Replica(key, broker) for key in followed], ReplicaPhase.OFFLINE
    )
    return [key for key in context.led_by(broker) if _is_shared(context, key)]


def settle_unseen_restarts(context: ControllerContext) -> Flow[None]:
    """Takes replicas out of in-sync sets whose broker has come back without a controller's notice.

    Where somebody else who is in sync can lead, of course (see `elections`). For a new controller, when it
    has loaded everything and given all their states; leaders among them are elected with all the others.
    """
    replicas: list[Replica] = []
    for (key, now), due in in_turns(list(context.leaderships.items())):
        if due:
            yield Pause()
        trusted = known_in_sync(context, key, now)
        if key[0] not in context.deleting and len(trusted) < len(now.isr):
            replicas.extend(Replica(key, member) for member in now.isr if member not in trusted)
    assigned = [replica for replica in replicas if replica.broker in context.assignment(replica.key).replicas]
    yield from replica_machine.change(context, assigned, ReplicaPhase.OFFLINE)


def take_over(context: ControllerContext) -> Flow[None]:
    """What a new controller does first with what it has loaded (`startup` of Kafka's two state machines):
    brokers learn of each other, then of their replicas, and who can lead is elected.
    """
    for key, due in in_turns(list(context.partitions())):
        if due:
            yield Pause()
        partition_machine.begin(context, (key,))
        replica_machine.begin(context, (key,))
    yield from tell_brokers(context)
    yield from settle_unseen_restarts(context)
    online: list[Replica] = []
    offline: list[Replica] = []
    for replica in context.replicas_of(context.partitions()):
        (online if context.is_online(replica.broker, replica.key) else offline).append(replica)
    yield from replica_machine.change(context, online, ReplicaPhase.ONLINE)
    yield from replica_machine.change(context, offline, ReplicaPhase.OFFLINE)
    yield from partition_machine.pending_to_online(context)


def tell_brokers(context: ControllerContext) -> Flow[None]:
    """Tells all brokers which brokers there are, and nothing of partitions."""
    yield from _send_metadata(context, context.brokers, ())


def _send_metadata(
    context: ControllerContext, brokers: Iterable[int], keys: Iterable[PartitionKey]
) -> Flow[None]:
    batch = ControlBatch(context)
    batch.update(brokers, keys)
    yield from send(batch)


def _is_shared(context: ControllerContext, key: PartitionKey) -> bool:
    return (
        len(context.assignment(key).replicas) > 1
        and context.leadership(key) is not None
        and key[0] not in context.deleting
    )
