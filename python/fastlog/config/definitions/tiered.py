"""Tiered storage."""

from __future__ import annotations

from typing import Final

from fastlog.config.checks import AtLeast, Between
from fastlog.config.definitions.vocabulary import (
    BOOLEAN,
    CLUSTER_WIDE,
    DOUBLE,
    INT,
    LONG,
    LOW,
    STRING,
    without_effect,
)
from fastlog.config.keys import ConfigKey, Unused

__all__ = ["KEYS"]

KEYS: Final = (
    *without_effect(
        Unused.TIERED,
        ConfigKey("remote.log.storage.system.enable", BOOLEAN, "false", "Whether tiered storage is on."),
        ConfigKey("remote.log.storage.manager.class.name", STRING, None, "Java class of the storage plugin."),
        ConfigKey("remote.log.storage.manager.class.path", STRING, None, "Class path of the storage plugin."),
        ConfigKey(
            "remote.log.storage.manager.impl.prefix",
            STRING,
            "rsm.config.",
            "Prefix of the storage plugin's own keys.",
        ),
        ConfigKey(
            "remote.log.metadata.manager.class.name",
            STRING,
            "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager",
            "Java class of the metadata plugin.",
        ),
        ConfigKey(
            "remote.log.metadata.manager.class.path", STRING, None, "Class path of the metadata plugin."
        ),
        ConfigKey(
            "remote.log.metadata.manager.impl.prefix",
            STRING,
            "rlmm.config.",
            "Prefix of the metadata plugin's own keys.",
        ),
        ConfigKey(
            "remote.log.metadata.manager.listener.name",
            STRING,
            None,
            "Listener that the metadata plugin connects to.",
        ),
        ConfigKey(
            "remote.log.metadata.custom.metadata.max.bytes",
            INT,
            "128",
            "Most bytes of a plugin's own segment metadata.",
            LOW,
            check=AtLeast(0),
        ),
        ConfigKey(
            "remote.log.index.file.cache.total.size.bytes",
            LONG,
            "1073741824",
            "Disk space for cached indexes.",
            LOW,
            check=AtLeast(1),
            update=CLUSTER_WIDE,
        ),
        ConfigKey(
            "remote.log.manager.thread.pool.size",
            INT,
            "10",
            "Threads of the tiering tasks.",
            check=AtLeast(1),
        ),
        ConfigKey("remote.log.manager.copier.thread.pool.size", INT, "-1", "Threads that copy segments."),
        ConfigKey(
            "remote.log.manager.expiration.thread.pool.size",
            INT,
            "-1",
            "Threads that delete remote segments.",
        ),
        ConfigKey(
            "remote.log.manager.task.interval.ms",
            LONG,
            "30000",
            "Pause between tiering tasks.",
            LOW,
            check=AtLeast(1),
        ),
        ConfigKey(
            "remote.log.manager.task.retry.backoff.ms",
            LONG,
            "500",
            "First pause after a failed task.",
            LOW,
            check=AtLeast(1),
            internal=True,
        ),
        ConfigKey(
            "remote.log.manager.task.retry.backoff.max.ms",
            LONG,
            "30000",
            "Longest pause after a failed task.",
            LOW,
            check=AtLeast(1),
            internal=True,
        ),
        ConfigKey(
            "remote.log.manager.task.retry.jitter",
            DOUBLE,
            "0.2",
            "Random share added to these pauses.",
            LOW,
            check=Between(0, 0.5),
            internal=True,
        ),
        ConfigKey(
            "remote.log.manager.copy.max.bytes.per.second",
            LONG,
            "9223372036854775807",
            "Bound on copying to remote storage.",
            check=AtLeast(1),
            update=CLUSTER_WIDE,
        ),
        ConfigKey(
            "remote.log.manager.copy.quota.window.num", INT, "11", "Samples of that bound.", check=AtLeast(1)
        ),
        ConfigKey(
            "remote.log.manager.copy.quota.window.size.seconds",
            INT,
            "1",
            "Length of such a sample.",
            check=AtLeast(1),
        ),
        ConfigKey(
            "remote.log.manager.fetch.max.bytes.per.second",
            LONG,
            "9223372036854775807",
            "Bound on reading from remote storage.",
            check=AtLeast(1),
            update=CLUSTER_WIDE,
        ),
        ConfigKey(
            "remote.log.manager.fetch.quota.window.num", INT, "11", "Samples of that bound.", check=AtLeast(1)
        ),
        ConfigKey(
            "remote.log.manager.fetch.quota.window.size.seconds",
            INT,
            "1",
            "Length of such a sample.",
            check=AtLeast(1),
        ),
        ConfigKey(
            "remote.log.reader.threads", INT, "10", "Threads that read remote segments.", check=AtLeast(1)
        ),
        ConfigKey(
            "remote.log.reader.max.pending.tasks", INT, "100", "Remote reads that may wait.", check=AtLeast(1)
        ),
        ConfigKey(
            "remote.fetch.max.wait.ms",
            INT,
            "500",
            "How long a fetch waits for remote data.",
            check=AtLeast(1),
            update=CLUSTER_WIDE,
        ),
        ConfigKey(
            "log.local.retention.bytes",
            LONG,
            "-2",
            "Local size of a tiered partition.",
            check=AtLeast(-2),
            update=CLUSTER_WIDE,
        ),
        ConfigKey(
            "log.local.retention.ms",
            LONG,
            "-2",
            "Local age of a tiered partition.",
            check=AtLeast(-2),
            update=CLUSTER_WIDE,
        ),
    ),
)
