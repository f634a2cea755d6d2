"""Replicas, leaders and the controller."""

from __future__ import annotations

from typing import Final

from fastlog.config.checks import KAFKA_VERSION, AtLeast, OneOf
from fastlog.config.definitions.vocabulary import (
    BOOLEAN,
    CLUSTER_WIDE,
    HIGH,
    INT,
    LONG,
    STRING,
    without_effect,
)
from fastlog.config.keys import ConfigKey, Unused

__all__ = ["KEYS", "RACK_AWARE_SELECTOR"]

RACK_AWARE_SELECTOR: Final = "org.apache.kafka.common.replica.RackAwareReplicaSelector"
LEADER_SELECTOR: Final = "org.apache.kafka.common.replica.LeaderSelector"

KEYS: Final = (
    ConfigKey(
        "replica.lag.time.max.ms",
        LONG,
        "30000",
        "Lag after which a replica leaves the in-sync set.",
        HIGH,
        check=AtLeast(1),
    ),
    ConfigKey(
        "replica.selector.class",
        STRING,
        None,
        "Which replica a consumer is sent to; none, or the leader's selector: it stays with the leader.",
        check=OneOf((RACK_AWARE_SELECTOR, LEADER_SELECTOR)),
    ),
    ConfigKey(
        "auto.leader.rebalance.enable",
        BOOLEAN,
        "true",
        "Whether leadership goes back to preferred replicas by itself.",
        HIGH,
    ),
    ConfigKey(
        "leader.imbalance.check.interval.seconds",
        LONG,
        "300",
        "How often the balance of leaders is looked at.",
        HIGH,
        check=AtLeast(1),
    ),
    ConfigKey(
        "leader.imbalance.per.broker.percentage",
        INT,
        "10",
        "Imbalance per broker that is put up with.",
        HIGH,
    ),
    ConfigKey(
        "unclean.leader.election.enable",
        BOOLEAN,
        "false",
        "Whether a replica outside the in-sync set may become leader, losing records.",
        HIGH,
        update=CLUSTER_WIDE,
    ),
    ConfigKey(
        "controlled.shutdown.enable",
        BOOLEAN,
        "true",
        "Whether leadership is handed over before a broker stops.",
    ),
    ConfigKey("controlled.shutdown.max.retries", INT, "3", "Attempts at handing over."),
    ConfigKey("controlled.shutdown.retry.backoff.ms", LONG, "5000", "Pause between these attempts."),
    ConfigKey(
        "replica.high.watermark.checkpoint.interval.ms",
        LONG,
        "5000",
        "How often high watermarks are written to disk.",
        HIGH,
    ),
    ConfigKey(
        "num.replica.fetchers", INT, "1", "Threads that fetch from one leader.", HIGH, update=CLUSTER_WIDE
    ),
    ConfigKey(
        "replica.fetch.backoff.ms", INT, "1000", "Pause after a failed replica fetch.", check=AtLeast(0)
    ),
    ConfigKey(
        "replica.fetch.max.bytes",
        INT,
        "1048576",
        "Bytes that a replica fetches per partition.",
        check=AtLeast(0),
    ),
    ConfigKey("replica.fetch.min.bytes", INT, "1", "Bytes that a replica fetch waits for.", HIGH),
    ConfigKey(
        "replica.fetch.response.max.bytes",
        INT,
        "10485760",
        "Bytes that a replica fetches per answer.",
        check=AtLeast(0),
    ),
    ConfigKey("replica.fetch.wait.max.ms", INT, "500", "How long a replica fetch waits.", HIGH),
    ConfigKey("replica.socket.timeout.ms", INT, "30000", "Socket timeout of replica fetches.", HIGH),
    *without_effect(
        Unused.REPLICATION,
        ConfigKey(
            "unclean.leader.election.interval.ms",
            LONG,
            "300000",
            "How often the controller looks for such elections.",
            check=AtLeast(1),
            internal=True,
        ),
        ConfigKey(
            "eligible.leader.replicas.enable",
            BOOLEAN,
            "false",
            "Whether eligible leader replicas (KIP-966) are tracked.",
            HIGH,
        ),
        ConfigKey(
            "num.replica.alter.log.dirs.threads",
            INT,
            None,
            "Threads that move replicas between directories.",
            HIGH,
        ),
        ConfigKey("replica.socket.receive.buffer.bytes", INT, "65536", "SO_RCVBUF of replica fetches.", HIGH),
    ),
    *without_effect(
        Unused.MODEL,
        ConfigKey(
            "inter.broker.protocol.version",
            STRING,
            "3.9-IV0",
            "Version of the protocol among brokers.",
            check=KAFKA_VERSION,
        ),
    ),
)
