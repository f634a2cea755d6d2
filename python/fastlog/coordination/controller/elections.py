"""Who leads next: the five elections of Kafka's controller (`Election`, `PartitionLeaderElectionAlgorithms`).

| election  | leader                                         | in sync then                | told            |
|-----------|------------------------------------------------|-----------------------------|-----------------|
| (new)     | first online of the assignment                 | all online                  | these           |
| OFFLINE   | first assigned that is online and in sync      | those online of it          | online replicas |
| UNCLEAN   | as OFFLINE; if none is in sync, first online   | the leader, which recovers  | online replicas |
| REASSIGN  | first of the target that is online and in sync | as before                   | the target      |
| PREFERRED | first of the assignment, if online and in sync | as before                   | all replicas    |
| SHUTDOWN  | first assigned in sync that does not shut down | those that do not shut down | online replicas |

SHUTDOWN tells brokers that shut down, too.

One rule is fastlog's own. A member of the in-sync set whose broker has registered after the partition's state
was last written (its epoch is above the state's zxid) comes from a restart of which no controller has taken
notice: one that had would have written the state, since a replica that fails leaves the set, or loses the
lead if it is the last member. It may have lost what it had not flushed (KIP-966), so it does not count as in
sync while another member that does can lead. Brokers and controllers of Apache Kafka need not know of it: it
looks at nothing but the node's Stat and the broker epochs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from enum import Enum
from typing import NamedTuple

from fastlog.coordination.controller.context import ControllerContext
from fastlog.coordination.controller.data import Leadership
from fastlog.replication.partition import PartitionKey


class Election(Enum):
    """Why, and so how, a leader is elected. UNCLEAN is OFFLINE where losing records is allowed."""

    OFFLINE = "offline"
    UNCLEAN = "unclean"
    REASSIGN = "reassign"
    PREFERRED = "preferred"
    SHUTDOWN = "controlled shutdown"


class Elected(NamedTuple):
    """The leadership to be written, and which brokers get LeaderAndIsr once it is."""

    leadership: Leadership
    recipients: tuple[int, ...]


def first_leadership(context: ControllerContext, key: PartitionKey) -> Leadership | None:
    """The leadership of a partition that has had none; None if no replica is online."""
    online = tuple(r for r in context.assignment(key).replicas if context.is_online(r, key))
    if not online:
        return None
    return Leadership(online[0], 0, online, controller_epoch=context.epoch)


def elect(
    context: ControllerContext, key: PartitionKey, now: Leadership, election: Election
) -> Elected | None:
    """The outcome for a partition whose state is `now`; None when nobody can lead."""
    members = known_in_sync(context, key, now)
    return _RULES[election](context, key, now if members == now.isr else replace(now, isr=members))


def known_in_sync(context: ControllerContext, key: PartitionKey, now: Leadership) -> tuple[int, ...]:
    """The in-sync set without members that came back unseen, if there is one left that can lead."""
    members = tuple(member for member in now.isr if not _came_back_unseen(context, now, member))
    replicas = context.assignment(key).replicas
    if any(member in replicas and context.is_online(member, key) for member in members):
        return members
    return now.isr


def has_member_online(context: ControllerContext, key: PartitionKey, now: Leadership) -> bool:
    """Whether somebody of the in-sync set is online: then no election is unclean."""
    return any(context.is_online(member, key) for member in now.isr)


def _came_back_unseen(context: ControllerContext, now: Leadership, member: int) -> bool:
    broker = context.brokers.get(member)
    return broker is not None and 0 < now.zxid < broker.epoch


def _for_offline(context: ControllerContext, key: PartitionKey, now: Leadership) -> Elected | None:
    online = _online(context, key, context.assignment(key).replicas)
    leader = next((r for r in online if r in now.isr), None)
    if leader is None:
        return None
    members = [member for member in now.isr if context.is_online(member, key)]
    return Elected(now.led_by(leader, members), online)


def _for_offline_or_unclean(context: ControllerContext, key: PartitionKey, now: Leadership) -> Elected | None:
    clean = _for_offline(context, key, now)
    online = _online(context, key, context.assignment(key).replicas)
    if clean is not None or not online or has_member_online(context, key, now):
        return clean
    return Elected(now.led_by(online[0], (online[0],), recovering=True), online)


def _for_reassignment(context: ControllerContext, key: PartitionKey, now: Leadership) -> Elected | None:
    target = context.assignment(key).target
    leader = next((r for r in _online(context, key, target) if r in now.isr), None)
    return None if leader is None else Elected(now.led_by(leader, now.isr), target)


def _for_preferred(context: ControllerContext, key: PartitionKey, now: Leadership) -> Elected | None:
    replicas = context.assignment(key).replicas
    if not can_preferred_lead(context, key, now):
        return None
    return Elected(now.led_by(replicas[0], now.isr), replicas)


def can_preferred_lead(context: ControllerContext, key: PartitionKey, now: Leadership) -> bool:
    """Whether the first replica of the assignment is online and in sync."""
    replicas = context.assignment(key).replicas
    return bool(replicas) and replicas[0] in now.isr and context.is_online(replicas[0], key)


def _for_shutdown(context: ControllerContext, key: PartitionKey, now: Leadership) -> Elected | None:
    replicas = context.assignment(key).replicas
    recipients = tuple(r for r in replicas if context.is_online(r, key, or_shutting_down=True))
    leader = next((r for r in recipients if r in now.isr and r not in context.shutting_down), None)
    if leader is None:
        return None
    return Elected(now.led_by(leader, [r for r in now.isr if r not in context.shutting_down]), recipients)


def _online(context: ControllerContext, key: PartitionKey, replicas: Iterable[int]) -> tuple[int, ...]:
    return tuple(replica for replica in replicas if context.is_online(replica, key))


_RULES: dict[Election, Callable[[ControllerContext, PartitionKey, Leadership], Elected | None]] = {
    Election.OFFLINE: _for_offline,
    Election.UNCLEAN: _for_offline_or_unclean,
    Election.REASSIGN: _for_reassignment,
    Election.PREFERRED: _for_preferred,
    Election.SHUTDOWN: _for_shutdown,
}
