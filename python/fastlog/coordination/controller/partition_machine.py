"""Brings partitions from one state to another (`ZkPartitionStateMachine`): elections, and who is told.

Each function is a flow that sends one batch, and goes through its partitions once. What may not go into the
state that is asked for is logged and left as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from typing import Final

from fastlog.coordination.controller.context import ControllerContext
from fastlog.coordination.controller.control_batch import ControlBatch
from fastlog.coordination.controller.data import Leadership
from fastlog.coordination.controller.elections import (
    Elected,
    Election,
    elect,
    first_leadership,
    has_member_online,
)
from fastlog.coordination.controller.flow import Flow, Pause, in_turns, read_unclean, send
from fastlog.coordination.controller.states import PartitionPhase, partition_may
from fastlog.coordination.controller.stored_states import ALWAYS_STALE, ROUNDS, store
from fastlog.replication.partition import PartitionKey

_LOG: Final = logging.getLogger(__name__)

_MOST_LINES: Final = 20
"""In the log, of one election: a broker that stays away may have been the only one of thousands."""

Outcomes = dict[PartitionKey, Leadership | str]
"""Of each partition its new leadership, or why it has none."""


def begin(context: ControllerContext, keys: Iterable[PartitionKey] | None = None) -> None:
    """Gives partitions (all) their states as a new controller finds them."""
    for key in context.partitions() if keys is None else keys:
        leadership = context.leadership(key)
        if leadership is None:
            context.put_phase(key, PartitionPhase.NEW)
        elif context.is_online(leadership.leader, key):
            context.put_phase(key, PartitionPhase.ONLINE)
        else:
            context.put_phase(key, PartitionPhase.OFFLINE)


def to_new(context: ControllerContext, keys: Iterable[PartitionKey]) -> None:
    """Partitions that have never had a leader."""
    _put(context, keys, PartitionPhase.NEW)


def to_offline(context: ControllerContext, keys: Iterable[PartitionKey]) -> None:
    """Partitions whose leader is gone."""
    _put(context, keys, PartitionPhase.OFFLINE)


def to_non_existent(context: ControllerContext, keys: Iterable[PartitionKey]) -> None:
    """Partitions that are being deleted."""
    _put(context, keys, PartitionPhase.NON_EXISTENT)


def pending_to_online(context: ControllerContext, topics: Collection[str] | None = None) -> Flow[Outcomes]:
    """Tries all NEW and OFFLINE partitions, or those of topics, but of none that is being deleted."""
    keys = context.pending()
    if topics is not None:
        keys = [key for key in keys if key[0] in topics]
    return (yield from to_online(context, keys))


def to_online(
    context: ControllerContext, keys: Iterable[PartitionKey], election: Election = Election.OFFLINE
) -> Flow[Outcomes]:
    """Gives partitions a leader: NEW ones their first, others by an election."""
    batch = ControlBatch(context)
    valid = _valid(context, keys, PartitionPhase.ONLINE)
    fresh = [key for key in valid if context.phase(key) is PartitionPhase.NEW]
    outcomes = yield from _first_leaders(context, fresh, batch)
    # What is left NEW has failed. What was found to have a state already is elected like the others.
    others = [key for key in valid if context.phase(key) is not PartitionPhase.NEW and key not in outcomes]
    outcomes.update((yield from _elect(context, others, election, batch)))
    without = [(key, outcome) for key, outcome in outcomes.items() if isinstance(outcome, str)]
    for key, reason in without[:_MOST_LINES]:
        _LOG.info("partition %s-%d gets no leader (%s): %s", *key, election.value, reason)
    if len(without) > _MOST_LINES:
        _LOG.info("%d more partitions get no leader (%s)", len(without) - _MOST_LINES, election.value)
    yield from send(batch)
    return outcomes


def _put(context: ControllerContext, keys: Iterable[PartitionKey], phase: PartitionPhase) -> None:
    for key in _valid(context, keys, phase):
        context.put_phase(key, phase)


def _valid(
    context: ControllerContext, keys: Iterable[PartitionKey], phase: PartitionPhase
) -> list[PartitionKey]:
    valid = []
    for key in keys:
        if partition_may(context.phase(key), phase):
            valid.append(key)
        else:
            _LOG.error("partition %s-%d is %s: not made %s", *key, context.phase(key).value, phase.value)
    return valid


def _first_leaders(
    context: ControllerContext, keys: Collection[PartitionKey], batch: ControlBatch
) -> Flow[Outcomes]:
    outcomes: Outcomes = {}
    wanted: dict[PartitionKey, Leadership] = {}
    for key, due in in_turns(keys):
        if due:
            yield Pause()
        first = first_leadership(context, key)
        if first is None:
            outcomes[key] = "none of its replicas is online"
        else:
            wanted[key] = first
    stored = yield from store(context, wanted, create=True)
    outcomes.update(stored.failed)
    for key in stored.stale:
        # The node is there: a lost answer to our own creation, or a former controller's.
        context.put_phase(key, PartitionPhase.OFFLINE)
    for (key, now), due in in_turns(stored.written.items()):
        if due:
            yield Pause()
        context.put_phase(key, PartitionPhase.ONLINE)
        batch.lead(now.isr, key, is_new=True)
        outcomes[key] = now
    return outcomes


def _elect(
    context: ControllerContext, keys: Collection[PartitionKey], election: Election, batch: ControlBatch
) -> Flow[Outcomes]:
    outcomes: Outcomes = {}
    remaining: dict[PartitionKey, Leadership] = {}
    for key in keys:
        leadership = context.leadership(key)
        if leadership is None:
            outcomes[key] = "it has no state"
        else:
            remaining[key] = leadership
    for _ in range(ROUNDS):
        if not remaining:
            return outcomes
        remaining = yield from _elect_once(context, remaining, election, batch, outcomes)
    outcomes.update(dict.fromkeys(remaining, ALWAYS_STALE))
    return outcomes


def _elect_once(
    context: ControllerContext,
    states: dict[PartitionKey, Leadership],
    election: Election,
    batch: ControlBatch,
    outcomes: Outcomes,
) -> Flow[dict[PartitionKey, Leadership]]:
    """Returns those that are to be tried again, with their states as they are now."""
    unclean: Collection[str] = ()
    if election is Election.OFFLINE:
        unclean = yield from read_unclean(
            key[0] for key, now in states.items() if not has_member_online(context, key, now)
        )
    elected: dict[PartitionKey, Elected] = {}
    for (key, now), due in in_turns(states.items()):
        if due:
            yield Pause()
        found = elect(context, key, now, Election.UNCLEAN if key[0] in unclean else election)
        if found is None:
            outcomes[key] = "nobody who may lead is online"
        else:
            elected[key] = found
    stored = yield from store(context, {key: found.leadership for key, found in elected.items()})
    outcomes.update(stored.failed)
    for (key, now), due in in_turns(stored.written.items()):
        if due:
            yield Pause()
        context.put_phase(key, PartitionPhase.ONLINE)
        batch.lead(elected[key].recipients, key, is_new=False)
        outcomes[key] = now
    return stored.stale
