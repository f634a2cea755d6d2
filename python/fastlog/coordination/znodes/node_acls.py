"""Which access rules nodes get with `zookeeper.set.acl` (`kafka.zk.ZkData.defaultAcls`)."""

from __future__ import annotations

from typing import Final

from fastlog.coordination.zookeeper.codes import Permission
from fastlog.coordination.zookeeper.structures import OPEN, Acl

__all__ = ["OWN_ROOT", "secure_acls"]

_CONSUMERS: Final = "/consumers"
"""Consumers of old wrote there themselves."""
_SENSITIVE: Final = ("/config/users", "/config/brokers", "/delegation_token/tokens")
_OF_BROKERS: Final = Acl(Permission.ALL, "auth", "")
"""Whoever makes the node, as all that it is known as: brokers of a cluster have one identity."""
_READABLE: Final = Acl(Permission.READ, "world", "anyone")
OWN_ROOT: Final = (_OF_BROKERS, Acl(Permission.READ | Permission.CREATE, "world", "anyone"))
"""Of the root where the tree is that of a broker's keeper: others may have nodes of their own below it."""


def secure_acls(path: str) -> tuple[Acl, ...]:
    """The rules of a node that a broker makes, by its path below the chroot."""
    if path == _CONSUMERS:
        return OPEN
    if path.startswith(_SENSITIVE):
        return (_OF_BROKERS,)
    return (_OF_BROKERS, _READABLE)
