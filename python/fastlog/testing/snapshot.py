"""Topics of another cluster in a file, to begin tests with: taken with Kafka's Fetch, of whatever broker.

    from fastlog.testing import take_snapshot
    take_snapshot("kafka.example:9092", ["orders"], "tests/orders.snapshot")

The first line has topics with their partitions and settings, the others are records as `fastlog consume` has
them. Keys, values, headers, times and partitions come back as they were, in their order; offsets begin at 0
without gaps, since what was compacted, aborted or deleted is not taken.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from fastlog.testing import background
from fastlog.testing.seeds import SeedRecord, records_of
from fastlog.testing.topic import KafkaTopic, make_topic, write

if TYPE_CHECKING:
    from fastlog.native import Record

__all__ = ["restore", "take_snapshot"]

_FORMAT: Final = "fastlog-snapshot-1"
_KEPT: Final = frozenset({"cleanup.policy", "message.timestamp.type", "max.message.bytes", "segment.bytes"})
"""Settings of topics that make a difference to who reads; times of retention would empty the copy."""


def take_snapshot(
    bootstrap: str,
    topics: Iterable[str],
    path: str | os.PathLike[str],
    *,
    limit: int | None = None,
    **options: Any,
) -> int:
    """Writes the committed records of topics to a file (gzip, if its name ends so). How many there were.

    `limit`: at most the last so many of each partition. `options` are those of a `Consumer`: for TLS and
    SASL. Raises ClientError and OSError; the file is there when it is complete.
    """
    from fastlog.cli.tool.record_format import as_json

    names = list(topics)
    described = background.run(_describe(bootstrap, names, options))
    file = Path(path)
    partial = file.with_name(f".{file.name}.partial")
    count = 0
    try:
        with _open(partial, file.suffix, "wb") as out:
            head = {"format": _FORMAT, "topics": described}
            out.write(json.dumps(head, separators=(",", ":")).encode() + b"\n")
            for record in _records(bootstrap, described, limit, options):
                out.write(as_json(record))
                count += 1
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    return count


def restore(bootstrap: str, file: Path) -> dict[str, KafkaTopic]:
    """Makes the topics of a snapshot, and writes their records. Raises ValueError for another file."""
    with _open(file, file.suffix, "rb") as lines:
        try:
            head = json.loads(lines.readline())
            is_one = head["format"] == _FORMAT
        except (ValueError, KeyError, TypeError):
            is_one = False
        if not is_one:
            raise ValueError(f"{file} is no snapshot of topics")
        made = {
            name: make_topic(bootstrap, name, item["partitions"], 1, {"retention.ms": "-1", **item["config"]})
            for name, item in head["topics"].items()
        }
        rows: dict[str, list[SeedRecord]] = {name: [] for name in made}
        for line in lines:
            row = json.loads(line)
            rows[row["topic"]].extend(records_of([row]))
    for name, records in rows.items():
        write(bootstrap, name, records)
    return made


def _open(path: Path, suffix: str, mode: str) -> IO[bytes]:
    if suffix == ".gz":
        return gzip.open(path, mode)  # type: ignore[return-value]
    return path.open(mode)


async def _describe(bootstrap: str, names: list[str], options: dict[str, Any]) -> dict[str, Any]:
    from fastlog.client.admin.configs import ConfigResource, describe_configs
    from fastlog.client.admin.outcomes import Outcomes
    from fastlog.client.client_config import ClientConfig
    from fastlog.client.cluster import Cluster
    from fastlog.client.consumer.config import ConsumerConfig
    from fastlog.errors import KafkaError

    config: ClientConfig = ConsumerConfig.of({**options, "bootstrap_servers": bootstrap}, None)
    async with Cluster.of(config) as cluster:
        found = (await cluster.metadata(names)).topics
        for name in names:
            if found[name].error:
                raise KafkaError(found[name].error, f"topic {name}: {found[name].error.text}")
        resources = [ConfigResource.topic(name) for name in names]
        settings = Outcomes(await describe_configs(cluster, resources)).check()
        described: dict[str, Any] = {}
        for name, resource in zip(names, resources, strict=True):
            entries = settings[resource]
            config_of = {
                entry.name: entry.value
                for entry in entries
                if entry.name in _KEPT and not entry.is_default and entry.value is not None
            }
            described[name] = {"partitions": len(found[name].partitions), "config": config_of}
    return described


def _records(
    bootstrap: str, topics: dict[str, Any], limit: int | None, options: dict[str, Any]
) -> Iterator[Record]:
    """One partition after the other: its order is all that a reader relies on."""
    from fastlog.client.consumer.blocking import Consumer
    from fastlog.client.metadata import TopicPartition

    names = [
        TopicPartition(name, index) for name, item in topics.items() for index in range(item["partitions"])
    ]
    with Consumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        **options,
    ) as consumer:
        starts, ends = consumer.beginning_offsets(names), consumer.end_offsets(names)
        for name in names:
            start = starts[name] if limit is None else max(starts[name], ends[name] - limit)
            if start >= ends[name]:
                continue
            consumer.assign([name])
            consumer.seek(name, start)
            while consumer.position(name) < ends[name]:
                for records in consumer.poll(timeout_ms=1000, max_records=10_000).values():
                    yield from (record for record in records if record.offset < ends[name])
