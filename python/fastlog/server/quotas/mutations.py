"""The quota of one request that makes or deletes partitions (KIP-599).

| | old versions | CreateTopics 6, DeleteTopics 5, CreatePartitions 3 |
|-|-|-|
| nothing is left | it is done, and the client waits | THROTTLING_QUOTA_EXCEEDED, and the client waits |
| less is left than it needs | it is done, and the client waits | it is done |
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fastlog.errors import ErrorCode, KafkaError
from fastlog.server.quotas.limits import Kind
from fastlog.server.quotas.rates import LONGEST_MS

if TYPE_CHECKING:
    from fastlog.server.quotas.client_quotas import ClientQuotas
    from fastlog.server.requests.context import RequestContext

__all__ = ["MutationQuota", "mutation_quota"]

_EXCEEDED = "The throttling quota has been exceeded."


class MutationQuota:
    """Of one request; `take` before each of its topics."""

    def __init__(self, quotas: ClientQuotas, user: str, client: str, *, strict: bool) -> None:
        self._quotas = quotas
        self._user = user
        self._client = client
        self._strict = strict
        self._wait_ms = 0
        self._since_ms = 0
        self.is_limited: bool = quotas.bucket(user, client) is not None
        """Whether there is a limit at all."""

    def take(self, partitions: int) -> None:
        """Raises KafkaError(THROTTLING_QUOTA_EXCEEDED) where that is told."""
        found = self._quotas.bucket(self._user, self._client)
        if found is None:
            return
        bucket, limit = found
        now_ms, windows = self._quotas.now_ms(), self._quotas.mutation_windows
        if self._strict:
            left = bucket.left(now_ms, limit, windows)
            if left < 0:
                self._wait(left, limit, now_ms)
                raise KafkaError(ErrorCode.THROTTLING_QUOTA_EXCEEDED, _EXCEEDED)
            bucket.take(partitions, now_ms, limit, windows)
            return
        left = bucket.take(partitions, now_ms, limit, windows)
        if left < 0:
            self._wait(left, limit, now_ms)

    def throttle_ms(self) -> int:
        """How long the client is to wait from now on."""
        return max(0, self._wait_ms - (self._quotas.now_ms() - self._since_ms))

    def told(self) -> int:
        """The same, in the answer."""
        wait = self.throttle_ms()
        if wait:
            self._quotas.count(Kind.MUTATION, wait)
        return wait

    def _wait(self, left: float, limit: float, now_ms: int) -> None:
        # A limit of 0 is never met: whoever has it asks again after a while.
        whole = int(self._quotas.mutation_windows.seconds * 1000)
        wait = whole if limit <= 0 else min(math.floor(-left / limit * 1000 + 0.5), LONGEST_MS)
        self._wait_ms, self._since_ms = wait, now_ms


def mutation_quota(ctx: RequestContext, strict_from: int) -> MutationQuota:
    """That of a request, which is told from version `strict_from` on when there is nothing left."""
    user = ctx.session.principal.removeprefix("User:")
    return MutationQuota(
        ctx.broker.quotas.clients,
        user,
        ctx.header.client_id or "",
        strict=ctx.header.api_version >= strict_from,
    )
