"""Flink with its Kafka connector, from Maven Central: a job in one JVM."""

from __future__ import annotations

from typing import Final, NamedTuple

from tests.peers.kafka_apps import LOGGER
from tests.peers.maven import class_path


class Flink(NamedTuple):
    """A release of Flink and one of its Kafka connector."""

    version: str
    connector: str


FLINK_1: Final = Flink("1.20.5", "3.4.0-1.20")
"""With kafka-clients 3.4.0."""
FLINK_2: Final = Flink("2.2.1", "5.0.0-2.2")
"""With kafka-clients 4.2.0."""


def flink_class_path(flink: Flink) -> str:
    """What a streaming job needs."""
    parts = [
        f"org.apache.flink:flink-{part}:{flink.version}"
        for part in ("streaming-java", "clients", "connector-base")
    ]
    connector = f"org.apache.flink:flink-connector-kafka:{flink.connector}"
    return class_path(f"flink-{flink.version}", [*parts, connector, LOGGER])
