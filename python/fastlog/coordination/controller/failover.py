"""A broker becomes the controller: it reads everything, tells the brokers, and goes on where others stopped.

The order is Kafka's (`KafkaController.onControllerFailover`): live brokers are told before anything refers to
them; watches are set before what they watch is read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from fastlog.coordination.controller import (
    brokers,
    default_features,
    deletion,
    election_events,
    reassignment,
    reassignment_events,
    topic_events,
)
from fastlog.coordination.controller.data import Leadership, PartitionKey
from fastlog.coordination.controller.term import Term
from fastlog.coordination.znodes import paths

_LOG: Final = logging.getLogger(__name__)


Remembered = Callable[[PartitionKey, bytes], Leadership | None]
"""What this broker was last told of a partition of the topic with that id."""


async def take_over(term: Term, clock: Callable[[], float], remembered: Remembered) -> None:
    """Begins a term. Raises ControllerMoved, StoreError."""
    context = term.context
    started = clock()
    await _clean(term)
    found = await term.store.brokers(term.watches.brokers, term.watches.broker)
    for broker in found.values():
        context.put_broker(broker)
    keys = await topic_events.load(term, await term.store.topic_names(term.watches.topics))
    await topic_events.load_states(term, keys)
    await topic_events.bring_back_states(term, keys, remembered)
    for broker in found.values():
        term.open_channel(broker)
    await deletion.load(term)
    reassignment.begin(context)
    await term.run(brokers.take_over(context))
    await reassignment_events.load(term)
    await deletion.go_on(term, term.context.deleting)
    await election_events.load(term)
    await default_features.settle(term)
    _LOG.info(
        "controller of %d brokers and %d partitions after %.0f ms",
        len(found),
        len(keys),
        1000 * (clock() - started),
    )


async def _clean(term: Term) -> None:
    """Removes what others were told of and this controller reads anyway; sets the watches for what comes."""
    for parent, watch in (
        (paths.LOG_DIR_EVENTS, term.watches.log_dirs),
        (paths.ISR_CHANGES, term.watches.isr_changes),
    ):
        names = await term.store.children(parent, watch)
        await term.store.delete_nodes([f"{parent}/{name}" for name in names])
