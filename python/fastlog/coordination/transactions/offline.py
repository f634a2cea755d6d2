"""Of each transaction that is open in a log of a broker that does not run: will a coordinator end it?

| fate        | when                                                                                |
|-------------|-------------------------------------------------------------------------------------|
| coordinated | an id has the producer, and the partition in its transaction, open or decided       |
| hanging     | none has, and all ids of the cluster are in these directories                       |
| unknown     | none has, but other brokers may have more ids, or some of those here cannot be read |
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

from fastlog.coordination.coordinator_partition import partition_of
from fastlog.coordination.keeper.journal import KeeperDamaged
from fastlog.coordination.offline import read_offline
from fastlog.coordination.store import ClusterMetadata, MetadataDamaged
from fastlog.coordination.topic_names import TRANSACTION_STATE_TOPIC
from fastlog.coordination.transactions.state import PREPARED, TransactionState
from fastlog.coordination.transactions.stored_ids import StoredId, read_ids
from fastlog.storage.offline.check_directory import DirectoryState
from fastlog.storage.offline.check_partition import PartitionState
from fastlog.storage.offline.findings import Finding, Severity

__all__ = ["Fate", "OpenTransaction", "TransactionsFound", "check_transactions"]

_NAMED: Final = 5
"""How many transactions or ids one finding names."""


class Fate(Enum):
    """What will become of a transaction that is open in a log."""

    COORDINATED = "coordinated"
    HANGING = "hanging"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """A transaction in a log without a marker. `transactional_id`: of the producer, if an id here has it."""

    state: PartitionState
    producer_id: int
    first_offset: int
    fate: Fate
    transactional_id: str | None = None


@dataclass(slots=True)
class TransactionsFound:
    """What the directories of one broker have of transactions."""

    ids: list[StoredId] = field(default_factory=list)
    open: list[OpenTransaction] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def check_transactions(states: Sequence[DirectoryState]) -> TransactionsFound:
    """Looks at the log directories of one broker, taken together. Raises OSError."""
    found = TransactionsFound()
    is_whole = True
    seen: set[int] = set()
    for partition in _partitions(states):
        if partition.topic == TRANSACTION_STATE_TOPIC and partition.partition not in seen:
            seen.add(partition.partition)
            found.ids += read_ids(partition, found.findings)
            is_whole &= partition.sound
    is_whole &= not any(finding.severity is Severity.DAMAGE for finding in found.findings)
    count = _count(states, seen)
    if count is None or not seen >= set(range(count)):
        is_whole, count = False, 0
    _check_ids(found, count)
    by_producer: defaultdict[int, list[StoredId]] = defaultdict(list)
    for stored in found.ids:
        by_producer[stored.entry.producer_id].append(stored)
    for partition in _partitions(states):
        for producer_id, first in partition.open_transactions:
            owners = by_producer.get(producer_id, [])
            found.open.append(_judged(partition, producer_id, first, owners, is_whole=is_whole))
    found.findings += _open_findings(found.open)
    return found


def _partitions(states: Iterable[DirectoryState]) -> Iterator[PartitionState]:
    return (partition for state in states for partition in state.partitions)


def _count(states: Sequence[DirectoryState], seen: set[int]) -> int | None:
    """How many partitions the topic has in a cluster of this broker alone; None when it is not sure that it
    is alone."""
    metadata = _metadata(states)
    if metadata is not None:
        owners = {
            replica
            for topic in metadata.topics.values()
            for partition in topic.partitions
            for replica in partition.replicas
        }
        topic = metadata.topics.get(TRANSACTION_STATE_TOPIC)
        return None if len(owners) > 1 else len(topic.partitions) if topic is not None else len(seen)
    if any(state.identity is not None and state.identity.fastlog for state in states):
        # A member of a cluster: others have partitions, and may be ahead of those here.
        return None
    return max(seen, default=-1) + 1


def _metadata(states: Sequence[DirectoryState]) -> ClusterMetadata | None:
    try:
        return read_offline([state.path for state in states])
    except (MetadataDamaged, KeeperDamaged, ValueError, OSError):
        # Said where the metadata is checked.
        return None


# -- judging --------------------


def _judged(
    partition: PartitionState, producer_id: int, first: int, owners: Sequence[StoredId], *, is_whole: bool
) -> OpenTransaction:
    key = partition.topic, partition.partition
    for owner in owners:
        is_open = owner.entry.state is TransactionState.ONGOING or owner.entry.state in PREPARED
        if is_open and key in owner.entry.partitions:
            return OpenTransaction(partition, producer_id, first, Fate.COORDINATED, owner.transactional_id)
    fate = Fate.HANGING if is_whole else Fate.UNKNOWN
    name = owners[0].transactional_id if owners else None
    return OpenTransaction(partition, producer_id, first, fate, name)


def _check_ids(found: TransactionsFound, count: int) -> None:
    """`count`: partitions of the topic, 0 when that is not known."""
    by_name: defaultdict[str, list[StoredId]] = defaultdict(list)
    by_producer: defaultdict[int, set[str]] = defaultdict(set)
    for stored in found.ids:
        by_name[stored.transactional_id].append(stored)
        by_producer[stored.entry.producer_id].add(stored.transactional_id)
        due = partition_of(stored.transactional_id, count) if count else stored.partition
        if due != stored.partition:
            found.findings.append(
                Finding(
                    Severity.WARNING,
                    stored.path,
                    f"transactional id {stored.transactional_id!r} belongs to partition {due} of {count}",
                    "The number of partitions of __transaction_state must never change. Who has this id gets "
                    "a new producer; its open transaction is aborted by its time-out.",
                )
            )
    for name, several in by_name.items():
        if len(several) > 1:
            places = " and ".join(str(stored.partition) for stored in several)
            found.findings.append(
                Finding(
                    Severity.WARNING,
                    several[-1].path,
                    f"transactional id {name!r} is in partitions {places}",
                    "Only one of them is asked for it: see how many partitions __transaction_state has had.",
                )
            )
    for producer_id, names in sorted(by_producer.items()):
        if len(names) > 1:
            first = min(names)
            found.findings.append(
                Finding(
                    Severity.WARNING,
                    by_name[first][0].path,
                    f"producer {producer_id} has several transactional ids: {_listed(sorted(names))}",
                    "Each of them fences the other. Give one of the producers a new transactional id.",
                )
            )


def _open_findings(transactions: Iterable[OpenTransaction]) -> Iterator[Finding]:
    by_place: defaultdict[tuple[Path, Fate], list[OpenTransaction]] = defaultdict(list)
    for one in transactions:
        by_place[one.state.path, one.fate].append(one)
    for (path, fate), several in by_place.items():
        listed = _listed([f"producer {one.producer_id} from offset {one.first_offset}" for one in several])
        first = min(one.first_offset for one in several)
        if fate is Fate.HANGING:
            yield Finding(
                Severity.WARNING,
                path,
                f"transactions that nobody will end ({listed}): read_committed consumers see nothing from "
                f"offset {first} on",
                "fastlog doctor --end-transactions shows what would be aborted, and with --execute does it.",
            )
        elif fate is Fate.COORDINATED:
            yield Finding(
                Severity.NOTE,
                path,
                f"transactions that are open ({listed})",
                "Nothing needs to be done: their coordinators end them when they run.",
            )
        else:
            yield Finding(
                Severity.NOTE,
                path,
                f"transactions that are open ({listed}), and whose coordinators are not in these directories",
                "Nothing needs to be done where these run. fastlog transaction find-hanging asks them.",
            )


def _listed(items: Sequence[str]) -> str:
    more = f" and {len(items) - _NAMED} more" if len(items) > _NAMED else ""
    return ", ".join(items[:_NAMED]) + more
