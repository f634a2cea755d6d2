"""Who coordinates a group or a transaction: asked once (FindCoordinator), remembered until it is wrong."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Final

from fastlog.client.deadline import Deadline
from fastlog.client.errors import BadResponse, BrokerError, ConnectionFailed, RequestTimedOut
from fastlog.client.metadata import BrokerNode
from fastlog.errors import ErrorCode
from fastlog.net.link import Link
from fastlog.wire import ApiKey
from fastlog.wire.messages.find_coordinator import (
    Coordinator,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
)

GROUP: Final = 0
"""Key type of FindCoordinator for a consumer group."""
TRANSACTION: Final = 1
"""Key type of FindCoordinator for a transactional id."""

_BATCHED: Final = 4
"""First version that takes several keys."""


class Coordinators:
    """Coordinators by key type and key. `any_link` gives a link to any broker; seconds for an answer."""

    def __init__(
        self, any_link: Callable[[str, Deadline], Awaitable[Link]], answer_timeout: float = math.inf
    ) -> None:
        self._any_link = any_link
        self._answer_timeout = answer_timeout
        self._known: dict[tuple[int, str], BrokerNode] = {}

    def forget(self, key: str, key_type: int) -> None:
        """The next `find` asks again."""
        self._known.pop((key_type, key), None)

    async def find(self, key: str, key_type: int, deadline: Deadline) -> BrokerNode:
        """The coordinator; waits for one while there is none. Raises BrokerError and ClientError."""
        while True:
            known = self._known.get((key_type, key))
            if known is not None:
                return known
            try:
                answer, broker = await self._ask(key, key_type, deadline)
            except (ConnectionFailed, RequestTimedOut):
                if not await deadline.pause():
                    raise
                continue
            if answer.error_code == ErrorCode.NONE:
                self._known[key_type, key] = BrokerNode(answer.node_id, answer.host, answer.port)
                continue
            code = ErrorCode.of(answer.error_code)
            error = BrokerError(
                code, answer.error_message or None, api=ApiKey.FIND_COORDINATOR, broker=broker
            )
            if not error.retriable or not await deadline.pause():
                raise error

    async def _ask(self, key: str, key_type: int, deadline: Deadline) -> tuple[Coordinator, str]:
        link = await self._any_link("", deadline)
        broker = link.connection.address
        batched = link.versions.supports(ApiKey.FIND_COORDINATOR, _BATCHED)
        request = FindCoordinatorRequest(key_type=key_type)
        if batched:
            request.coordinator_keys = [key]
        else:
            request.key = key
        timeout = min(deadline.remaining, self._answer_timeout)
        answer = await link.call(request, FindCoordinatorResponse, timeout=timeout)
        if batched:
            if len(answer.coordinators) != 1:
                text = f"{len(answer.coordinators)} coordinators came for one key"
                raise BadResponse(text, api=request.API, broker=broker)
            return answer.coordinators[0], broker
        row = Coordinator(
            key, answer.node_id, answer.host, answer.port, answer.error_code, answer.error_message
        )
        return row, broker
