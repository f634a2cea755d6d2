"""What a fetch may read, where there is an authorizer: asked of each partition that it looks at.

Two are equal as long as they decide the same: when the rules have changed, or another client goes on with a
session, all of its partitions are looked at again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.coordination.access.rules import Operation, Resource
from fastlog.wire import ApiKey

if TYPE_CHECKING:
    from fastlog.server.access.asking import Access, Ask
    from fastlog.server.network.session import Session

__all__ = ["MayRead", "may_read"]


class MayRead:
    """`nothing`: a follower that may not be one. `code` is that of what may not be read."""

    __slots__ = ("_ask", "_operation", "_told", "code", "nothing")

    def __init__(self, ask: Ask, operation: Operation | None, code: int, *, nothing: bool = False) -> None:
        self._ask = ask
        self._operation = operation
        self._told = False
        self.code: Final = code
        self.nothing: Final = nothing

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, MayRead)
            and self._ask.rights is other._ask.rights
            and (self._operation, self.nothing) == (other._operation, other.nothing)
        )

    def __hash__(self) -> int:
        return hash((id(self._ask.rights), self.nothing))

    def reads(self, topic: str) -> bool:
        """Whether it may read a topic; a broker reads all. What it may not is logged for the first look, not
        for each that follows while it waits."""
        if self._operation is None:
            return True
        if self._told:
            return self._ask.rights.may((self._operation, Resource.TOPIC, topic))
        return self._ask.may(self._operation, Resource.TOPIC, topic)

    def tell(self) -> None:
        """The first look is over: writes the log."""
        if not self._told:
            self._told = True
            self._ask.tell()


def may_read(access: Access, session: Session, is_follower: bool) -> MayRead:
    """For one request."""
    from fastlog.server.access.gate import code_of, needs, on_cluster  # loaded for an authorizer alone

    follower, consumer = needs(ApiKey.FETCH, 2)
    ask = access.ask(session, ApiKey.FETCH.title)
    if not is_follower:
        return MayRead(ask, consumer.operation, code_of(consumer))
    if on_cluster(ask, follower):
        ask.tell()
        return MayRead(ask, None, code_of(follower))
    ask.tell()
    return MayRead(ask, None, code_of(follower), nothing=True)
