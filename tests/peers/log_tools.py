"""Programs of the JVM that ship logs to Kafka, from Maven Central: Log4j 2, and what Logstash is made of."""

from __future__ import annotations

from typing import Final

from tests.peers.kafka_apps import LOGGER
from tests.peers.maven import class_path

LOG4J: Final = "2.26.1"
LOG4J_CLIENTS: Final = "3.9.1"
LOGSTASH_CLIENTS: Final = "4.2.0"
"""kafka-clients of logstash-integration-kafka 12.1."""


def log4j_class_path() -> str:
    """Log4j with what its KafkaAppender needs beside it."""
    return class_path(
        f"log4j-{LOG4J}",
        [
            f"org.apache.logging.log4j:log4j-core:{LOG4J}",
            f"org.apache.kafka:kafka-clients:{LOG4J_CLIENTS}",
        ],
    )


def logstash_class_path() -> str:
    """The client that the plugin has, with a logger that writes to standard error."""
    clients = f"org.apache.kafka:kafka-clients:{LOGSTASH_CLIENTS}"
    return class_path(f"kafka-clients-{LOGSTASH_CLIENTS}", [clients, LOGGER])
