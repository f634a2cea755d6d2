"""One node of the tree, and who it goes with."""

from __future__ import annotations

from typing import Final

from fastlog.coordination.zookeeper.structures import Acl, Stat

CONTAINER: Final = -(2**63)
"""The owner of a container: it goes once its last child has gone (`EphemeralType.CONTAINER`)."""

_TTL_MARK: Final = -(1 << 56)
MAX_TTL_MS: Final = (1 << 40) - 1


def ttl_owner(ttl_ms: int) -> int:
    """The owner of a node with a time to live (`EphemeralType.TTL`)."""
    return _TTL_MARK | ttl_ms


def ttl_of(owner: int) -> int | None:
    """The time to live that an owner stands for; None when it is another kind of owner."""
    return owner & MAX_TTL_MS if owner < 0 and owner != CONTAINER else None


class Node:
    """Data, access rules and counters. Changed by `Tree` alone.

    `creates` counts the children ever made: sequential names are numbered by it.
    """

    __slots__ = (
        "acls",
        "aversion",
        "children",
        "creates",
        "ctime",
        "czxid",
        "data",
        "mtime",
        "mzxid",
        "owner",
        "pzxid",
        "version",
    )

    def __init__(
        self, data: bytes | None, acls: tuple[Acl, ...], owner: int, zxid: int, time_ms: int
    ) -> None:
        self.data = data
        self.acls = acls
        self.owner = owner
        self.czxid = self.mzxid = self.pzxid = zxid
        self.ctime = self.mtime = time_ms
        self.version = self.aversion = self.creates = 0
        # Most nodes are leaves: they do without a table.
        self.children: dict[str, None] | None = None

    @property
    def is_ephemeral(self) -> bool:
        """Whether it goes with a session."""
        return self.owner > 0

    @property
    def child_count(self) -> int:
        """Children that it has now."""
        return 0 if self.children is None else len(self.children)

    def stat(self) -> Stat:
        """The counters as clients see them. Removed children count in `cversion` too, as in ZooKeeper.

        Only sessions show as owners.
        """
        return Stat(
            self.czxid,
            self.mzxid,
            self.ctime,
            self.mtime,
            self.version,
            2 * self.creates - self.child_count,
            self.aversion,
            max(self.owner, 0),
            0 if self.data is None else len(self.data),
            self.child_count,
            self.pzxid,
        )
