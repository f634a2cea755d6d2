"""Has leaderships written, and takes what came of it into the context: one round of a transition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.coordination.controller.context import ControllerContext
from fastlog.coordination.controller.data import Leadership
from fastlog.coordination.controller.flow import (
    Flow,
    Pause,
    Stale,
    StateWrite,
    Written,
    in_turns,
    write_states,
)
from fastlog.replication.partition import PartitionKey

ROUNDS: Final = 10
"""How often a state that somebody else keeps changing is read and decided again in one transition."""
ALWAYS_STALE: Final = "its state is changed by others all the time"
_GONE: Final = "its state node is gone"
_NEWER: Final = "its state was written by a newer controller"


@dataclass(slots=True)
class Stored:
    """What became of writes: what is stored now, what was found instead, and why something failed."""

    written: dict[PartitionKey, Leadership] = field(default_factory=dict)
    stale: dict[PartitionKey, Leadership] = field(default_factory=dict)
    failed: dict[PartitionKey, str] = field(default_factory=dict)


def store(
    context: ControllerContext, wanted: Mapping[PartitionKey, Leadership], *, create: bool = False
) -> Flow[Stored]:
    """Writes each state at the version of `wanted`, or creates its node; the context knows the outcome."""
    stored = Stored()
    if not wanted:
        return stored
    signed: dict[PartitionKey, Leadership] = {}
    for (key, now), due in in_turns(wanted.items()):
        if due:
            yield Pause()
        signed[key] = replace(now, controller_epoch=context.epoch)
    results = yield from write_states(
        StateWrite(key, now, None if create else now.partition_epoch) for key, now in signed.items()
    )
    for (key, now), due in in_turns(signed.items()):
        if due:
            yield Pause()
        result = results[key]
        if isinstance(result, Written):
            stored.written[key] = replace(now, partition_epoch=result.partition_epoch, zxid=result.zxid)
            context.put_leadership(key, stored.written[key])
        elif not isinstance(result, Stale):
            stored.failed[key] = result.reason
        elif result.current is None:
            stored.failed[key] = _GONE
        elif result.current.controller_epoch > context.epoch:
            stored.failed[key] = _NEWER
        else:
            stored.stale[key] = result.current
            context.put_leadership(key, result.current)
    return stored
