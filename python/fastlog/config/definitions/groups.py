"""Consumer groups, share groups and committed offsets."""

from __future__ import annotations

from typing import Final

from fastlog.config.checks import AtLeast, Between, ItemsOf, OneOf
from fastlog.config.definitions.vocabulary import (
    BOOLEAN,
    HIGH,
    INT,
    LIST,
    LONG,
    SHORT,
    STRING,
    without_effect,
)
from fastlog.config.keys import ConfigKey, Unused

__all__ = ["KEYS"]

KEYS: Final = (
    ConfigKey(
        "group.initial.rebalance.delay.ms", INT, "3000", "How long a new group waits for more members."
    ),
    ConfigKey("group.min.session.timeout.ms", INT, "6000", "Shortest session timeout a member may ask for."),
    ConfigKey(
        "group.max.session.timeout.ms", INT, "1800000", "Longest session timeout a member may ask for."
    ),
    ConfigKey("group.max.size", INT, "2147483647", "Most members of a group.", check=AtLeast(1)),
    ConfigKey("offset.metadata.max.bytes", INT, "4096", "Longest metadata text of an offset commit.", HIGH),
    ConfigKey(
        "offsets.commit.timeout.ms",
        INT,
        "5000",
        "How long an offset commit waits for these acks.",
        HIGH,
        check=AtLeast(1),
    ),
    ConfigKey(
        "offsets.load.buffer.size",
        INT,
        "5242880",
        "Read size when offsets are loaded.",
        HIGH,
        check=AtLeast(1),
    ),
    ConfigKey(
        "offsets.retention.minutes",
        INT,
        "10080",
        "How long the offsets of an empty group are kept.",
        HIGH,
        check=AtLeast(1),
    ),
    ConfigKey(
        "offsets.retention.check.interval.ms",
        LONG,
        "600000",
        "How often old offsets are looked for.",
        HIGH,
        check=AtLeast(1),
    ),
    ConfigKey(
        "offsets.topic.compression.codec",
        INT,
        "0",
        "Codec number of the offsets topic.",
        HIGH,
        check=Between(0, 4),
    ),
    ConfigKey(
        "offsets.topic.num.partitions",
        INT,
        "50",
        "Partitions of the offsets topic.",
        HIGH,
        check=AtLeast(1),
    ),
    ConfigKey(
        "offsets.topic.replication.factor",
        SHORT,
        "3",
        "Replicas of the offsets topic.",
        HIGH,
        check=AtLeast(1),
    ),
    ConfigKey(
        "offsets.topic.segment.bytes",
        INT,
        "104857600",
        "Segment size of the offsets topic.",
        HIGH,
        check=AtLeast(1),
    ),
    *without_effect(
        Unused.MODEL,
        ConfigKey(
            "group.coordinator.new.enable",
            BOOLEAN,
            "false",
            "Whether Kafka's newer coordinator runs.",
            internal=True,
        ),
        ConfigKey("group.coordinator.threads", INT, "1", "Threads of the coordinator.", check=AtLeast(1)),
        ConfigKey(
            "group.coordinator.append.linger.ms",
            INT,
            "10",
            "How long the coordinator gathers writes.",
            check=AtLeast(0),
        ),
        ConfigKey("offsets.commit.required.acks", SHORT, "-1", "Acks that an offset commit waits for.", HIGH),
    ),
    ConfigKey(
        "group.coordinator.rebalance.protocols",
        LIST,
        "classic,consumer",
        "Group protocols that are served.",
        # Files of Kafka 4 name "streams" too, which is not served here.
        check=ItemsOf(("consumer", "classic", "share", "streams", "unknown")),
    ),
    ConfigKey(
        "group.consumer.assignors",
        LIST,
        "org.apache.kafka.coordinator.group.assignor.UniformAssignor,org.apache.kafka.coordinator.group.assignor.RangeAssignor",
        "Server-side assignors of the consumer protocol (KIP-848).",
    ),
    ConfigKey(
        "group.consumer.heartbeat.interval.ms",
        INT,
        "5000",
        "Heartbeat interval of the consumer protocol.",
        check=AtLeast(1),
    ),
    ConfigKey(
        "group.consumer.min.heartbeat.interval.ms",
        INT,
        "5000",
        "Shortest heartbeat interval of the consumer protocol.",
        check=AtLeast(1),
    ),
    ConfigKey(
        "group.consumer.max.heartbeat.interval.ms",
        INT,
        "15000",
        "Longest heartbeat interval of the consumer protocol.",
        check=AtLeast(1),
    ),
    ConfigKey(
        "group.consumer.session.timeout.ms",
        INT,
        "45000",
        "Session timeout of the consumer protocol.",
        check=AtLeast(1),
    ),
    ConfigKey(
        "group.consumer.min.session.timeout.ms",
        INT,
        "45000",
        "Shortest session timeout of the consumer protocol.",
        check=AtLeast(1),
    ),
    ConfigKey(
        "group.consumer.max.session.timeout.ms",
        INT,
        "60000",
        "Longest session timeout of the consumer protocol.",
        check=AtLeast(1),
    ),
    ConfigKey(
        "group.consumer.max.size",
        INT,
        "2147483647",
        "Most members of a group of the consumer protocol.",
        check=AtLeast(1),
    ),
    ConfigKey(
        "group.consumer.migration.policy",
        STRING,
        "bidirectional",
        "How groups move between the two protocols.",
        check=OneOf(("disabled", "downgrade", "upgrade", "bidirectional"), ignore_case=True),
        internal=True,
    ),
    *without_effect(
        Unused.SHARE,
        ConfigKey(
            "group.share.enable",
            BOOLEAN,
            "false",
            "Whether share groups (KIP-932) are served.",
            internal=True,
        ),
        ConfigKey("group.share.max.groups", SHORT, "10", "Most share groups.", check=Between(1, 100)),
        ConfigKey(
            "group.share.max.size", SHORT, "200", "Most members of a share group.", check=Between(10, 1000)
        ),
        ConfigKey(
            "group.share.delivery.count.limit",
            INT,
            "5",
            "Most deliveries of a record to a share group.",
            check=Between(2, 10),
        ),
        ConfigKey(
            "group.share.partition.max.record.locks",
            INT,
            "200",
            "Most locked records of a share partition.",
            check=Between(100, 10_000),
        ),
        ConfigKey(
            "group.share.record.lock.duration.ms",
            INT,
            "30000",
            "How long a share group locks a record.",
            check=Between(1000, 60_000),
        ),
        ConfigKey(
            "group.share.min.record.lock.duration.ms",
            INT,
            "15000",
            "Shortest such lock.",
            check=Between(1000, 30_000),
        ),
        ConfigKey(
            "group.share.max.record.lock.duration.ms",
            INT,
            "60000",
            "Longest such lock.",
            check=Between(30_000, 3_600_000),
        ),
        ConfigKey(
            "group.share.heartbeat.interval.ms",
            INT,
            "5000",
            "Heartbeat interval of share groups.",
            check=AtLeast(1),
        ),
        ConfigKey(
            "group.share.min.heartbeat.interval.ms",
            INT,
            "5000",
            "Shortest heartbeat interval of share groups.",
            check=AtLeast(1),
        ),
        ConfigKey(
            "group.share.max.heartbeat.interval.ms",
            INT,
            "15000",
            "Longest heartbeat interval of share groups.",
            check=AtLeast(1),
        ),
        ConfigKey(
            "group.share.session.timeout.ms",
            INT,
            "45000",
            "Session timeout of share groups.",
            check=AtLeast(1),
        ),
        ConfigKey(
            "group.share.min.session.timeout.ms",
            INT,
            "45000",
            "Shortest session timeout of share groups.",
            check=AtLeast(1),
        ),
        ConfigKey(
            "group.share.max.session.timeout.ms",
            INT,
            "60000",
            "Longest session timeout of share groups.",
            check=AtLeast(1),
        ),
    ),
)
