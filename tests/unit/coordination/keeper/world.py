"""A keeper in memory for tests: a machine whose journal is a list."""

from __future__ import annotations

from typing import Final

from fastlog.coordination.keeper.access import Identity
from fastlog.coordination.keeper.changes import Entry
from fastlog.coordination.keeper.machine import Caller, Machine
from fastlog.coordination.keeper.reads import Reads
from fastlog.coordination.keeper.watches import Watches
from fastlog.coordination.zookeeper.codes import EventType
from fastlog.coordination.zookeeper.replies import Event, Result
from fastlog.coordination.zookeeper.requests import Request

NOW_MS = 1_700_000_000_000
ME = 77
SELF: Final = Caller(ME)


class Listener:
    """A connection that notes what it is told."""

    def __init__(self, *identities: Identity) -> None:
        self.identities = list(identities)
        self.told: list[tuple[EventType, str]] = []

    def notify(self, event: Event) -> None:
        self.told.append((event.type, event.path))

    def take(self) -> list[tuple[EventType, str]]:
        told, self.told = self.told, []
        return told


class World:
    """Machine, watches and reads, with what was journaled."""

    def __init__(self) -> None:
        self.journal: list[Entry] = []
        self.watches: Watches[Listener] = Watches()
        self.machine = Machine(self.watches, self.journal.append)
        self.reads = Reads(self.machine.tree, 10_000)
        self.now_ms = NOW_MS

    def write(self, request: Request, caller: Caller = SELF) -> Result:
        return self.machine.write(request, caller, self.now_ms)

    def read(self, request: Request, listener: Listener | None = None, caller: Caller = SELF) -> Result:
        return self.reads.answer(request, caller, self.watches, listener or Listener())

    def replayed(self) -> Machine:
        """The machine that a start makes of the journal, encoded and decoded."""
        machine = Machine(Watches[Listener](), _nobody)
        for entry in self.journal:
            machine.apply(Entry.decode(entry.encode()))
        return machine


def _nobody(entry: Entry) -> None:
    raise AssertionError(f"a replay journals {entry}")


def image(machine: Machine) -> dict[str, object]:
    """All that is durable."""
    nodes = {
        path: (node.data, node.acls, *node.stat(), node.creates, sorted(node.children or ()))
        for path, node in machine.tree.nodes.items()
    }
    return {
        "nodes": nodes,
        "sessions": dict(machine.sessions),
        "ephemerals": {owner: sorted(paths) for owner, paths in machine.tree.ephemerals.items()},
        "transients": sorted(machine.tree.transients),
        "bytes": machine.tree.bytes,
    }
