"""What `fastlog transaction abort` does: finds the transaction, asks, and has the leader write a marker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from fastlog.cli.tool.failure_reports import UsageProblem
from fastlog.cli.tool.invocation import Session
from fastlog.cli.tool.outcomes import confirm
from fastlog.cli.tool.values import parse_topics
from fastlog.client import ClientError, Cluster, TopicPartition, VersionMismatch
from fastlog.client.admin.hanging_transactions import coordinated_id
from fastlog.client.admin.transactions import ProducerState, abort_transaction, describe_producers
from fastlog.errors import ErrorCode

__all__ = ["Chosen", "abort_one"]

Identity = tuple[int, int, int]
"""Producer id, its epoch, the coordinator's epoch."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A transaction as the command line names it: by its start offset, or else by its producer."""

    partition: TopicPartition
    start_offset: int | None
    identity: Identity | None

    @classmethod
    def of(
        cls,
        text: str,
        start_offset: int | None,
        producer_id: int | None,
        producer_epoch: int | None,
        coordinator_epoch: int | None,
    ) -> Self:
        """Raises UsageProblem for what names no partition, or several."""
        ((topic, numbers),) = parse_topics([text], "partition").items()
        if len(numbers) != 1:
            raise UsageProblem(f"{text}: must be one partition, such as orders:0")
        identity = None
        if producer_id is not None and producer_epoch is not None and coordinator_epoch is not None:
            # Before the first marker there is none; 0 is the lowest that any coordinator has.
            identity = producer_id, producer_epoch, max(coordinator_epoch, 0)
        return cls(TopicPartition(topic, numbers[0]), start_offset, identity)


async def abort_one(session: Session, cluster: Cluster, chosen: Chosen, *, force: bool, yes: bool) -> None:
    """Raises UsageProblem where nothing may be done, ClientError where it fails."""
    partition = chosen.partition
    identity = chosen.identity or await _found(cluster, partition, chosen.start_offset)
    producer_id, producer_epoch, coordinator_epoch = identity
    what = f"the transaction of producer {producer_id} in {partition}"
    if not force:
        await _check_hangs(cluster, partition, producer_id, what)
    if not yes:
        confirm(f"abort {what}? Its records are lost to who reads what is committed.")
    await abort_transaction(cluster, partition, *identity)
    session.out.document(
        {
            "topic": partition.topic,
            "partition": partition.partition,
            "producer_id": producer_id,
            "producer_epoch": producer_epoch,
            "coordinator_epoch": coordinator_epoch,
            "start_offset": chosen.start_offset,
            "status": "aborted",
        }
    )
    session.out.line(f"aborted {what}")


async def _found(cluster: Cluster, partition: TopicPartition, start_offset: int | None) -> Identity:
    states = (await describe_producers(cluster, [partition]))[partition]
    if isinstance(states, ClientError):
        raise states
    for state in states:
        if state.start_offset == start_offset:
            return _identity(state)
    begun = [str(state.start_offset) for state in states if state.start_offset is not None]
    hint = f"open ones begin at {', '.join(begun[:10])}" if begun else "none is open there"
    raise ClientError(
        ErrorCode.INVALID_TXN_STATE, f"no transaction of {partition} begins at offset {start_offset}: {hint}"
    )


def _identity(state: ProducerState) -> Identity:
    return state.producer_id, state.producer_epoch, state.coordinator_epoch or 0


async def _check_hangs(cluster: Cluster, partition: TopicPartition, producer_id: int, what: str) -> None:
    try:
        name = await coordinated_id(cluster, partition, producer_id)
    except VersionMismatch:
        raise UsageProblem(
            "these brokers do not tell which transactions their coordinators know; "
            "--force aborts it all the same"
        ) from None
    if name is not None:
        raise UsageProblem(
            f"{what} does not hang: the coordinator of {name} is going to end it; "
            "--force aborts it in this partition all the same"
        )
