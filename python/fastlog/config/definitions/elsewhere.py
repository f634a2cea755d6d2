"""Keys of other Kafka releases, of plugins and of throttles, which a file may hold without harm.

A file written for Kafka 4.x or for 3.0 to 3.8 has keys that 3.9 does not define; authorizers and tiered
storage plugins bring keys of their own; the throttles of replication are set at run time only
(`DynamicConfig.Broker`). They are accepted, also at run time, and are listed by
DescribeConfigs when they are set; few of them have an effect (those that are not `unused`).
"""

from __future__ import annotations

from typing import Final

from fastlog.config.checks import AtLeast
from fastlog.config.definitions.vocabulary import BOOLEAN, CLASS, INT, LIST, LONG, PASSWORD, SHORT, STRING
from fastlog.config.keys import ConfigKey, Unused
from fastlog.config.types import ConfigType

__all__ = ["ADVICE", "KEYS", "PREFIXES"]

_KAFKA_4: Final[dict[ConfigType, tuple[str, ...]]] = {
    BOOLEAN: (
        "controller.quorum.auto.join.enable",
        "follower.fetch.last.tiered.offset.enable",
        "sasl.oauthbearer.assertion.claim.jti.include",
        "transaction.two.phase.commit.enable",
    ),
    CLASS: (
        "sasl.oauthbearer.jwt.retriever.class",
        "sasl.oauthbearer.jwt.validator.class",
    ),
    INT: (
        "controller.quorum.fetch.max.bytes",
        "controller.quorum.fetch.snapshot.max.bytes",
        "group.consumer.assignment.interval.ms",
        "group.consumer.max.assignment.interval.ms",
        "group.consumer.min.assignment.interval.ms",
        "group.consumer.regex.refresh.interval.ms",
        "group.coordinator.background.threads",
        "group.coordinator.cached.buffer.max.bytes",
        "group.share.assignment.interval.ms",
        "group.share.initialize.retry.interval.ms",
        "group.share.max.assignment.interval.ms",
        "group.share.max.delivery.count.limit",
        "group.share.max.partition.max.record.locks",
        "group.share.max.share.sessions",
        "group.share.min.assignment.interval.ms",
        "group.share.min.delivery.count.limit",
        "group.share.min.partition.max.record.locks",
        "group.streams.assignment.interval.ms",
        "group.streams.heartbeat.interval.ms",
        "group.streams.initial.rebalance.delay.ms",
        "group.streams.max.assignment.interval.ms",
        "group.streams.max.heartbeat.interval.ms",
        "group.streams.max.session.timeout.ms",
        "group.streams.max.size",
        "group.streams.max.standby.replicas",
        "group.streams.min.assignment.interval.ms",
        "group.streams.min.heartbeat.interval.ms",
        "group.streams.min.session.timeout.ms",
        "group.streams.num.standby.replicas",
        "group.streams.session.timeout.ms",
        "internal.metadata.log.segment.bytes",
        "internal.metadata.max.batch.size.in.bytes",
        "remote.log.manager.follower.thread.pool.size",
        "sasl.oauthbearer.assertion.claim.exp.seconds",
        "sasl.oauthbearer.assertion.claim.nbf.seconds",
        "share.coordinator.append.linger.ms",
        "share.coordinator.cached.buffer.max.bytes",
        "share.coordinator.cold.partition.snapshot.interval.ms",
        "share.coordinator.load.buffer.size",
        "share.coordinator.snapshot.update.records.per.snapshot",
        "share.coordinator.state.topic.compression.codec",
        "share.coordinator.state.topic.num.partitions",
        "share.coordinator.state.topic.prune.interval.ms",
        "share.coordinator.state.topic.segment.bytes",
        "share.coordinator.threads",
        "share.coordinator.write.timeout.ms",
        "share.fetch.purgatory.purge.interval.requests",
    ),
    LIST: (
        "cordoned.log.dirs",
        "group.share.assignors",
    ),
    LONG: (
        "controller.performance.always.log.threshold.ms",
        "controller.performance.sample.period.ms",
        "internal.metadata.delete.delay.millis",
        "remote.list.offsets.request.timeout.ms",
        "remote.log.index.file.cache.ttl.ms",
    ),
    PASSWORD: (
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "sasl.oauthbearer.client.credentials.client.secret",
    ),
    SHORT: (
        "share.coordinator.state.topic.min.isr",
        "share.coordinator.state.topic.replication.factor",
    ),
    STRING: (
        "group.share.persister.class.name",
        "sasl.oauthbearer.assertion.algorithm",
        "sasl.oauthbearer.assertion.claim.aud",
        "sasl.oauthbearer.assertion.claim.iss",
        "sasl.oauthbearer.assertion.claim.sub",
        "sasl.oauthbearer.assertion.file",
        "sasl.oauthbearer.assertion.private.key.file",
        "sasl.oauthbearer.assertion.template.file",
        "sasl.oauthbearer.client.credentials.client.id",
        "sasl.oauthbearer.scope",
    ),
}

_EARLIER_KAFKA_3: Final = ("unstable.metadata.versions.enable", "zookeeper.sync.time.ms")

_AUTHORIZERS: Final = (
    "authorizer.zookeeper.url",
    "authorizer.zookeeper.connection.timeout.ms",
    "authorizer.zookeeper.session.timeout.ms",
    "authorizer.zookeeper.max.in.flight.requests",
)

# Kafka's authorizers define them, not the broker.
_OF_ACCESS: Final = (
    ConfigKey("super.users", STRING, None, "Who is above access rules: User:name, separated by semicolons."),
    ConfigKey(
        "allow.everyone.if.no.acl.found",
        BOOLEAN,
        "false",
        "Whether a resource that no access rule names is open to everybody.",
    ),
)

# Kafka 3.9 does not have them, nor the protocol of transactions that they are about.
_ADDITIONS_TO_TRANSACTIONS: Final = (
    ConfigKey(
        "add.partitions.to.txn.retry.backoff.ms",
        INT,
        "20",
        "How long a leader waits before it asks again for a partition to join a transaction.",
        check=AtLeast(1),
    ),
    ConfigKey(
        "add.partitions.to.txn.retry.backoff.max.ms",
        INT,
        "100",
        "For how long a leader goes on asking for a partition to join a transaction.",
        check=AtLeast(0),
    ),
)

_THROTTLES: Final = (
    "leader.replication.throttled.rate",
    "follower.replication.throttled.rate",
    "replica.alter.log.dirs.io.max.bytes.per.second",
)

KEYS: Final = (
    *(
        ConfigKey(name, kind, None, "A key of Kafka 4.x.", unused=Unused.OTHER_RELEASE)
        for kind, names in _KAFKA_4.items()
        for name in names
    ),
    *(
        ConfigKey(name, STRING, None, "A key of an earlier Kafka 3.x.", unused=Unused.OTHER_RELEASE)
        for name in _EARLIER_KAFKA_3
    ),
    *_ADDITIONS_TO_TRANSACTIONS,
    *(
        ConfigKey(
            name,
            LONG,
            None,
            "Most bytes a second of throttled replicas.",
            check=AtLeast(0),
            unused=None if name.endswith(".throttled.rate") else Unused.REPLICATION,
        )
        for name in _THROTTLES
    ),
    *_OF_ACCESS,
    *(
        ConfigKey(name, STRING, None, "A key of Kafka's authorizer.", unused=Unused.RULES_ELSEWHERE)
        for name in _AUTHORIZERS
    ),
)

# Families of keys whose names nobody can list. A plugin's value may be a secret, so all are treated as such.
PREFIXES: Final[dict[str, Unused]] = {
    "rsm.config.": Unused.TIERED,
    "rlmm.config.": Unused.TIERED,
    "metrics.context.": Unused.METRICS,
    "confluent.": Unused.JAVA,
}

# Keys that Kafka had before 3.0, with what took their place.
ADVICE: Final = {
    "host.name": "set listeners",
    "port": "set listeners",
    "advertised.host.name": "set advertised.listeners",
    "advertised.port": "set advertised.listeners",
    "quota.producer.default": "Kafka 3.0 removed it",
    "quota.consumer.default": "Kafka 3.0 removed it",
    "log.cleanup.interval.mins": "set log.retention.check.interval.ms",
}
