"""Four-letter words: what is asked of a server without a session (ZooKeeper's `FourLetterCommands`).

Only those that read. The names of the figures are ZooKeeper's, so that its monitors work.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from fastlog.coordination.keeper.connection import KeeperConnection
    from fastlog.coordination.keeper.keeper import Keeper

VERSION: Final = "3.9.3-fastlog, built on 2024-01-01 00:00 UTC"
"""What clients read as the version of ZooKeeper whose protocol this is."""


class Connected(Protocol):
    """A connection as figures show it."""

    peer: str
    connection: KeeperConnection | None

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the client has not taken yet."""
        ...

    def abort(self) -> None:
        """Ends the connection."""
        ...


class Statistics:
    """What the words tell of."""

    def __init__(self, keeper: Keeper) -> None:
        self.keeper: Final = keeper
        self.connections: Final[dict[Connected, None]] = {}

    @property
    def received(self) -> int:
        """Packets of the connections that are open."""
        return sum(entry.connection.received for entry in self.connections if entry.connection)

    @property
    def sent(self) -> int:
        """Packets sent to them."""
        return sum(entry.connection.sent for entry in self.connections if entry.connection)


def answer(word: bytes, statistics: Statistics) -> str:
    """The text for a word of `WORDS`."""
    lines = WORDS[word](statistics)
    return lines if isinstance(lines, str) else "".join(f"{line}\n" for line in lines)


def _ruok(_: Statistics) -> str:
    return "imok"


def _isro(_: Statistics) -> str:
    return "rw"


def _srvr(statistics: Statistics) -> Iterable[str]:
    nodes, _, _ = statistics.keeper.tree_size
    yield f"Zookeeper version: {VERSION}"
    yield "Latency min/avg/max: 0/0/0"
    yield f"Received: {statistics.received}"
    yield f"Sent: {statistics.sent}"
    yield f"Connections: {len(statistics.connections)}"
    yield "Outstanding: 0"
    yield f"Zxid: {statistics.keeper.machine.zxid:#x}"
    yield "Mode: standalone"
    yield f"Node count: {nodes}"


def _stat(statistics: Statistics) -> Iterable[str]:
    head, *rest = _srvr(statistics)
    yield head
    yield "Clients:"
    yield from _cons(statistics)
    yield ""
    yield from rest


def _cons(statistics: Statistics) -> Iterable[str]:
    for entry in statistics.connections:
        connection = entry.connection
        if connection is not None:
            sid = f",sid={connection.session_id:#x}" if connection.has_session else ""
            counts = f"queued={entry.unsent_bytes},recved={connection.received},sent={connection.sent}"
            yield f" /{entry.peer}[1]({counts}{sid})"


def _mntr(statistics: Statistics) -> Iterable[str]:
    keeper = statistics.keeper
    nodes, ephemerals, size = keeper.tree_size
    figures = {
        "version": VERSION,
        "server_state": "standalone",
        "packets_received": statistics.received,
        "packets_sent": statistics.sent,
        "num_alive_connections": len(statistics.connections),
        "outstanding_requests": 0,
        "znode_count": nodes,
        "watch_count": keeper.watches.totals()[2],
        "ephemerals_count": ephemerals,
        "approximate_data_size": size,
        "global_sessions": len(keeper.machine.sessions),
        "open_file_descriptor_count": len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else -1,
    }
    for name, value in figures.items():
        yield f"zk_{name}\t{value}"


def _conf(statistics: Statistics) -> Iterable[str]:
    settings = statistics.keeper.settings
    yield f"dataDir={statistics.keeper.directory}"
    yield f"tickTime={settings.tick_ms}"
    yield f"maxClientCnxns={settings.max_connections_per_ip}"
    yield f"minSessionTimeout={settings.least_timeout_ms}"
    yield f"maxSessionTimeout={settings.most_timeout_ms}"
    yield "serverId=0"


def _envi(_: Statistics) -> Iterable[str]:
    yield "Environment:"
    yield f"zookeeper.version={VERSION}"
    yield f"host.name={platform.node()}"
    yield f"os.name={platform.system()}"
    yield f"os.arch={platform.machine()}"
    yield f"os.version={platform.release()}"
    yield f"python.version={platform.python_version()}"


def _wchs(statistics: Statistics) -> Iterable[str]:
    connections, paths, watches = statistics.keeper.watches.totals()
    yield f"{connections} connections watching {paths} paths"
    yield f"Total watches:{watches}"


def _dump(statistics: Statistics) -> Iterable[str]:
    machine = statistics.keeper.machine
    yield "SessionTracker dump:"
    yield f"Global Sessions({len(machine.sessions)}):"
    for session in machine.sessions.values():
        yield f"{session.id:#x}\t{session.timeout_ms}ms"
    yield "ephemeral nodes dump:"
    yield f"Sessions with Ephemerals ({len(machine.tree.ephemerals)}):"
    for session_id, paths in machine.tree.ephemerals.items():
        yield f"{session_id:#x}:"
        for path in paths:
            yield f"\t{path}"


WORDS: Final[dict[bytes, Callable[[Statistics], str | Iterable[str]]]] = {
    b"ruok": _ruok,
    b"isro": _isro,
    b"srvr": _srvr,
    b"stat": _stat,
    b"cons": _cons,
    b"mntr": _mntr,
    b"conf": _conf,
    b"envi": _envi,
    b"wchs": _wchs,
    b"dump": _dump,
}
