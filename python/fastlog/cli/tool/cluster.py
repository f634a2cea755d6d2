"""`fastlog cluster`: the brokers, what they hold and what they speak."""

from __future__ import annotations

from typing import Final

from fastlog.cli.tool.invocation import Session, new_app, verb
from fastlog.cli.tool.output import Column

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
    """Shows brokers, log directories, features, and what needs a look."""
    from fastlog.client import ClientError
    from fastlog.errors import ErrorCode
    from fastlog.verbs.cluster import describe_cluster
    from fastlog.verbs.desk import Desk
    from fastlog.verbs.plain import plain

    connection = session.connection(session.client_id)
    async with await Desk.open(connection) as desk:
        found = await describe_cluster(desk, api_versions=True)
    for broker in found.brokers:
        for problem in broker.errors:
            error = ClientError(ErrorCode[problem.code], problem.message)
            session.item_failed(f"broker {broker.id}", error)
    document = plain(found)
    brokers = document["brokers"]
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
    for row in document["findings"]:
        session.out.line(f"{row['severity']}: {row['subject']}: {row['problem']}; {row['advice']}")
    features = {item["name"]: item for row in brokers for item in row["features"]}
    if features:
        session.out.table(_FEATURES, [features[name] for name in sorted(features)])
