"""The cluster as a whole: brokers, disks, features, and what in it needs a look."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from fastlog.client.admin.cluster import BrokerAbilities, broker_abilities
from fastlog.client.admin.log_dirs import LogDir, describe_log_dirs
from fastlog.client.errors import ClientError
from fastlog.client.metadata import ClusterMetadata, PartitionInfo
from fastlog.verbs.desk import Desk
from fastlog.verbs.health import Moves, count_under_min_isr, is_under_replicated, moves_under_way
from fastlog.verbs.problems import Problem, problem_of
from fastlog.verbs.registry import verb
from fastlog.wire import APIS, ApiKey

__all__ = ["BrokerRow", "ClusterDescription", "DirectoryRow", "FeatureRow", "Finding", "describe_cluster"]

_MOST_NAMED: Final = 20
_NEARLY_FULL: Final = 0.10
_OF_ONE_DISK: Final = 0.05

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class DirectoryRow:
    """A log directory; sizes of its volume are None before Kafka 3.3."""

    path: str
    partitions: int
    size_bytes: int
    usable_bytes: int | None
    total_bytes: int | None
    error: Problem | None


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """A feature and its levels (KIP-584)."""

    name: str
    in_force: int | None
    lowest: int
    highest: int


@dataclass(frozen=True, slots=True)
class BrokerRow:
    """A live broker. `errors` is what it would not tell."""

    id: int
    host: str
    port: int
    rack: str | None
    controller: bool
    leaders: int
    replicas: int
    log_dirs: list[DirectoryRow]
    features: list[FeatureRow]
    api_versions: dict[str, list[int]]
    errors: list[Problem]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that needs a look, as `fastlog doctor` tells of directories: what, where, and what to do."""

    severity: Severity
    subject: str
    problem: str
    advice: str


@dataclass(frozen=True, slots=True)
class ClusterDescription:
    """Counts are None where the cluster does not tell."""

    cluster_id: str | None
    controller: int | None
    brokers: list[BrokerRow]
    topics: int
    internal_topics: int
    partitions: int
    under_replicated_partitions: int
    under_min_isr_partitions: int | None
    unavailable_partitions: int
    offline_replicas: int
    reassigning_partitions: int | None
    findings: list[Finding]


@verb("read")
async def describe_cluster(
    desk: Desk,
    *,
    api_versions: Annotated[bool, "What each broker speaks, too."] = False,
) -> ClusterDescription:
    """Shows brokers, disks, counts of partitions, and findings: what is wrong and what to do."""
    cluster = desk.cluster
    metadata = await desk.metadata(fresh=True)
    partitions = [item for topic in metadata.topics.values() for item in topic.partitions]
    abilities, directories, moves, under_min_isr = await asyncio.gather(
        broker_abilities(cluster, metadata.brokers),
        describe_log_dirs(cluster, metadata.brokers),
        moves_under_way(cluster),
        count_under_min_isr(cluster, partitions),
    )
    leaders = Counter(item.leader for item in partitions)
    replicas = Counter(node for item in partitions for node in item.replicas)
    brokers = [
        BrokerRow(
            id=node,
            host=broker.host,
            port=broker.port,
            rack=broker.rack,
            controller=node == metadata.controller_id,
            leaders=leaders[node],
            replicas=replicas[node],
            log_dirs=_directories(directories[node]),
            features=_features(abilities[node]),
            api_versions=_api_versions(abilities[node]) if api_versions else {},
            errors=[
                problem_of(error)
                for error in (abilities[node], directories[node])
                if isinstance(error, ClientError)
            ],
        )
        for node, broker in sorted(metadata.brokers.items())
    ]
    return ClusterDescription(
        cluster_id=metadata.cluster_id,
        controller=None if metadata.controller_id < 0 else metadata.controller_id,
        brokers=brokers,
        topics=sum(not topic.is_internal for topic in metadata.topics.values()),
        internal_topics=sum(topic.is_internal for topic in metadata.topics.values()),
        partitions=len(partitions),
        under_replicated_partitions=sum(is_under_replicated(item, moves) for item in partitions),
        under_min_isr_partitions=under_min_isr,
        unavailable_partitions=sum(item.leader < 0 for item in partitions),
        offline_replicas=sum(len(item.offline_replicas) for item in partitions),
        reassigning_partitions=None if moves is None else len(moves),
        findings=list(find(metadata, partitions, brokers, moves, under_min_isr)),
    )


def _directories(found: tuple[LogDir, ...] | ClientError) -> list[DirectoryRow]:
    if isinstance(found, ClientError):
        return []
    return [
        DirectoryRow(
            path=place.path,
            partitions=len(place.replicas),
            size_bytes=place.size_bytes,
            usable_bytes=place.usable_bytes,
            total_bytes=place.total_bytes,
            error=None if place.error is None else problem_of(place.error),
        )
        for place in found
    ]


def _features(found: BrokerAbilities | ClientError) -> list[FeatureRow]:
    if isinstance(found, ClientError):
        return []
    return [FeatureRow(row.name, row.in_force, row.lowest, row.highest) for row in found.features]


def _api_versions(found: BrokerAbilities | ClientError) -> dict[str, list[int]]:
    if isinstance(found, ClientError):
        return {}
    names = {int(key): APIS[key].name for key in ApiKey if key in APIS}
    return {
        names.get(key, str(key)): [lowest, highest] for key, (lowest, highest) in sorted(found.apis.items())
    }


def find(
    metadata: ClusterMetadata,
    partitions: Sequence[PartitionInfo],
    brokers: Sequence[BrokerRow],
    moves: Moves | None,
    under_min_isr: int | None,
) -> Iterator[Finding]:
    """What needs a look, the worst first."""
    down = [item for item in partitions if item.leader < 0]
    if down:
        yield Finding(
            "error",
            _names(down),
            "no leader: nothing can be read or written there",
            "start the brokers that hold them; if they are lost for good, elect uncleanly and lose records",
        )
    if under_min_isr:
        yield Finding(
            "error",
            f"{under_min_isr} partitions",
            "fewer replicas in sync than min.insync.replicas: acks=all is refused",
            "start the brokers that are missing, or look why they do not catch up",
        )
    if metadata.controller_id < 0:
        yield Finding("error", "cluster", "there is no controller", "look at the brokers' logs")
    for broker in brokers:
        yield from _of_disks(broker)
        for error in broker.errors:
            yield Finding("warning", f"broker {broker.id}", error.message, "look at the broker's log")
    known = set(metadata.brokers)
    gone = sorted({node for item in partitions for node in item.replicas if node not in known})
    for node in gone:
        count = sum(node in item.replicas for item in partitions)
        yield Finding(
            "warning",
            f"broker {node}",
            f"is not there, but is to hold {count} replicas",
            "start it, or reassign its partitions",
        )
    lacking = [item for item in partitions if item.leader >= 0 and is_under_replicated(item, moves)]
    if lacking:
        yield Finding(
            "warning",
            _names(lacking),
            "under-replicated: a replica is behind or away",
            "start the brokers that are missing, or look at the load of those that lag",
        )
    yield from _of_single_copies(brokers, metadata)
    if moves:
        yield Finding("note", f"{len(moves)} partitions", "are being moved", "wait, or cancel the moves")
    yield from _of_leaders(partitions, brokers)


def _of_disks(broker: BrokerRow) -> Iterator[Finding]:
    for place in broker.log_dirs:
        where = f"broker {broker.id}, {place.path}"
        if place.error is not None:
            yield Finding("error", where, place.error.message, "replace the disk, then restart the broker")
        elif place.total_bytes and place.usable_bytes is not None:
            share = place.usable_bytes / place.total_bytes
            if share < _NEARLY_FULL:
                yield Finding(
                    "error" if share < _OF_ONE_DISK else "warning",
                    where,
                    f"{share:.0%} of the disk is free",
                    "shorten retention, purge topics, or move replicas away",
                )


def _of_single_copies(brokers: Sequence[BrokerRow], metadata: ClusterMetadata) -> Iterator[Finding]:
    single = [
        topic.name
        for topic in metadata.topics.values()
        if topic.partitions and all(len(item.replicas) == 1 for item in topic.partitions)
    ]
    if len(brokers) > 1 and single:
        yield Finding(
            "note",
            _listed([f"topic {name}" for name in sorted(single)]),
            "has a single copy although there are several brokers",
            "reassign it to more replicas",
        )


def _of_leaders(partitions: Sequence[PartitionInfo], brokers: Sequence[BrokerRow]) -> Iterator[Finding]:
    elsewhere = [
        item for item in partitions if item.leader >= 0 and item.replicas and item.leader != item.replicas[0]
    ]
    if len(brokers) > 1 and elsewhere:
        yield Finding(
            "note", _names(elsewhere), "not led by the preferred replica", "elect preferred leaders"
        )


def _names(partitions: Sequence[PartitionInfo]) -> str:
    return _listed([str(item.name) for item in partitions])


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
