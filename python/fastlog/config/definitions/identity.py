"""Who this node is, and how the cluster finds itself (ids, KRaft, ZooKeeper)."""

from __future__ import annotations

from typing import Final

from fastlog.config.checks import AtLeast, ItemsOf
from fastlog.config.definitions.vocabulary import (
    BOOLEAN,
    HIGH,
    INT,
    LIST,
    LONG,
    LOW,
    PASSWORD,
    STRING,
    without_effect,
)
from fastlog.config.keys import ConfigKey, Unused

__all__ = ["KEYS"]

KEYS: Final = (
    ConfigKey(
        "broker.id",
        INT,
        "-1",
        "Id of this broker. Left out, the id that the data directory remembers is used, or 1 for a new one.",
        HIGH,
    ),
    ConfigKey(
        "node.id", INT, "-1", "The same id under its KRaft name. When both are set they must agree.", HIGH
    ),
    ConfigKey(
        "broker.id.generation.enable",
        BOOLEAN,
        "true",
        "Whether a broker with `zookeeper.connect` and without an id gets one from ZooKeeper.",
    ),
    ConfigKey(
        "reserved.broker.max.id",
        INT,
        "1000",
        "Largest id that is left for being set by hand: ZooKeeper hands out those above it.",
        check=AtLeast(0),
    ),
    ConfigKey(
        "broker.rack",
        STRING,
        None,
        "Rack or zone of this broker, told to clients; in a cluster replicas of new partitions are spread "
        "over racks, for which all brokers name one or none does.",
    ),
    ConfigKey(
        "controller.listener.names",
        STRING,
        None,
        "Listeners that carry KRaft's controller traffic: fastlog leaves them closed.",
        HIGH,
    ),
    *without_effect(
        Unused.KRAFT,
        ConfigKey(
            "process.roles",
            LIST,
            "",
            "Roles of a KRaft node. fastlog always is broker and controller in one.",
            HIGH,
            check=ItemsOf(("broker", "controller")),
        ),
        ConfigKey(
            "broker.heartbeat.interval.ms", INT, "2000", "Pause between heartbeats to the KRaft controller."
        ),
        ConfigKey(
            "broker.session.timeout.ms",
            INT,
            "9000",
            "How long the KRaft controller waits for a heartbeat before it fences a broker.",
        ),
        ConfigKey(
            "initial.broker.registration.timeout.ms",
            INT,
            "60000",
            "How long a starting KRaft broker waits for its registration.",
        ),
        ConfigKey(
            "server.max.startup.time.ms",
            LONG,
            "9223372036854775807",
            "Longest time that starting may take.",
            check=AtLeast(0),
            internal=True,
        ),
        ConfigKey("controller.quorum.voters", LIST, "", "Voters of the KRaft quorum as id@host:port.", HIGH),
        ConfigKey(
            "controller.quorum.bootstrap.servers", LIST, "", "Where the KRaft quorum can be found.", HIGH
        ),
        ConfigKey(
            "controller.quorum.election.timeout.ms",
            INT,
            "1000",
            "How long a KRaft voter waits for the leader before it calls an election.",
            HIGH,
        ),
        ConfigKey(
            "controller.quorum.election.backoff.max.ms",
            INT,
            "1000",
            "Longest pause between KRaft elections.",
            HIGH,
        ),
        ConfigKey(
            "controller.quorum.fetch.timeout.ms",
            INT,
            "2000",
            "How long a KRaft voter may go without a successful fetch.",
            HIGH,
        ),
        ConfigKey(
            "controller.quorum.append.linger.ms",
            INT,
            "25",
            "How long the KRaft leader gathers writes before it flushes.",
        ),
        ConfigKey(
            "controller.quorum.request.timeout.ms",
            INT,
            "2000",
            "How long a KRaft request waits for its answer.",
        ),
        ConfigKey(
            "controller.quorum.retry.backoff.ms",
            INT,
            "20",
            "Pause before a KRaft request is sent again.",
            LOW,
        ),
        ConfigKey("metadata.log.dir", STRING, None, "Directory of the KRaft metadata log.", HIGH),
        ConfigKey(
            "metadata.log.max.record.bytes.between.snapshots",
            LONG,
            "20971520",
            "Metadata log bytes that call for a new snapshot.",
            HIGH,
            check=AtLeast(1),
        ),
        ConfigKey(
            "metadata.log.max.snapshot.interval.ms",
            LONG,
            "3600000",
            "Longest time between two metadata snapshots.",
            HIGH,
            check=AtLeast(0),
        ),
        ConfigKey(
            "metadata.log.segment.bytes",
            INT,
            "1073741824",
            "Largest segment of the metadata log.",
            HIGH,
            check=AtLeast(12),
        ),
        ConfigKey(
            "metadata.log.segment.min.bytes",
            INT,
            "8388608",
            "Lower bound for the segment size of the metadata log.",
            HIGH,
            check=AtLeast(12),
            internal=True,
        ),
        ConfigKey(
            "metadata.log.segment.ms",
            LONG,
            "604800000",
            "Longest time before a metadata segment is rolled.",
            HIGH,
        ),
        ConfigKey(
            "metadata.max.idle.interval.ms",
            INT,
            "500",
            "How often an idle KRaft leader appends a no-op record.",
            LOW,
            check=AtLeast(0),
        ),
        ConfigKey(
            "metadata.max.retention.bytes",
            LONG,
            "104857600",
            "Size at which old metadata log and snapshots are deleted.",
            HIGH,
        ),
        ConfigKey(
            "metadata.max.retention.ms",
            LONG,
            "604800000",
            "Age at which old metadata log and snapshots are deleted.",
            HIGH,
        ),
    ),
    *without_effect(
        Unused.MODEL,
        ConfigKey(
            "unstable.api.versions.enable",
            BOOLEAN,
            "false",
            "Whether request versions under development are offered.",
            HIGH,
            internal=True,
        ),
        ConfigKey(
            "unstable.feature.versions.enable",
            BOOLEAN,
            "false",
            "Whether feature levels under development may be used.",
            HIGH,
            internal=True,
        ),
    ),
    ConfigKey(
        "zookeeper.connect",
        STRING,
        None,
        "ZooKeeper servers that keep the cluster's metadata, as host:port list with an optional chroot. Left "
        "out, this broker runs a keeper of its own, in its process.",
        HIGH,
    ),
    ConfigKey(
        "zookeeper.session.timeout.ms",
        INT,
        "18000",
        "After how long without a sign of this broker ZooKeeper takes it for dead.",
        HIGH,
        check=AtLeast(1),
    ),
    ConfigKey(
        "zookeeper.connection.timeout.ms",
        INT,
        None,
        "How long to wait for a connection to ZooKeeper, at the start and before a change is given up; left "
        "out, as long as the session's time-out.",
        HIGH,
        check=AtLeast(1),
    ),
    *without_effect(
        Unused.REPLICATION,
        ConfigKey(
            "controller.socket.timeout.ms", INT, "30000", "Socket timeout between controller and brokers."
        ),
    ),
    *without_effect(
        Unused.ZOOKEEPER,
        ConfigKey(
            "zookeeper.max.in.flight.requests",
            INT,
            "10",
            "Unanswered ZooKeeper requests allowed at once.",
            HIGH,
            check=AtLeast(1),
        ),
        ConfigKey(
            "zookeeper.metadata.migration.enable",
            BOOLEAN,
            "false",
            "Whether a migration from ZooKeeper to KRaft is under way.",
            HIGH,
        ),
        ConfigKey(
            "zookeeper.metadata.migration.min.batch.size",
            INT,
            "200",
            "Records in a batch of that migration.",
            check=AtLeast(1),
            internal=True,
        ),
        ConfigKey("zookeeper.clientCnxnSocket", STRING, None, "Java class of the ZooKeeper client's socket."),
        ConfigKey("zookeeper.ssl.protocol", STRING, "TLSv1.2", "TLS version towards ZooKeeper.", LOW),
    ),
    ConfigKey(
        "zookeeper.set.acl",
        BOOLEAN,
        "false",
        "Whether only brokers of this cluster change nodes that are made, and read those with secrets.",
        HIGH,
    ),
    ConfigKey("zookeeper.ssl.client.enable", BOOLEAN, "false", "Whether ZooKeeper is reached over TLS."),
    ConfigKey("zookeeper.ssl.enabled.protocols", LIST, None, "TLS versions allowed towards ZooKeeper.", LOW),
    ConfigKey("zookeeper.ssl.cipher.suites", LIST, None, "Cipher suites allowed towards ZooKeeper.", LOW),
    ConfigKey(
        "zookeeper.ssl.endpoint.identification.algorithm",
        STRING,
        "HTTPS",
        "How the ZooKeeper server's host name is verified.",
        LOW,
    ),
    ConfigKey(
        "zookeeper.ssl.crl.enable",
        BOOLEAN,
        "false",
        "Whether certificate revocation lists are checked towards ZooKeeper.",
        LOW,
    ),
    ConfigKey(
        "zookeeper.ssl.ocsp.enable",
        BOOLEAN,
        "false",
        "Whether certificates are checked by OCSP towards ZooKeeper.",
        LOW,
    ),
    ConfigKey("zookeeper.ssl.keystore.location", STRING, None, "Key store for ZooKeeper connections."),
    ConfigKey("zookeeper.ssl.keystore.password", PASSWORD, None, "Password of that key store."),
    ConfigKey("zookeeper.ssl.keystore.type", STRING, None, "Format of that key store."),
    ConfigKey("zookeeper.ssl.truststore.location", STRING, None, "Trust store for ZooKeeper connections."),
    ConfigKey("zookeeper.ssl.truststore.password", PASSWORD, None, "Password of that trust store."),
    ConfigKey("zookeeper.ssl.truststore.type", STRING, None, "Format of that trust store."),
)
