"""Transactions."""

from __future__ import annotations

from typing import Final

from fastlog.config.checks import AtLeast
from fastlog.config.definitions.vocabulary import BOOLEAN, CLUSTER_WIDE, HIGH, INT, LOW, SHORT
from fastlog.config.keys import ConfigKey

__all__ = ["KEYS"]

KEYS: Final = (
    ConfigKey(
        "transaction.max.timeout.ms",
        INT,
        "900000",
        "Longest timeout a transaction may ask for.",
        HIGH,
        check=AtLeast(1),
    ),
    ConfigKey(
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        INT,
        "10000",
        "How often timed-out transactions are aborted.",
        LOW,
        check=AtLeast(1),
    ),
    ConfigKey(
        "transaction.remove.expired.transaction.cleanup.interval.ms",
        INT,
        "3600000",
        "How often unused transactional ids are removed.",
        LOW,
        check=AtLeast(1),
    ),
    ConfigKey(
        "transaction.partition.verification.enable",
        BOOLEAN,
        "true",
        "Whether a partition's part in a transaction is verified before the first write (KIP-890).",
        LOW,
        update=CLUSTER_WIDE,
    ),
    ConfigKey(
        "transaction.state.log.load.buffer.size",
        INT,
        "5242880",
        "Read size when transaction state is loaded.",
        HIGH,
        check=AtLeast(1),
    ),
    ConfigKey(
        "transaction.state.log.min.isr",
        INT,
        "2",
        "min.insync.replicas of the transaction topic.",
        HIGH,
        check=AtLeast(1),
    ),
    ConfigKey(
        "transaction.state.log.num.partitions",
        INT,
        "50",
        "Partitions of the transaction topic.",
        HIGH,
        check=AtLeast(1),
    ),
    ConfigKey(
        "transaction.state.log.replication.factor",
        SHORT,
        "3",
        "Replicas of the transaction topic.",
        HIGH,
        check=AtLeast(1),
    ),
    ConfigKey(
        "transaction.state.log.segment.bytes",
        INT,
        "104857600",
        "Segment size of the transaction topic.",
        HIGH,
        check=AtLeast(1),
    ),
    ConfigKey(
        "transactional.id.expiration.ms",
        INT,
        "604800000",
        "How long an unused transactional id is remembered.",
        HIGH,
        check=AtLeast(1),
    ),
)
