"""A leader's way to the coordinator: may these partitions take records of this transaction (KIP-890)?

CONCURRENT_TRANSACTIONS to a partition that is to join has it asked again, as `Patience` says: the transaction
before is being completed. Other codes are passed on.

What the codes become for producers is in `producer_code`, for commits of offsets in `commit_code`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from fastlog.errors import ErrorCode

if TYPE_CHECKING:
    from fastlog.config import BrokerConfig
    from fastlog.coordination.transactions.state import TopicPartition
    from fastlog.coordination.transactions.verdicts import Identity
    from fastlog.coordination.transactions.verification import Codes, Verifier

_FOR_PRODUCERS: Final[Mapping[ErrorCode, ErrorCode]] = MappingProxyType(
    {
        ErrorCode.PRODUCER_FENCED: ErrorCode.INVALID_PRODUCER_EPOCH,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS: ErrorCode.NOT_ENOUGH_REPLICAS,
        ErrorCode.COORDINATOR_NOT_AVAILABLE: ErrorCode.NOT_ENOUGH_REPLICAS,
        ErrorCode.NOT_COORDINATOR: ErrorCode.NOT_ENOUGH_REPLICAS,
        ErrorCode.NETWORK_EXCEPTION: ErrorCode.NOT_ENOUGH_REPLICAS,
        ErrorCode.CLUSTER_AUTHORIZATION_FAILED: ErrorCode.INVALID_TXN_STATE,
    }
)
_FOR_COMMITS: Final[Mapping[ErrorCode, ErrorCode]] = MappingProxyType(
    {
        ErrorCode.PRODUCER_FENCED: ErrorCode.INVALID_PRODUCER_EPOCH,
        ErrorCode.NETWORK_EXCEPTION: ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.NOT_ENOUGH_REPLICAS: ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.REQUEST_TIMED_OUT: ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.NOT_LEADER_OR_FOLLOWER: ErrorCode.NOT_COORDINATOR,
        ErrorCode.KAFKA_STORAGE_ERROR: ErrorCode.NOT_COORDINATOR,
        ErrorCode.CLUSTER_AUTHORIZATION_FAILED: ErrorCode.INVALID_TXN_STATE,
    }
)
_ABORTABLE_PRODUCE_FROM: Final = 11
_ABORTABLE_COMMIT_FROM: Final = 4


class Patience(NamedTuple):
    """How often a coordinator is asked again, and until when from the first time on."""

    every_seconds: float
    """`add.partitions.to.txn.retry.backoff.ms`."""
    seconds: float
    """`add.partitions.to.txn.retry.backoff.max.ms`."""

    @classmethod
    def of(cls, config: BrokerConfig) -> Self:
        """That of a broker."""
        return cls(
            config.add_partitions_to_txn_retry_backoff_ms / 1000,
            config.add_partitions_to_txn_retry_backoff_max_ms / 1000,
        )


async def ask(
    verifier: Verifier,
    transactional_id: str,
    identity: Identity,
    begin: Callable[[], frozenset[TopicPartition]],
    *,
    adds: bool,
    patience: Patience,
    refusals: Counter[ErrorCode],
) -> Codes:
    """The coordinator's code for each partition. `adds`: those that are not in the transaction join it.
    `refusals` counts partitions that are not in it when all was asked, by their codes.

    `begin` begins the verification in the logs, and says which partitions need it. It is called anew each
    time that the coordinator is asked: the marker of the transaction before ends what was begun.
    """
    now = asyncio.get_running_loop().time
    until = now() + patience.seconds
    while True:
        partitions = begin()
        codes: Codes = {}
        if partitions:
            codes = await verifier.verify(transactional_id, identity, partitions, adds=adds)
        if not adds or now() >= until or ErrorCode.CONCURRENT_TRANSACTIONS not in codes.values():
            refusals.update(code for code in codes.values() if code is not ErrorCode.NONE)
            return codes
        await asyncio.sleep(patience.every_seconds)


def producer_code(code: ErrorCode, version: int, *, adds: bool) -> ErrorCode:
    """What a producer is told, in that version of Produce. NOT_ENOUGH_REPLICAS has it try again."""
    if code is ErrorCode.CONCURRENT_TRANSACTIONS:
        return code if adds else ErrorCode.NOT_ENOUGH_REPLICAS
    if code is ErrorCode.TRANSACTION_ABORTABLE and version < _ABORTABLE_PRODUCE_FROM:
        return ErrorCode.INVALID_TXN_STATE
    return _FOR_PRODUCERS.get(code, code)


def commit_code(code: ErrorCode, version: int) -> ErrorCode:
    """What a client is told, in that version of TxnOffsetCommit."""
    if code is ErrorCode.TRANSACTION_ABORTABLE and version < _ABORTABLE_COMMIT_FROM:
        return ErrorCode.INVALID_TXN_STATE
    return _FOR_COMMITS.get(code, code)
