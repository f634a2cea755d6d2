"""`fastlog cluster`: the brokers, what they hold and what they speak."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from fastlog.cli.tool.failure_reports import describe_error
from fastlog.cli.tool.invocation import Session, new_app, verb
from fastlog.cli.tool.output import Column

if TYPE_CHECKING:
    from fastlog.client import ClientError, ClusterMetadata
    from fastlog.client.admin.cluster import BrokerAbilities
    from fastlog.client.admin.log_dirs import LogDir

__all__ = ["app"]

app: Final = new_app("Brokers, features, log directories.")

_BROKERS: Final = (
    Column("id", "broker", "number"),
    Column("host", "host"),
    Column("port", "port", "number"),
    Column("rack", "rack"),
    Column("controller", "controller"),
    Column("api_count", "APIs", "number"),
    Column("leaders", "leaders", "number"),
    Column("replicas", "replicas", "number"),
)
_DIRECTORIES: Final = (
    Column("id", "broker", "number"),
    Column("path", "log directory"),
    Column("partitions", "partitions", "number"),
    Column("size_bytes", "size", "size"),
    Column("usable_bytes", "free", "size"),
    Column("total_bytes", "of", "size"),
    Column("problem", "problem"),
)
_FEATURES: Final = (
    Column("name", "feature"),
    Column("in_force", "in force", "number"),
    Column("lowest", "lowest", "number"),
    Column("highest", "highest", "number"),
)


@verb(app, "describe")
async def describe(session: Session) -> None:
    """Shows brokers, log directories and features."""
    from fastlog.client.admin.cluster import broker_abilities
    from fastlog.client.admin.log_dirs import describe_log_dirs
    from fastlog.verbs.health import count_under_min_isr, is_under_replicated, moves_under_way

    async with session.connect() as cluster:
        metadata = await cluster.metadata()
        partitions = [item for topic in metadata.topics.values() for item in topic.partitions]
        abilities, directories, moves, under_min_isr = await asyncio.gather(
            broker_abilities(cluster, metadata.brokers),
            describe_log_dirs(cluster, metadata.brokers),
            moves_under_way(cluster),
            count_under_min_isr(cluster, partitions),
        )
    brokers = [_broker(session, metadata, node, abilities[node], directories[node]) for node in abilities]
    brokers.sort(key=lambda row: row["id"])
    document: dict[str, Any] = {
        "cluster_id": metadata.cluster_id,
        "controller": None if metadata.controller_id < 0 else metadata.controller_id,
        "brokers": brokers,
        "topics": sum(not topic.is_internal for topic in metadata.topics.values()),
        "internal_topics": sum(topic.is_internal for topic in metadata.topics.values()),
        "partitions": len(partitions),
        "under_replicated_partitions": sum(is_under_replicated(item, moves) for item in partitions),
        "under_min_isr_partitions": under_min_isr,
        "unavailable_partitions": sum(item.leader < 0 for item in partitions),
        "offline_replicas": sum(len(item.offline_replicas) for item in partitions),
        "reassigning_partitions": None if moves is None else len(moves),
    }
    session.out.document(document)
    session.out.fields(
        [
            ("cluster", document["cluster_id"]),
            ("controller", "none" if document["controller"] is None else document["controller"]),
            ("topics", f"{document['topics']} and {document['internal_topics']} internal"),
            ("partitions", document["partitions"]),
            ("under-replicated", document["under_replicated_partitions"]),
            ("under min.insync", document["under_min_isr_partitions"]),
            ("unavailable", document["unavailable_partitions"]),
            ("offline replicas", document["offline_replicas"]),
            ("reassigning", document["reassigning_partitions"]),
        ]
    )
    session.out.table(_BROKERS, [row | {"api_count": len(row["api_versions"])} for row in brokers])
    session.out.table(
        _DIRECTORIES,
        [
            place | {"id": row["id"], "problem": (place["error"] or {}).get("message")}
            for row in brokers
            for place in row["log_dirs"]
        ],
    )
    features = {item["name"]: item for row in brokers for item in row["features"]}
    if features:
        session.out.table(_FEATURES, [features[name] for name in sorted(features)])


def _broker(
    session: Session,
    metadata: ClusterMetadata,
    node: int,
    abilities: BrokerAbilities | ClientError,
    directories: tuple[LogDir, ...] | ClientError,
) -> dict[str, Any]:
    from fastlog.client import ClientError

    for error in (abilities, directories):
        if isinstance(error, ClientError):
            session.item_failed(f"broker {node}", error)
    known = None if isinstance(abilities, ClientError) else abilities
    partitions = [item for topic in metadata.topics.values() for item in topic.partitions]
    broker = metadata.brokers[node]
    return {
        "id": node,
        "host": broker.host,
        "port": broker.port,
        "rack": broker.rack,
        "controller": node == metadata.controller_id,
        "leaders": sum(item.leader == node for item in partitions),
        "replicas": sum(node in item.replicas for item in partitions),
        "log_dirs": []
        if isinstance(directories, ClientError)
        else [_directory(place) for place in directories],
        "features": []
        if known is None
        else [
            {
                "name": item.name,
                "in_force": item.in_force,
                "lowest": item.lowest,
                "highest": item.highest,
            }
            for item in known.features
        ],
        "api_versions": {} if known is None else _api_versions(known),
    }


def _directory(place: LogDir) -> dict[str, Any]:
    return {
        "path": place.path,
        "partitions": len(place.replicas),
        "size_bytes": place.size_bytes,
        "usable_bytes": place.usable_bytes,
        "total_bytes": place.total_bytes,
        "error": None if place.error is None else describe_error(place.error),
    }


def _api_versions(abilities: BrokerAbilities) -> dict[str, list[int]]:
    from fastlog.wire import APIS, ApiKey

    names = {int(key): APIS[key].name for key in ApiKey if key in APIS}
    return {
        names.get(key, str(key)): [lowest, highest]
        for key, (lowest, highest) in sorted(abilities.apis.items())
    }
