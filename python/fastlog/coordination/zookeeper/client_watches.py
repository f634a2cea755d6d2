"""The watches of a client: who is called when one fires, and what is armed again on another connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from fastlog.coordination.zookeeper.codes import EventType, OpCode
from fastlog.coordination.zookeeper.replies import Event
from fastlog.coordination.zookeeper.requests import SetWatches

Watch: TypeAlias = Callable[[Event], None]
"""Called once, on the event loop, before any answer that shows the change."""

# Servers take packets of a megabyte at least; the Java client cuts at the same size.
_MAX_BYTES: Final = 128 * 1024
_Table: TypeAlias = dict[str, dict[Watch, None]]


class ClientWatches:
    """Watches by path and kind. One callback that watches a path twice is called once."""

    def __init__(self) -> None:
        self._data: _Table = {}
        self._exist: _Table = {}
        self._child: _Table = {}

    def __len__(self) -> int:
        return sum(len(table) for table in (self._data, self._exist, self._child))

    def add(self, op: OpCode, path: str, watch: Watch, *, found: bool) -> None:
        """A read has left a watch at the server. `found`: the node was there."""
        if op is OpCode.EXISTS and not found:
            table = self._exist
        elif op in (OpCode.EXISTS, OpCode.GET_DATA):
            table = self._data
        else:
            table = self._child
        table.setdefault(path, {})[watch] = None

    def take(self, kind: EventType, path: str) -> dict[Watch, None]:
        """The watches that an event fires; they are gone then."""
        if kind is EventType.CHILDREN_CHANGED:
            tables = [self._child]
        elif kind is EventType.DELETED:
            tables = [self._data, self._exist, self._child]
        else:
            tables = [self._data, self._exist]
        fired: dict[Watch, None] = {}
        for table in tables:
            fired.update(table.pop(path, {}))
        return fired

    def take_all(self) -> dict[Watch, None]:
        """All watches; none is left. The session has expired."""
        fired: dict[Watch, None] = {}
        for table in (self._data, self._exist, self._child):
            for watches in table.values():
                fired.update(watches)
            table.clear()
        return fired

    def to_arm(self, zxid: int) -> Iterator[SetWatches]:
        """What arms them on a new connection, in packets of moderate size."""
        lists: tuple[list[str], list[str], list[str]] = ([], [], [])
        size = 0
        for number, table in enumerate((self._data, self._exist, self._child)):
            for path in table:
                if size > _MAX_BYTES:
                    yield SetWatches(OpCode.SET_WATCHES, zxid, *lists)
                    lists, size = ([], [], []), 0
                lists[number].append(path)
                size += len(path) + 4
        if size:
            yield SetWatches(OpCode.SET_WATCHES, zxid, *lists)
