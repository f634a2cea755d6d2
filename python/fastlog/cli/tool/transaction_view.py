"""What `fastlog transaction list`, `describe` and `find-hanging` gather and show."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from fastlog.cli.tool.chosen_partitions import ChosenPartitions, choose_partitions
from fastlog.cli.tool.invocation import Session
from fastlog.cli.tool.output import Column, Printer
from fastlog.cli.tool.values import parse_topics
from fastlog.client import ClientError, Cluster
from fastlog.client.admin.hanging_transactions import OpenTransaction, find_hanging
from fastlog.client.admin.transactions import (
    ProducerState,
    TransactionDescription,
    TransactionListing,
    describe_producers,
    describe_transactions,
)

__all__ = ["describe_ids", "describe_partitions", "look_for_hanging", "producer_row", "show_listing"]

_LISTING: Final = (
    Column("transactional_id", "transactional id"),
    Column("coordinator", "coordinator", "number"),
    Column("producer_id", "producer", "number"),
    Column("state", "state"),
)
_DESCRIPTION: Final = (
    Column("transactional_id", "transactional id"),
    Column("state", "state"),
    Column("coordinator", "coordinator", "number"),
    Column("producer_id", "producer", "number"),
    Column("producer_epoch", "epoch", "number"),
    Column("timeout_ms", "timeout ms", "number"),
    Column("start", "begun"),
    Column("duration", "for", "number"),
    Column("names", "partitions"),
)
_PRODUCERS: Final = (
    Column("topic", "topic"),
    Column("partition", "partition", "number"),
    Column("producer_id", "producer", "number"),
    Column("producer_epoch", "epoch", "number"),
    Column("coordinator_epoch", "coordinator epoch", "number"),
    Column("last_sequence", "last sequence", "number"),
    Column("last", "last write"),
    Column("start_offset", "open from", "number"),
)
_HANGING: Final = (
    *_PRODUCERS[:5],
    Column("start_offset", "open from", "number"),
    Column("last", "last write"),
    Column("duration", "ago", "number"),
    Column("transactional_id", "transactional id"),
)


def show_listing(out: Printer, transactions: Sequence[TransactionListing]) -> None:
    """Ids in brief."""
    out.rows(
        _LISTING,
        [
            {
                "transactional_id": row.transactional_id,
                "coordinator": row.coordinator,
                "producer_id": row.producer_id,
                "state": row.state,
            }
            for row in transactions
        ],
    )


async def describe_ids(session: Session, cluster: Cluster, ids: Sequence[str]) -> None:
    """Ids as their coordinators know them; errors of others are told."""
    rows = []
    for name, found in (await describe_transactions(cluster, ids)).items():
        if isinstance(found, ClientError):
            session.item_failed(f"transactional id {name}", found)
        else:
            rows.append(_description(found))
    session.out.document(rows)
    session.out.table(
        _DESCRIPTION,
        [
            {
                **row,
                "start": _moment(row["start_time_ms"]),
                "duration": _duration(row["duration_ms"]),
                "names": [f"{part['topic']}-{part['partition']}" for part in row["partitions"]],
            }
            for row in rows
        ],
    )


def _description(found: TransactionDescription) -> dict[str, Any]:
    duration_ms = None if found.start_ms is None else _now_ms() - found.start_ms
    return {
        "transactional_id": found.transactional_id,
        "state": found.state,
        "coordinator": found.coordinator,
        "producer_id": found.producer_id,
        "producer_epoch": found.producer_epoch,
        "timeout_ms": found.timeout_ms,
        "start_time_ms": found.start_ms,
        "duration_ms": duration_ms,
        "partitions": [{"topic": topic, "partition": number} for topic, number in found.partitions],
    }


async def describe_partitions(
    session: Session, cluster: Cluster, texts: Sequence[str], broker: int | None
) -> None:
    """The producers of partitions."""
    chosen = await _chosen(session, cluster, texts, broker)
    names = [info.name for info in chosen.found]
    producers = await describe_producers(cluster, names, broker=broker) if names else {}
    rows = []
    for name in names:
        states = producers[name]
        if isinstance(states, ClientError):
            session.item_failed(f"partition {name}", states)
        else:
            rows += [
                {"topic": name.topic, "partition": name.partition, **producer_row(one)} for one in states
            ]
    session.out.document(rows)
    session.out.table(_PRODUCERS, [_with_moment(row) for row in rows])


async def look_for_hanging(
    session: Session, cluster: Cluster, texts: Sequence[str], broker: int | None, max_timeout_ms: int
) -> None:
    """Transactions that hang, in topics or in all of them."""
    chosen = await _chosen(session, cluster, texts, broker)
    names = [info.name for info in chosen.found]
    result = await find_hanging(cluster, names, max_timeout_ms=max_timeout_ms, broker=broker)
    for name, error in result.errors.items():
        session.item_failed(f"partition {name}", error)
    rows = [_hanging(one) for one in result.rows]
    session.out.document(rows)
    session.out.table(
        _HANGING, [_with_moment(row) | {"duration": _duration(row["duration_ms"])} for row in rows]
    )
    if not rows and not session.failed:
        session.out.note("no transaction hangs")


async def _chosen(
    session: Session, cluster: Cluster, texts: Sequence[str], broker: int | None
) -> ChosenPartitions:
    """Partitions with these names, of all topics without names; of `broker` only those that it holds."""
    choice = parse_topics(texts, "topic") if texts else None
    metadata = await cluster.metadata(None if choice is None else list(choice))
    chosen = choose_partitions(metadata, choice)
    for item, error in chosen.errors.items():
        session.item_failed(item, error)
    if broker is not None and choice is None:
        chosen.found = [info for info in chosen.found if broker in info.replicas]
    return chosen


def producer_row(state: ProducerState) -> dict[str, Any]:
    """A producer, as the JSON has it."""
    return {
        "producer_id": state.producer_id,
        "producer_epoch": state.producer_epoch,
        "coordinator_epoch": state.coordinator_epoch,
        "last_sequence": state.last_sequence,
        "last_timestamp_ms": state.last_timestamp,
        "start_offset": state.start_offset,
    }


def _hanging(one: OpenTransaction) -> dict[str, Any]:
    return {
        "topic": one.partition.topic,
        "partition": one.partition.partition,
        **producer_row(one.producer),
        "duration_ms": _now_ms() - one.producer.last_timestamp,
        "transactional_id": one.transactional_id,
    }


def _with_moment(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"last": _moment(row["last_timestamp_ms"])}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _moment(ms: int | None) -> str | None:
    """ISO 8601, UTC; what is no time stays a number."""
    if ms is None:
        return None
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return str(ms)


def _duration(ms: int | None) -> str | None:
    """`12 s`, `3 min`, `5 h`."""
    if ms is None:
        return None
    seconds = ms // 1000
    return (
        f"{seconds} s"
        if seconds < 180
        else f"{seconds // 60} min"
        if seconds < 10_800
        else f"{seconds // 3600} h"
    )
