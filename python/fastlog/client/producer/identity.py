"""The producer id of an idempotent producer: when it is asked for, and when it must be replaced.

Sequence numbers must have no gaps. A batch that failed for good leaves one, and a broker that has lost the
producer's state sees one. Then nothing new is sent until the fate of every batch with the old identity is
known (written, or refused for sure); after that the producer takes a new id and counts from 0. So no record
is written twice and later records are not refused.
"""

from __future__ import annotations

from fastlog.client.cluster import Cluster
from fastlog.client.deadline import Deadline
from fastlog.client.errors import BrokerError, ClientError, VersionMismatch
from fastlog.client.metadata import TopicPartition
from fastlog.client.producer.batches import Identity
from fastlog.errors import ErrorCode
from fastlog.wire import ApiKey
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse


class ProducerIdentity:
    """The current identity, if it may be used."""

    renews = True

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._identity: Identity | None = None
        self._stale = False

    @property
    def usable(self) -> Identity | None:
        """What new batches are sent with; None when an identity must be had first."""
        return None if self._stale else self._identity

    @property
    def is_stale(self) -> bool:
        """Whether batches with the old identity must be settled before there is a new one."""
        return self._stale

    def retire(self, error: ClientError | None) -> None:
        """The sequence has a gap: this identity takes no new batches."""
        self._stale = True

    @property
    def produce_versions(self) -> tuple[int, int | None]:
        """From the first with today's record batches on."""
        return 3, None

    def admits(self, name: TopicPartition) -> bool:
        """Any partition may be sent to at any time."""
        return True

    async def renew(self, timeout_ms: int) -> None:
        """Gets a new producer id. Raises ClientError when that fails within `timeout_ms`."""
        deadline = Deadline.after(timeout_ms / 1000)
        body = InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=timeout_ms)
        while True:
            try:
                answer = await self._cluster.request(
                    body, InitProducerIdResponse, timeout_ms=int(deadline.remaining * 1000)
                )
            except VersionMismatch as error:
                text = f"{error.message}; turn idempotence off (enable_idempotence=False)"
                raise VersionMismatch(text, api=ApiKey.INIT_PRODUCER_ID, broker=error.broker) from error
            if answer.error_code == ErrorCode.NONE:
                self._identity = Identity(answer.producer_id, answer.producer_epoch)
                self._stale = False
                return
            code = ErrorCode.of(answer.error_code)
            if not code.retriable or not await deadline.pause():
                raise BrokerError(code, api=ApiKey.INIT_PRODUCER_ID, answer=answer)
