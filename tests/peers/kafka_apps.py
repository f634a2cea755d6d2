"""Apache Kafka's applications from Maven Central: Kafka Streams, Kafka Connect, MirrorMaker."""

from __future__ import annotations

from tests.peers.maven import class_path

LOGGER = "org.slf4j:slf4j-simple:1.7.36"


def streams_class_path(version: str) -> str:
    """Kafka Streams with a logger that writes to standard error."""
    return class_path(f"kafka-streams-{version}", [f"org.apache.kafka:kafka-streams:{version}", LOGGER])


def connect_class_path(version: str) -> str:
    """A Connect worker with the FileStream connectors and the JSON converter."""
    parts = [f"org.apache.kafka:connect-{part}:{version}" for part in ("runtime", "file", "json")]
    return class_path(f"kafka-connect-{version}", [*parts, LOGGER])


def mirror_class_path(version: str) -> str:
    """MirrorMaker 2."""
    parts = [f"org.apache.kafka:connect-{part}:{version}" for part in ("mirror", "runtime", "json")]
    return class_path(f"kafka-mirror-{version}", [*parts, LOGGER])
