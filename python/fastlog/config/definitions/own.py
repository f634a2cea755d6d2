"""fastlog's own keys. All are listed in docs/configuration.md."""

from __future__ import annotations

from typing import Final

from fastlog.config.checks import AtLeast, Between, OneOf
from fastlog.config.definitions.vocabulary import (
    BOOLEAN,
    CLUSTER_WIDE,
    HIGH,
    INT,
    LIST,
    LONG,
    LOW,
    PASSWORD,
    STRING,
)
from fastlog.config.keys import ConfigKey

__all__ = ["DURABILITY", "DURABILITY_MODES", "KEYS"]

DURABILITY: Final = "fastlog.durability"
DURABILITY_MODES: Final = ("pagecache", "fsync")

KEYS: Final = (
    ConfigKey(
        DURABILITY,
        STRING,
        "pagecache",
        "When an acks=1 or acks=all write is acknowledged: pagecache, once the operating system has it (what "
        "Kafka does), or fsync, once it is on the disk. fsync shares one flush among all waiting writes.",
        HIGH,
        check=OneOf(DURABILITY_MODES),
        update=CLUSTER_WIDE,
    ),
    ConfigKey(
        "fastlog.io.threads",
        INT,
        "0",
        "Threads that write log files, and as many that read them; 0 takes one per CPU, at least 2 "
        "and at most 8.",
        check=AtLeast(0),
    ),
    ConfigKey(
        "fastlog.controller.fast.failover",
        BOOLEAN,
        "true",
        "Whether the controller takes a broker for dead, and has others lead, when its connection breaks and "
        "its host says that nobody listens there any more, before its ZooKeeper session ends.",
    ),
    ConfigKey(
        "fastlog.default.transaction.version",
        INT,
        "2",
        "The level of the feature transaction.version that a new cluster has from the beginning, and a "
        "broker with a keeper of its own until an operator changes it. 0 for a cluster that brokers of Kafka "
        "3.9 are to join, which end themselves where it is finalized (see transactions.md).",
        check=Between(0, 2),
    ),
    ConfigKey(
        "fastlog.delegation.token.max.count",
        INT,
        "20000",
        "How many delegation tokens there may be; half as many of them made for one user.",
        check=AtLeast(1),
    ),
    ConfigKey(
        "fastlog.keeper.listen",
        STRING,
        None,
        "Where clients of ZooKeeper's protocol reach the keeper that this broker runs in its own process, as "
        "host:port; left out, nobody but the broker does. Whoever reaches it can change all metadata.",
    ),
    ConfigKey(
        "fastlog.keeper.security.protocol",
        STRING,
        "PLAINTEXT",
        "How clients reach that keeper: PLAINTEXT, or SSL with what is set as listener.name.keeper.ssl.*, or "
        "as ssl.* for all.",
        check=OneOf(("PLAINTEXT", "SSL")),
    ),
    ConfigKey(
        "fastlog.keeper.jaas.config",
        PASSWORD,
        None,
        "Who may log in at that keeper by SASL (DIGEST-MD5). It is the line that ZooKeeper has in the "
        "section Server of its JAAS file: org.apache.zookeeper.server.auth.DigestLoginModule with user_NAME "
        "for each.",
    ),
    ConfigKey(
        "fastlog.zookeeper.jaas.config",
        PASSWORD,
        None,
        "How this broker logs in at ZooKeeper by SASL (DIGEST-MD5). It is the line that Kafka has in the "
        "section Client of its JAAS file: org.apache.zookeeper.server.auth.DigestLoginModule with username "
        "and password.",
    ),
    ConfigKey(
        "fastlog.zookeeper.digest",
        PASSWORD,
        None,
        "user:password by which this broker is known to ZooKeeper's scheme digest, which fastlog's keeper "
        "has, too. ZooKeeper gets to see the password.",
    ),
    ConfigKey(
        "fastlog.core.dumps",
        BOOLEAN,
        "false",
        "Whether a broker that crashes may leave its memory in a file (as far as the system's limits allow "
        "it): keys and passwords are in it.",
        LOW,
    ),
    ConfigKey(
        "fastlog.inter.broker.listeners.accepted",
        LIST,
        "",
        "Listeners over which requests of other brokers are taken besides the one for brokers: those that "
        "the brokers of a cluster leave, or go to, while they are moved from one to another.",
    ),
    ConfigKey(
        "fastlog.authentication.timeout.ms",
        INT,
        "10000",
        "How long a client of a listener with TLS or SASL may take until it is known who it is.",
        check=AtLeast(1),
        update=CLUSTER_WIDE,
    ),
    ConfigKey(
        "fastlog.authentication.max.connections",
        INT,
        "1000",
        "Most connections at once of which it is not known yet who they are; one more, and the oldest of "
        "them is closed.",
        check=AtLeast(1),
        update=CLUSTER_WIDE,
    ),
    ConfigKey(
        "fastlog.oauthbearer.unsecured.tokens",
        BOOLEAN,
        "false",
        "Whether OAUTHBEARER takes unsigned tokens where no sasl.oauthbearer.jwks.endpoint.url is set. "
        "Whoever "
        "reaches the listener is then whoever it likes to be: for trials only.",
    ),
    ConfigKey(
        "fastlog.memory.max.bytes",
        LONG,
        "536870912",
        "Most memory that clients can make the broker take, above what it needs at rest, shared out among "
        "all that holds memory for them (see operations.md).",
        HIGH,
        check=AtLeast(16 * 1024 * 1024),
    ),
    ConfigKey(
        "fastlog.max.inflight.bytes",
        LONG,
        "134217728",
        "Bytes of requests in work over all connections, above which sockets are not read; at most a quarter "
        "of fastlog.memory.max.bytes. One request is always let through, however large.",
        HIGH,
        check=AtLeast(1),
    ),
    ConfigKey(
        "fastlog.shutdown.timeout.ms",
        LONG,
        "30000",
        "How long a stopping broker waits for requests that are in work.",
        check=AtLeast(0),
    ),
    ConfigKey(
        "fastlog.allow.data.loss",
        BOOLEAN,
        "false",
        "Whether a log that is damaged before its end may be cut there. What is cut is kept in *.corrupt "
        "files. Meant for one start, by --allow-data-loss.",
        HIGH,
    ),
    ConfigKey(
        "fastlog.scrub.bytes.per.second",
        LONG,
        "8388608",
        "How fast logs are read through in the background to find damage; 0 turns that off.",
        check=AtLeast(0),
    ),
    ConfigKey(
        "fastlog.scrub.interval.ms",
        LONG,
        "604800000",
        "How long after it began a scrub of all logs may begin anew.",
        check=AtLeast(1000),
    ),
    ConfigKey(
        "fastlog.log.level",
        STRING,
        "INFO",
        "Least level of the broker's own log messages.",
        check=OneOf(("DEBUG", "INFO", "WARNING", "ERROR")),
    ),
    ConfigKey(
        "fastlog.log.format",
        STRING,
        "text",
        "Form of the broker's own log messages: text for people, json with one object per line.",
        check=OneOf(("text", "json")),
    ),
    ConfigKey(
        "fastlog.http.host",
        STRING,
        "127.0.0.1",
        "Address on which metrics and health are served over HTTP; empty takes every interface. One that is "
        "not of this host alone needs a token, client certificates, or fastlog.http.anonymous.",
    ),
    ConfigKey(
        "fastlog.http.token",
        PASSWORD,
        None,
        "What whoever asks for metrics has to bring: Authorization: Bearer TOKEN. Probes need none, and tell "
        "their status alone without.",
    ),
    ConfigKey(
        "fastlog.http.ssl.keystore.location",
        STRING,
        None,
        "Private key and certificates, in one PEM file: then metrics and health are served over TLS.",
    ),
    ConfigKey(
        "fastlog.http.ssl.truststore.location",
        STRING,
        None,
        "Certificates, in a PEM file, of authorities: who shows a certificate of theirs needs no token.",
    ),
    ConfigKey(
        "fastlog.http.anonymous",
        BOOLEAN,
        "false",
        "Whether metrics may be read by everybody who reaches an address that is not of this host alone.",
    ),
    ConfigKey(
        "fastlog.http.allowed.hosts",
        LIST,
        "",
        "Further names by which metrics and health may be asked for, besides addresses, localhost, the "
        "machine's name and the hosts of listeners; * allows every name. Others are refused, so that no web "
        "page can read them by DNS rebinding.",
    ),
    ConfigKey(
        "fastlog.http.port",
        INT,
        "9464",
        "Port of metrics and health; 0 takes any free one, -1 turns them off. When the default is in use by "
        "somebody else the broker starts without them; a port that was configured must be free.",
        check=Between(-1, 65535),
    ),
    ConfigKey(
        "fastlog.metrics.kafka.exporter.names",
        BOOLEAN,
        "true",
        "Whether metrics include the kafka_* names of kafka_exporter.",
        update=CLUSTER_WIDE,
    ),
    ConfigKey(
        "fastlog.metrics.per.partition",
        BOOLEAN,
        "true",
        "Whether metrics include series per partition; without them sums per topic and log directory stay.",
        update=CLUSTER_WIDE,
    ),
    ConfigKey(
        "fastlog.unknown.keys",
        STRING,
        "error",
        "What a key that nobody knows does: error stops the start, warn lets it pass.",
        LOW,
        check=OneOf(("error", "warn")),
    ),
)
