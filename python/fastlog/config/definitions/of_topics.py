"""Every topic-level key, with the broker keys that give its default (`ServerTopicConfigSynonyms`)."""

from __future__ import annotations

from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.config.checks import (
    GZIP_LEVEL,
    KAFKA_VERSION,
    THROTTLED_REPLICAS,
    AtLeast,
    Between,
    ItemsOf,
    OneOf,
)
from fastlog.config.definitions.own import DURABILITY, DURABILITY_MODES
from fastlog.config.definitions.vocabulary import BOOLEAN, DOUBLE, HIGH, INT, LIST, LONG, LOW, STRING
from fastlog.config.keys import ConfigKey

__all__ = ["TOPIC_KEYS", "TopicKey"]


@dataclass(frozen=True, slots=True)
class TopicKey:
    """A key and its broker-level names, the strongest first: the first one that is set gives the default."""

    key: ConfigKey
    synonyms: tuple[str, ...] = ()


_TABLE: Final = (
    TopicKey(
        ConfigKey(
            "cleanup.policy",
            LIST,
            "delete",
            "What happens to old segments: delete, compact or both.",
            check=ItemsOf(("compact", "delete")),
        ),
        synonyms=("log.cleanup.policy",),
    ),
    TopicKey(
        ConfigKey(
            "compression.type",
            STRING,
            "producer",
            "Codec in which batches are stored; producer keeps them as they came.",
            check=OneOf(("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer")),
        ),
        synonyms=("compression.type",),
    ),
    TopicKey(
        ConfigKey(
            "compression.gzip.level",
            INT,
            "-1",
            "Level when the broker compresses with gzip; -1 is the library's default.",
            check=GZIP_LEVEL,
        ),
        synonyms=("compression.gzip.level",),
    ),
    TopicKey(
        ConfigKey(
            "compression.lz4.level",
            INT,
            "9",
            "Level when the broker compresses with lz4.",
            check=Between(1, 17),
        ),
        synonyms=("compression.lz4.level",),
    ),
    TopicKey(
        ConfigKey(
            "compression.zstd.level",
            INT,
            "3",
            "Level when the broker compresses with zstd.",
            check=Between(-131072, 22),
        ),
        synonyms=("compression.zstd.level",),
    ),
    TopicKey(
        ConfigKey(
            "max.message.bytes", INT, "1048588", "Largest record batch that is accepted.", check=AtLeast(0)
        ),
        synonyms=("message.max.bytes",),
    ),
    TopicKey(
        ConfigKey("min.insync.replicas", INT, "1", "In-sync replicas that acks=all needs.", check=AtLeast(1)),
        synonyms=("min.insync.replicas",),
    ),
    TopicKey(
        ConfigKey(
            "unclean.leader.election.enable",
            BOOLEAN,
            "false",
            "Whether a replica outside the in-sync set may become leader, losing records.",
        ),
        synonyms=("unclean.leader.election.enable",),
    ),
    TopicKey(
        ConfigKey(
            "retention.ms",
            LONG,
            "604800000",
            "Age at which segments are deleted; -1 keeps them for ever.",
            check=AtLeast(-1),
        ),
        synonyms=("log.retention.ms", "log.retention.minutes", "log.retention.hours"),
    ),
    TopicKey(
        ConfigKey(
            "retention.bytes",
            LONG,
            "-1",
            "Size of a partition above which its oldest segments are deleted; -1 sets no bound.",
        ),
        synonyms=("log.retention.bytes",),
    ),
    TopicKey(
        ConfigKey(
            "segment.bytes",
            INT,
            "1073741824",
            "Size at which a segment is closed and the next one begins.",
            check=AtLeast(14),
        ),
        synonyms=("log.segment.bytes",),
    ),
    TopicKey(
        ConfigKey(
            "segment.ms",
            LONG,
            "604800000",
            "Age at which a segment is closed and the next one begins.",
            check=AtLeast(1),
        ),
        synonyms=("log.roll.ms", "log.roll.hours"),
    ),
    TopicKey(
        ConfigKey(
            "segment.jitter.ms",
            LONG,
            "0",
            "Random time taken off segment.ms, so that segments do not roll all at once.",
            check=AtLeast(0),
        ),
        synonyms=("log.roll.jitter.ms", "log.roll.jitter.hours"),
    ),
    TopicKey(
        ConfigKey(
            "segment.index.bytes",
            INT,
            "10485760",
            "Largest offset or time index; a full one closes its segment.",
            check=AtLeast(4),
        ),
        synonyms=("log.index.size.max.bytes",),
    ),
    TopicKey(
        ConfigKey(
            "index.interval.bytes", INT, "4096", "Log bytes between two index entries.", check=AtLeast(0)
        ),
        synonyms=("log.index.interval.bytes",),
    ),
    TopicKey(
        ConfigKey(
            "file.delete.delay.ms",
            LONG,
            "60000",
            "How long a deleted segment's files stay on disk under another name.",
            check=AtLeast(0),
        ),
        synonyms=("log.segment.delete.delay.ms",),
    ),
    TopicKey(
        ConfigKey("preallocate", BOOLEAN, "false", "Whether a new segment gets its disk space at once."),
        synonyms=("log.preallocate",),
    ),
    TopicKey(
        ConfigKey(
            "flush.messages",
            LONG,
            "9223372036854775807",
            "Records after which a partition is flushed to disk.",
            check=AtLeast(1),
        ),
        synonyms=("log.flush.interval.messages",),
    ),
    TopicKey(
        ConfigKey(
            "flush.ms",
            LONG,
            "9223372036854775807",
            "Time after which a partition is flushed to disk.",
            check=AtLeast(0),
        ),
        synonyms=("log.flush.interval.ms", "log.flush.scheduler.interval.ms"),
    ),
    TopicKey(
        ConfigKey(
            "message.timestamp.type",
            STRING,
            "CreateTime",
            "Whether record timestamps are the producer's or the time of the append.",
            check=OneOf(("CreateTime", "LogAppendTime")),
        ),
        synonyms=("log.message.timestamp.type",),
    ),
    TopicKey(
        ConfigKey(
            "message.timestamp.before.max.ms",
            LONG,
            "9223372036854775807",
            "How far a record's timestamp may lie behind the broker's clock.",
            check=AtLeast(0),
        ),
        synonyms=("log.message.timestamp.before.max.ms",),
    ),
    TopicKey(
        ConfigKey(
            "message.timestamp.after.max.ms",
            LONG,
            "9223372036854775807",
            "How far a record's timestamp may lie ahead of the broker's clock.",
            check=AtLeast(0),
        ),
        synonyms=("log.message.timestamp.after.max.ms",),
    ),
    TopicKey(
        ConfigKey(
            "message.timestamp.difference.max.ms",
            LONG,
            "9223372036854775807",
            "Older name for both bounds, used where the newer ones are left at their default.",
            check=AtLeast(0),
        ),
        synonyms=("log.message.timestamp.difference.max.ms",),
    ),
    TopicKey(
        ConfigKey(
            "message.format.version",
            STRING,
            "3.0-IV1",
            "Record format: fastlog writes version 2 only, as Kafka does since 3.0. Has no effect.",
            check=KAFKA_VERSION,
        ),
        synonyms=("log.message.format.version",),
    ),
    TopicKey(
        ConfigKey(
            "message.downconversion.enable",
            BOOLEAN,
            "true",
            "Whether records are rewritten for clients older than 0.11: fastlog never does. Has no effect.",
            LOW,
        ),
        synonyms=("log.message.downconversion.enable",),
    ),
    TopicKey(
        ConfigKey(
            "delete.retention.ms",
            LONG,
            "86400000",
            "How long tombstones stay readable after the compaction that meets them.",
            check=AtLeast(0),
        ),
        synonyms=("log.cleaner.delete.retention.ms",),
    ),
    TopicKey(
        ConfigKey(
            "min.cleanable.dirty.ratio",
            DOUBLE,
            "0.5",
            "A log is compacted when more than this share of its sealed bytes is not compacted yet.",
            check=Between(0, 1),
        ),
        synonyms=("log.cleaner.min.cleanable.ratio",),
    ),
    TopicKey(
        ConfigKey(
            "min.compaction.lag.ms",
            LONG,
            "0",
            "Age before which a record is not compacted.",
            check=AtLeast(0),
        ),
        synonyms=("log.cleaner.min.compaction.lag.ms",),
    ),
    TopicKey(
        ConfigKey(
            "max.compaction.lag.ms",
            LONG,
            "9223372036854775807",
            "Age at which a record is compacted whatever the share; bounds segment.ms too.",
            check=AtLeast(1),
        ),
        synonyms=("log.cleaner.max.compaction.lag.ms",),
    ),
    TopicKey(
        ConfigKey(
            "leader.replication.throttled.replicas",
            LIST,
            "",
            "Replicas whose leader side is throttled.",
            check=THROTTLED_REPLICAS,
        ),
        synonyms=(),
    ),
    TopicKey(
        ConfigKey(
            "follower.replication.throttled.replicas",
            LIST,
            "",
            "Replicas whose follower side is throttled.",
            check=THROTTLED_REPLICAS,
        ),
        synonyms=(),
    ),
    TopicKey(
        ConfigKey(
            "local.retention.bytes",
            LONG,
            "-2",
            "Local size of a tiered partition. Has no effect.",
            check=AtLeast(-2),
        ),
        synonyms=("log.local.retention.bytes",),
    ),
    TopicKey(
        ConfigKey(
            "local.retention.ms",
            LONG,
            "-2",
            "Local age of a tiered partition. Has no effect.",
            check=AtLeast(-2),
        ),
        synonyms=("log.local.retention.ms",),
    ),
    TopicKey(
        ConfigKey(
            "remote.storage.enable", BOOLEAN, "false", "Whether the topic is tiered: only false is supported."
        ),
        synonyms=(),
    ),
    TopicKey(
        ConfigKey(
            "remote.log.copy.disable",
            BOOLEAN,
            "false",
            "Whether tiering stops for the topic: only false is supported.",
        ),
        synonyms=(),
    ),
    TopicKey(
        ConfigKey(
            "remote.log.delete.on.disable",
            BOOLEAN,
            "false",
            "Whether remote data goes when tiering ends: only false is supported.",
        ),
        synonyms=(),
    ),
    TopicKey(
        ConfigKey(
            DURABILITY,
            STRING,
            "pagecache",
            "When a write is acknowledged: pagecache, once the operating system has it, or fsync, once it "
            "is on the disk.",
            HIGH,
            check=OneOf(DURABILITY_MODES),
        ),
        synonyms=(DURABILITY,),
    ),
)

TOPIC_KEYS: Final = {entry.key.name: entry for entry in _TABLE}
"""All topic-level keys of Kafka 3.9 and fastlog's own, by name."""
