"""Programs that speak to ZooKeeper beside Kafka, from Maven Central: Flume, Samza."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.peers.kafka_apps import LOGGER
from tests.peers.maven import class_path

FLUME: Final = "1.11.0"
SAMZA: Final = "1.8.0"


def flume_class_path() -> str:
    """A Flume agent with Kafka's source, sink and channel; its own files name no logger."""
    parts = (
        "-ng-sources:flume-kafka-source",
        "-ng-sinks:flume-ng-kafka-sink",
        "-ng-channels:flume-kafka-channel",
    )
    kafka = [f"org.apache.flume.flume{part}:{FLUME}" for part in parts]
    return class_path(f"flume-{FLUME}", [f"org.apache.flume:flume-ng-node:{FLUME}", *kafka, LOGGER])


def samza_class_path() -> str:
    """Samza with Kafka and RocksDB, but for its logger: slf4j-log4j12 1.7.25 fails on Java 17."""
    parts = [
        f"org.apache.samza:samza-{part}:{SAMZA}"
        for part in ("api", "core_2.12", "kafka_2.12", "kv-rocksdb_2.12")
    ]
    jars = class_path(f"samza-{SAMZA}", [*parts, "org.slf4j:slf4j-api:1.7.36", LOGGER]).split(":")
    return ":".join(jar for jar in jars if not Path(jar).name.startswith("slf4j-log4j12"))
