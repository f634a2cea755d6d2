"""One day of administration with Kafka's tools: what is run, in this order, against two brokers.

Left out is what makes a tool wait long for a broker or a partition that does not exist; and two things in
which this broker differs on purpose: it refuses broker settings that it does not know, which Kafka keeps as
a plugin's, and the record of the greatest timestamp is never one that was deleted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.peers.apache_kafka import (
    CONFIG_COMMAND,
    CONSUMER_GROUPS,
    DELETE_RECORDS,
    GET_OFFSETS,
    LOG_DIRS,
    TOPIC_COMMAND,
)

__all__ = ["FIRST_TIME", "Step", "records_and_offsets", "running_group", "settings", "topics"]

FIRST_TIME = 1_700_000_000_000
"""Timestamp of the first record in ms; the others follow a second apart."""


@dataclass(frozen=True, slots=True)
class Step:
    """One tool and its arguments, without the bootstrap server."""

    tool: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.tool.rpartition('.')[2]} {' '.join(self.words)}"


def _steps(tool: str, *lines: str) -> list[Step]:
    return [Step(tool, tuple(line.split())) for line in lines]


def topics() -> list[Step]:
    """kafka-topics: create, list, describe, alter, delete, and what is refused."""
    return _steps(
        TOPIC_COMMAND,
        "--create --topic clicks --partitions 3 --replication-factor 1 --config retention.ms=-1",
        "--create --topic orders --partitions 2 --config cleanup.policy=compact --config segment.ms=100000",
        "--create --topic plain",
        "--create --topic by-hand --replica-assignment 1,1,1",
        "--create --topic dots.and.more --partitions 1",
        "--create --topic clicks",
        "--create --topic clicks --if-not-exists",
        "--create --topic bad/name",
        "--create --topic none --partitions 0",
        "--create --topic none --partitions -1",
        "--create --topic none --replication-factor 2",
        "--create --topic none --replica-assignment 7",
        "--create --topic none --replica-assignment 1:1",
        "--create --topic none --config no.such.key=1",
        "--create --topic none --config retention.ms=soon",
        "--create --topic none --config cleanup.policy=burn",
        "--create --topic __consumer_offsets",
        "--list",
        "--list --exclude-internal",
        "--list --topic cl.*",
        "--list --topic no.*such",
        "--describe --topic clicks",
        "--describe --topic orders",
        "--describe --topic by-hand",
        "--describe --topic clicks|plain",
        "--describe --topic never",
        "--describe --topic never --if-exists",
        "--describe --under-replicated-partitions",
        "--describe --unavailable-partitions",
        "--describe --under-min-isr-partitions",
        "--describe --at-min-isr-partitions --topic orders",
        "--describe --topics-with-overrides",
        "--alter --topic plain --partitions 4",
        "--alter --topic plain --partitions 4",
        "--alter --topic plain --partitions 1",
        "--alter --topic plain --partitions 5 --replica-assignment 1,1,1,1,9",
        "--alter --topic never --partitions 4",
        "--alter --topic never --partitions 4 --if-exists",
        "--describe --topic plain",
        "--delete --topic never",
        "--delete --topic never --if-exists",
        "--delete --topic dots.and.more",
        "--list --exclude-internal",
        "--nonsense",
    )


def settings() -> list[Step]:
    """kafka-configs: topics, brokers, the default of all brokers."""
    topic = "--entity-type topics --entity-name clicks"
    return _steps(
        CONFIG_COMMAND,
        f"--describe {topic}",
        f"--alter {topic} --add-config max.message.bytes=5000,cleanup.policy=[compact,delete]",
        f"--describe {topic}",
        f"--alter {topic} --delete-config max.message.bytes,cleanup.policy",
        f"--describe {topic}",
        f"--describe {topic} --all",
        f"--alter {topic} --delete-config max.message.bytes",
        f"--alter {topic} --add-config no.such.key=1",
        f"--alter {topic} --add-config retention.ms=soon",
        f"--alter {topic} --add-config min.insync.replicas=0",
        "--describe --entity-type topics --entity-name never",
        "--alter --entity-type topics --entity-name never --add-config retention.ms=1",
        "--describe --entity-type topics",
        "--alter --entity-type brokers --entity-name 1 --add-config message.max.bytes=2000000",
        "--alter --entity-type brokers --entity-default --add-config log.retention.ms=86400000",
        "--describe --entity-type brokers --entity-name 1",
        "--describe --entity-type brokers --entity-default",
        "--describe --entity-type topics --entity-name plain --all",
        "--alter --entity-type brokers --entity-name 1 --add-config num.partitions=7",
        "--alter --entity-type brokers --entity-name 1 --delete-config message.max.bytes",
        "--alter --entity-type brokers --entity-default --delete-config log.retention.ms",
        "--describe --entity-type brokers --entity-name 1",
        "--describe --entity-type brokers --entity-default",
    )


def records_and_offsets(directory: Path) -> list[Step]:
    """kafka-get-offsets, kafka-delete-records and kafka-log-dirs, with ten records in each of clicks."""

    def deletion(name: str, *rows: tuple[str, int, int]) -> str:
        path = directory / f"{name}.json"
        partitions = [{"topic": topic, "partition": index, "offset": at} for topic, index, at in rows]
        path.write_text(json.dumps({"partitions": partitions, "version": 1}))
        return str(path)

    return [
        *_steps(
            GET_OFFSETS,
            "--topic clicks",
            "--topic clicks --time -1",
            "--topic clicks --time latest",
            "--topic clicks --time -2",
            "--topic clicks --time earliest",
            "--topic clicks --time -3",
            "--topic clicks --time max-timestamp",
            f"--topic clicks --time {FIRST_TIME + 4500}",
            f"--topic clicks --time {FIRST_TIME + 10**9}",
            "--topic clicks --time 0",
            "--topic clicks --partitions 1,2",
            "--topic-partitions clicks:0,plain:1-3,orders",
            "--topic never",
            "--topic clicks --partitions 9",
            "--topic clicks --time soon",
            "--exclude-internal-topics",
        ),
        *_steps(
            DELETE_RECORDS,
            f"--offset-json-file {deletion('some', ('clicks', 0, 4), ('clicks', 1, -1))}",
            f"--offset-json-file {deletion('beyond', ('clicks', 0, 99))}",
            f"--offset-json-file {deletion('behind', ('clicks', 0, 2))}",
            f"--offset-json-file {deletion('compacted', ('orders', 0, 0))}",
            f"--offset-json-file {directory / 'not-there.json'}",
        ),
        *_steps(GET_OFFSETS, "--topic clicks --time earliest"),
        *_steps(
            LOG_DIRS,
            "--describe --topic-list clicks,orders",
            "--describe --topic-list clicks --broker-list 1",
            "--describe --topic-list never",
            "--describe --topic-list clicks --broker-list 9",
        ),
    ]


def running_group(directory: Path) -> list[Step]:
    """kafka-consumer-groups, while a consumer of the group `active` owns all of clicks."""
    plan = directory / "plan.csv"
    plan.write_text("clicks,0,7\nclicks,2,999\n")
    return _steps(
        CONSUMER_GROUPS,
        "--list",
        "--list --state",
        "--list --state stable",
        "--list --type",
        "--list --type consumer",
        "--list --state nonsense",
        "--describe --group active",
        "--describe --group active --members",
        "--describe --group active --members --verbose",
        "--describe --group active --state",
        "--describe --group never",
        "--describe --all-groups --state",
        "--delete --group active",
        "--delete --group never",
        "--reset-offsets --group active --topic clicks --to-earliest --dry-run",
        "--reset-offsets --group active --topic clicks --to-earliest --execute",
        "--delete-offsets --group active --topic clicks",
        "--reset-offsets --group new --topic clicks --to-earliest --dry-run",
        "--describe --group new",
        "--reset-offsets --group new --topic clicks --to-latest --execute",
        "--reset-offsets --group new --topic clicks:0 --to-offset 5 --execute",
        "--reset-offsets --group new --topic clicks:0,2 --shift-by 2 --execute",
        "--reset-offsets --group new --topic clicks --to-offset 500 --dry-run",
        "--reset-offsets --group new --all-topics --shift-by -100 --dry-run",
        "--reset-offsets --group new --all-topics --to-current --dry-run",
        "--reset-offsets --group new --all-topics --to-datetime 2023-11-14T22:13:26.500 --dry-run",
        "--reset-offsets --group new --all-topics --by-duration PT1H --dry-run",
        f"--reset-offsets --group new --from-file {plan} --execute",
        "--reset-offsets --group new --topic plain --shift-by 1 --dry-run",
        "--reset-offsets --group new --topic never --to-latest --execute",
        "--reset-offsets --group new --to-latest --execute",
        "--describe --group new",
        "--describe --group new --members",
        "--describe --group new --state",
        "--delete-offsets --group new --topic clicks:1",
        "--delete-offsets --group new --topic never",
        "--delete-offsets --group never --topic clicks",
        "--describe --group new",
        "--describe --group new --offsets --verbose",
        "--list --state",
        "--delete --group new",
        "--delete --group new",
        "--list",
    )
