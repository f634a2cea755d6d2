"""Requests of clients that come before this broker knows its cluster: they wait.

A member is told by the controller which topics there are, some time after it has registered. Until then it
would say UNKNOWN_TOPIC_OR_PARTITION of all of them, as Kafka's brokers do, and clients act upon it:
librdkafka gives up for good what it has queued for such a topic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.server.requests.among_brokers import OF_CLUSTERS
from fastlog.wire import ApiKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastlog.native import Frame
    from fastlog.server.network.exchange import Exchange

_AT_ONCE: Final = frozenset(
    key.value for key in (*OF_CLUSTERS, ApiKey.API_VERSIONS, ApiKey.SASL_HANDSHAKE, ApiKey.SASL_AUTHENTICATE)
)
"""What controllers send, who tell this broker what it has to know, and what goes before that."""


class EarlyRequests:
    """Holds requests, from the beginning until `release`.

    There are at most as many as connections, whose frames count as memory of requests all the while.
    """

    def __init__(self) -> None:
        self._held: list[tuple[Frame, Exchange]] | None = []

    def hold(self, frame: Frame, exchange: Exchange) -> bool:
        """Whether the request waits for `release`; else it can be taken up now."""
        if self._held is None or exchange.api_key in _AT_ONCE:
            return False
        self._held.append((frame, exchange))
        return True

    def release(self, dispatch: Callable[[Frame, Exchange], None]) -> None:
        """Has all that wait taken up, in their order, and no more wait from now on."""
        held, self._held = self._held or [], None
        for frame, exchange in held:
            if not exchange.is_lost:
                dispatch(frame, exchange)
