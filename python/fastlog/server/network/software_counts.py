"""How many connections each client software has, by the name that it gives itself (KIP-511)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from fastlog.server.network.session import Session

MAX_KINDS: Final = 100
"""Clients choose the names: most that are told apart at a time, as in Kafka."""
_MAX_NAME: Final = 64
_OTHER: Final = "other"


class Software(NamedTuple):
    """One kind of connection."""

    listener: str
    name: str
    version: str


class SoftwareCounts:
    """Open connections by listener, software and version; those that have not said theirs are left out."""

    def __init__(self) -> None:
        self._open: dict[Software, int] = {}
        self._counted: dict[Session, Software] = {}

    def __iter__(self) -> Iterator[tuple[Software, int]]:
        return iter(sorted(self._open.items()))

    def introduced(self, session: Session) -> None:
        """The peer has said what it is; perhaps not for the first time."""
        self.left(session)
        kind = Software(session.listener.name, session.software_name or "", session.software_version or "")
        is_long = max(len(kind.name), len(kind.version)) > _MAX_NAME
        if is_long or (kind not in self._open and len(self._open) >= MAX_KINDS):
            kind = Software(session.listener.name, _OTHER, "")
        self._open[kind] = self._open.get(kind, 0) + 1
        self._counted[session] = kind

    def left(self, session: Session) -> None:
        """The connection is gone."""
        kind = self._counted.pop(session, None)
        if kind is None:
            return
        self._open[kind] -= 1
        if not self._open[kind]:
            del self._open[kind]
