"""Quotas, metrics and telemetry."""

from __future__ import annotations

from typing import Final

from fastlog.config.checks import AtLeast
from fastlog.config.definitions.vocabulary import (
    BOOLEAN,
    CLASS,
    CLUSTER_WIDE,
    INT,
    LIST,
    LONG,
    LOW,
    STRING,
    without_effect,
)
from fastlog.config.keys import ConfigKey, Unused

__all__ = ["KEYS"]

KEYS: Final = (
    ConfigKey(
        "replication.quota.window.num",
        INT,
        "11",
        "Samples over which the rate of throttled replicas is taken.",
        LOW,
        check=AtLeast(1),
    ),
    ConfigKey(
        "replication.quota.window.size.seconds",
        INT,
        "1",
        "Length of such a sample.",
        LOW,
        check=AtLeast(1),
    ),
    ConfigKey(
        "quota.window.num",
        INT,
        "11",
        "Samples over which the rates of clients, and of new connections, are taken.",
        LOW,
        check=AtLeast(1),
    ),
    ConfigKey("quota.window.size.seconds", INT, "1", "Length of such a sample.", LOW, check=AtLeast(1)),
    ConfigKey(
        "controller.quota.window.num",
        INT,
        "11",
        "Samples whose topic changes a client may make at once (controller_mutation_rate).",
        LOW,
        check=AtLeast(1),
    ),
    ConfigKey(
        "controller.quota.window.size.seconds", INT, "1", "Length of such a sample.", LOW, check=AtLeast(1)
    ),
    *without_effect(
        Unused.QUOTAS,
        ConfigKey(
            "alter.log.dirs.replication.quota.window.num",
            INT,
            "11",
            "Samples kept for moves between directories.",
            LOW,
            check=AtLeast(1),
        ),
        ConfigKey(
            "alter.log.dirs.replication.quota.window.size.seconds",
            INT,
            "1",
            "Length of such a sample.",
            LOW,
            check=AtLeast(1),
        ),
    ),
    *without_effect(
        Unused.JAVA,
        ConfigKey("client.quota.callback.class", CLASS, None, "Java class that decides on quotas.", LOW),
    ),
    *without_effect(
        Unused.METRICS,
        ConfigKey(
            "metric.reporters", LIST, "", "Java classes that report metrics.", LOW, update=CLUSTER_WIDE
        ),
        ConfigKey("auto.include.jmx.reporter", BOOLEAN, "true", "Whether metrics go to JMX.", LOW),
        ConfigKey("metrics.num.samples", INT, "2", "Samples of a metric.", LOW, check=AtLeast(1)),
        ConfigKey(
            "metrics.sample.window.ms", LONG, "30000", "Length of such a sample.", LOW, check=AtLeast(1)
        ),
        ConfigKey("metrics.recording.level", STRING, "INFO", "Level of the metrics that are recorded.", LOW),
        ConfigKey("kafka.metrics.reporters", LIST, "", "Java classes that report Yammer metrics.", LOW),
        ConfigKey(
            "kafka.metrics.polling.interval.secs",
            INT,
            "10",
            "How often Yammer metrics are reported.",
            LOW,
            check=AtLeast(1),
        ),
    ),
    *without_effect(
        Unused.TELEMETRY,
        ConfigKey(
            "telemetry.max.bytes",
            INT,
            "1048576",
            "Largest telemetry push of a client (KIP-714).",
            LOW,
            check=AtLeast(1),
        ),
    ),
)
