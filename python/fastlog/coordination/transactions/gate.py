"""A leader's way to the coordinator: may these partitions take records of this transaction (KIP-890)?

CONCURRENT_TRANSACTIONS to a partition that is to join has it asked again, as `Patience` says: the transaction
before is being completed. A coordinator in this broker is asked as soon as that is done. Other codes are
passed on.

A guard that is begun before the marker of that transaction is appended ends with it, though the coordinator's
answer is of the next one. The guards are looked at once more therefore, and where one is another the
coordinator is asked anew: an append with the former one would be refused with INVALID_TXN_STATE.

What the codes become for producers is in `producer_code`, for commits of offsets in `commit_code`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, Self, TypeAlias

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


Begin: TypeAlias = Callable[[], "Mapping[TopicPartition, int]"]
"""Begins the verification in the logs, and gives the guards of the partitions that need it. It is called anew
each time that the coordinator is asked: the marker of the transaction before ends what was begun."""


async def ask(
    verifier: Verifier,
    transactional_id: str,
    identity: Identity,
    begin: Begin,
    *,
    adds: bool,
    patience: Patience,
    refusals: Counter[ErrorCode],
) -> Codes:
    """The coordinator's code for each partition. `adds`: those that are not in the transaction join it.
    `refusals` counts partitions that are not in it when all was asked, by their codes.
    """
    if verifier.is_here(transactional_id):
        answer: asyncio.Future[Codes] = asyncio.get_running_loop().create_future()

        def then(codes: Codes) -> None:
            if not answer.done():
                answer.set_result(codes)

        ask_here(
            verifier,
            transactional_id,
            identity,
            begin,
            then,
            adds=adds,
            patience=patience,
            refusals=refusals,
        )
        return await answer
    codes = await _ask_there(verifier, transactional_id, identity, begin, adds=adds, patience=patience)
    refusals.update(code for code in codes.values() if code is not ErrorCode.NONE)
    return codes


async def _ask_there(
    verifier: Verifier,
    transactional_id: str,
    identity: Identity,
    begin: Begin,
    *,
    adds: bool,
    patience: Patience,
) -> Codes:
    now = asyncio.get_running_loop().time
    until = now() + patience.seconds
    guards = begin()
    while guards:
        codes = await verifier.verify(transactional_id, identity, frozenset(guards), adds=adds)
        if not adds:
            return codes
        is_last = now() >= until
        waits = ErrorCode.CONCURRENT_TRANSACTIONS in codes.values()
        if waits and not is_last:
            await asyncio.sleep(patience.every_seconds)
        asked, guards = guards, begin()
        ended = [
            key
            for key, guard in guards.items()
            if asked.get(key) != guard and codes.get(key) is ErrorCode.NONE
        ]
        if not waits and not ended:
            return codes
        if is_last:
            return {**codes, **dict.fromkeys(ended, ErrorCode.CONCURRENT_TRANSACTIONS)}
    # The transaction is open in all of these logs: somebody else has asked.
    return {}


def ask_here(
    verifier: Verifier,
    transactional_id: str,
    identity: Identity,
    begin: Begin,
    then: Callable[[Codes], None],
    *,
    adds: bool,
    patience: Patience,
    refusals: Counter[ErrorCode],
) -> None:
    """The same with a callback, at once or later, where this broker is the coordinator (`is_here`)."""
    until = asyncio.get_running_loop().time() + patience.seconds

    def look() -> None:
        guards = begin()
        if guards:
            verifier.verify_here(transactional_id, identity, frozenset(guards), told, adds=adds)
        else:
            then({})

    def told(codes: Codes) -> None:
        if _comes_again(codes, adds, until):
            verifier.when_settled(transactional_id, patience.every_seconds, lambda: look_again(codes))
            return
        for code in codes.values():
            if code is not ErrorCode.NONE:
                refusals[code] += 1
        then(codes)

    def look_again(codes: Codes) -> None:
        try:
            look()
        except BaseException:
            # Whoever asked must get an answer.
            then(dict.fromkeys(codes, ErrorCode.UNKNOWN_SERVER_ERROR))
            raise

    look()


def _comes_again(codes: Codes, adds: bool, until: float) -> bool:
    return (
        adds
        and ErrorCode.CONCURRENT_TRANSACTIONS in codes.values()
        and asyncio.get_running_loop().time() < until
    )


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
