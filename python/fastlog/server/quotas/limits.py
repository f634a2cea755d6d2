"""Which limit is whose: quotas of users, clients, and of both, in Kafka's order.

| goes before what is below it | node | whoever it is of shares |
|-|-|-|
| this user, this client | /config/users/U/clients/C | by user and client |
| this user, any client | /config/users/U/clients/<default> | by user and client |
| this user | /config/users/U | by user |
| any user, this client | /config/users/<default>/clients/C | by user and client |
| any user, any client | /config/users/<default>/clients/<default> | by user and client |
| any user | /config/users/<default> | by user |
| this client | /config/clients/C | by client |
| any client | /config/clients/<default> | by client |

A default gives each the same limit, not one that all of them share. The first row that has a limit of the
kind that is asked for decides; for another kind it may be another row (`ClientQuotaManager`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple, TypeAlias

__all__ = ["Found", "Kind", "Level", "Limits"]


class Kind(Enum):
    """What is limited. The value is the key of the quota."""

    PRODUCE = "producer_byte_rate"
    """Bytes of produce requests a second."""
    FETCH = "consumer_byte_rate"
    """Bytes of fetch answers a second."""
    REQUEST = "request_percentage"
    """Percent of the time of one thread."""
    MUTATION = "controller_mutation_rate"
    """Partitions created and deleted a second."""


Name: TypeAlias = str | None
"""Of a user or a client; None stands for all who have none of their own."""
_NOBODY: Final = object()
"""What a level does not tell apart."""
Level = tuple[object, object]
"""(user, client) of a node: a name, None for the default, or that there is no such part."""


class Found(NamedTuple):
    """A limit, and who shares it: what the level does not tell apart is an empty name."""

    limit: float
    user: str
    client: str


class Limits:
    """All limits of users and clients. Looking one up takes a look at each level that is in use."""

    def __init__(self) -> None:
        self._by_kind: dict[Kind, dict[Level, float]] = {kind: {} for kind in Kind}

    def has(self, kind: Kind) -> bool:
        """Whether anybody has a limit of that kind."""
        return bool(self._by_kind[kind])

    def put(self, user: Name | bool, client: Name | bool, values: Mapping[str, float]) -> None:
        """The limits of one node are these from now on, and no others.

        A name, None for the default, False where the node is not about users, or not about clients.
        """
        level = (_NOBODY if user is False else user, _NOBODY if client is False else client)
        for kind, limits in self._by_kind.items():
            if kind.value in values:
                limits[level] = values[kind.value]
            else:
                limits.pop(level, None)

    def find(self, kind: Kind, user: str, client: str) -> Found | None:
        """The limit for this user and client; None when there is none."""
        limits = self._by_kind[kind]
        if not limits:
            return None
        for level, tells_user, tells_client in (
            ((user, client), True, True),
            ((user, None), True, True),
            ((user, _NOBODY), True, False),
            ((None, client), True, True),
            ((None, None), True, True),
            ((None, _NOBODY), True, False),
            ((_NOBODY, client), False, True),
            ((_NOBODY, None), False, True),
        ):
            limit = limits.get(level)
            if limit is not None:
                return Found(limit, user if tells_user else "", client if tells_client else "")
        return None
