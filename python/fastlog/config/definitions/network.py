"""Listeners, sockets, threads and connection limits."""

from __future__ import annotations

from typing import Final

from fastlog.config.checks import AtLeast, OneOf
from fastlog.config.definitions.vocabulary import (
    CLUSTER_WIDE,
    HIGH,
    INT,
    LONG,
    LOW,
    PER_BROKER,
    STRING,
    without_effect,
)
from fastlog.config.keys import ConfigKey, Unused

__all__ = ["KEYS"]

KEYS: Final = (
    ConfigKey(
        "listeners",
        STRING,
        "PLAINTEXT://:9092",
        "Addresses to listen on, as NAME://host:port list. An empty host means all interfaces.",
        HIGH,
        update=PER_BROKER,
    ),
    ConfigKey(
        "advertised.listeners",
        STRING,
        None,
        "Addresses that clients are told to connect to. Left out, they follow from listeners.",
        HIGH,
        update=PER_BROKER,
    ),
    ConfigKey(
        "listener.security.protocol.map",
        STRING,
        "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
        "Security protocol of each listener name.",
        LOW,
        update=PER_BROKER,
    ),
    ConfigKey("inter.broker.listener.name", STRING, None, "Listener that brokers use among themselves."),
    ConfigKey(
        "security.inter.broker.protocol",
        STRING,
        "PLAINTEXT",
        "Security protocol among brokers, when no inter.broker.listener.name is set.",
        check=OneOf(("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")),
    ),
    ConfigKey(
        "control.plane.listener.name",
        STRING,
        None,
        "Listener over which the controller of a ZooKeeper cluster reaches brokers, and they it. Without "
        "zookeeper.connect fastlog leaves it closed.",
        HIGH,
    ),
    ConfigKey(
        "socket.request.max.bytes",
        INT,
        "104857600",
        "Largest request that a client may send. A longer one closes its connection.",
        HIGH,
        check=AtLeast(1),
    ),
    ConfigKey(
        "socket.listen.backlog.size", INT, "50", "Connections that may wait to be accepted.", check=AtLeast(1)
    ),
    ConfigKey("connections.max.idle.ms", LONG, "600000", "Idle connections are closed after this time."),
    ConfigKey(
        "max.connections",
        INT,
        "2147483647",
        "Most connections at once; further ones wait until one ends. With the prefix of a listener, of that.",
        check=AtLeast(0),
        update=CLUSTER_WIDE,
    ),
    ConfigKey(
        "max.connections.per.ip",
        INT,
        "2147483647",
        "Most connections at once from one address.",
        check=AtLeast(0),
        update=CLUSTER_WIDE,
    ),
    ConfigKey(
        "max.connections.per.ip.overrides",
        STRING,
        "",
        "Other limits for single addresses, as address:limit list.",
        update=CLUSTER_WIDE,
    ),
    ConfigKey(
        "max.connection.creation.rate",
        INT,
        "2147483647",
        "Most new connections per second; further ones wait. With the prefix of a listener, of that.",
        check=AtLeast(0),
        update=CLUSTER_WIDE,
    ),
    ConfigKey(
        "max.request.partition.size.limit",
        INT,
        "2000",
        "Most partitions in one DescribeTopicPartitions answer.",
        check=AtLeast(1),
    ),
    *without_effect(
        Unused.MODEL,
        ConfigKey(
            "early.start.listeners", STRING, None, "Listeners opened before the authorizer is ready.", HIGH
        ),
        ConfigKey(
            "socket.receive.buffer.bytes",
            INT,
            "102400",
            "SO_RCVBUF of client connections: fastlog leaves it to the operating system.",
            HIGH,
        ),
        ConfigKey(
            "socket.send.buffer.bytes",
            INT,
            "102400",
            "SO_SNDBUF of client connections: fastlog leaves it to the operating system.",
            HIGH,
        ),
        ConfigKey(
            "num.network.threads",
            INT,
            "3",
            "Threads that serve sockets: fastlog serves all of them from one event loop.",
            HIGH,
            check=AtLeast(1),
            update=CLUSTER_WIDE,
        ),
        ConfigKey(
            "num.io.threads",
            INT,
            "8",
            "Threads that handle requests: see fastlog.io.threads for the pool that touches the disk.",
            HIGH,
            check=AtLeast(1),
            update=CLUSTER_WIDE,
        ),
        ConfigKey(
            "background.threads",
            INT,
            "10",
            "Threads for background work.",
            HIGH,
            check=AtLeast(1),
            update=CLUSTER_WIDE,
        ),
        ConfigKey(
            "queued.max.requests",
            INT,
            "500",
            "Requests that may wait for a thread: fastlog.max.inflight.bytes bounds them by size.",
            HIGH,
            check=AtLeast(1),
        ),
        ConfigKey(
            "queued.max.request.bytes",
            LONG,
            "-1",
            "Bytes of requests that may wait for a thread: see fastlog.max.inflight.bytes.",
        ),
    ),
    *without_effect(
        Unused.REPLICATION,
        ConfigKey(
            "request.timeout.ms",
            INT,
            "30000",
            "How long a request to another broker waits for its answer.",
            HIGH,
        ),
        ConfigKey(
            "socket.connection.setup.timeout.ms",
            LONG,
            "10000",
            "How long connecting to another broker may take at first.",
        ),
        ConfigKey(
            "socket.connection.setup.timeout.max.ms",
            LONG,
            "30000",
            "How long connecting to another broker may take at last.",
        ),
    ),
    ConfigKey(
        "connection.failed.authentication.delay.ms",
        INT,
        "100",
        "Pause before a connection that failed to authenticate is closed.",
        LOW,
        check=AtLeast(0),
    ),
)
