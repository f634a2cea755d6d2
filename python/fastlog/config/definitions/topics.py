"""Creating, deleting and reading topics."""

from __future__ import annotations

from typing import Final

from fastlog.config.checks import GZIP_LEVEL, AtLeast, Between, OneOf
from fastlog.config.definitions.vocabulary import (
    BOOLEAN,
    CLASS,
    CLUSTER_WIDE,
    HIGH,
    INT,
    LOW,
    STRING,
    without_effect,
)
from fastlog.config.keys import ConfigKey, Unused

__all__ = ["KEYS"]

KEYS: Final = (
    ConfigKey(
        "auto.create.topics.enable",
        BOOLEAN,
        "true",
        "Whether a metadata request for an unknown topic creates it.",
        HIGH,
    ),
    ConfigKey(
        "num.partitions", INT, "1", "Partitions of a topic when its creator does not say.", check=AtLeast(1)
    ),
    ConfigKey("default.replication.factor", INT, "1", "Replicas of a topic when its creator does not say."),
    ConfigKey(
        "min.insync.replicas",
        INT,
        "1",
        "In-sync replicas that acks=all needs.",
        HIGH,
        check=AtLeast(1),
        update=CLUSTER_WIDE,
    ),
    ConfigKey("delete.topic.enable", BOOLEAN, "true", "Whether topics can be deleted.", HIGH),
    ConfigKey(
        "message.max.bytes",
        INT,
        "1048588",
        "Largest record batch that is accepted.",
        HIGH,
        check=AtLeast(0),
        update=CLUSTER_WIDE,
    ),
    ConfigKey(
        "compression.type",
        STRING,
        "producer",
        "Codec in which batches are stored; producer keeps them as they came.",
        HIGH,
        check=OneOf(("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer")),
        update=CLUSTER_WIDE,
    ),
    ConfigKey(
        "compression.gzip.level",
        INT,
        "-1",
        "Level when the broker compresses with gzip; -1 is the library's default.",
        check=GZIP_LEVEL,
        update=CLUSTER_WIDE,
    ),
    ConfigKey(
        "compression.lz4.level",
        INT,
        "9",
        "Level when the broker compresses with lz4.",
        check=Between(1, 17),
        update=CLUSTER_WIDE,
    ),
    ConfigKey(
        "compression.zstd.level",
        INT,
        "3",
        "Level when the broker compresses with zstd.",
        check=Between(-131072, 22),
        update=CLUSTER_WIDE,
    ),
    ConfigKey(
        "fetch.max.bytes", INT, "57671680", "Most record bytes in one fetch answer.", check=AtLeast(1024)
    ),
    ConfigKey(
        "max.incremental.fetch.session.cache.slots",
        INT,
        "1000",
        "Fetch sessions kept at once.",
        check=AtLeast(0),
    ),
    *without_effect(
        Unused.JAVA,
        ConfigKey("create.topic.policy.class.name", CLASS, None, "Java class that may veto new topics.", LOW),
        ConfigKey(
            "alter.config.policy.class.name", CLASS, None, "Java class that may veto config changes.", LOW
        ),
    ),
    *without_effect(
        Unused.MODEL,
        ConfigKey(
            "fetch.purgatory.purge.interval.requests", INT, "1000", "When finished waiting fetches are swept."
        ),
        ConfigKey(
            "producer.purgatory.purge.interval.requests",
            INT,
            "1000",
            "When finished waiting produces are swept.",
        ),
        ConfigKey(
            "delete.records.purgatory.purge.interval.requests",
            INT,
            "1",
            "When finished waiting deletions are swept.",
        ),
    ),
)
