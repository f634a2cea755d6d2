"""What storage needs to know of the broker's configuration, with Kafka's property names and defaults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from pathlib import Path

from fastlog.base.quick_dataclass import dataclass
from fastlog.storage.cleaner_settings import CleanerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """Times are milliseconds.

    | field                            | property                                          |
    |----------------------------------|---------------------------------------------------|
    | log_dirs                         | log.dirs, log.dir                                 |
    | recovery_threads                 | num.recovery.threads.per.data.dir                 |
    | retention_check_ms               | log.retention.check.interval.ms                   |
    | initial_delay_ms                 | log.initial.task.delay.ms                         |
    | checkpoint_ms                    | the smaller of log.flush.offset.checkpoint.interval.ms and |
    |                                  | log.flush.start.offset.checkpoint.interval.ms     |
    | producer_expiration_check_ms     | producer.id.expiration.check.interval.ms          |
    | file_delete_delay_ms             | log.segment.delete.delay.ms, for partitions that are not open |
    | allow_data_loss                  | --allow-data-loss                                 |
    | scrub_bytes_per_second           | fastlog.scrub.bytes.per.second                    |
    | scrub_interval_ms                | fastlog.scrub.interval.ms                         |
    | cleaner                          | log.cleaner.*                                     |
    """

    log_dirs: Sequence[Path]
    recovery_threads: int = 2
    retention_check_ms: int = 300_000
    initial_delay_ms: int = 30_000
    checkpoint_ms: int = 60_000
    producer_expiration_check_ms: int = 600_000
    file_delete_delay_ms: int = 60_000
    allow_data_loss: bool = False
    scrub_bytes_per_second: int = 8 * 1024 * 1024
    scrub_interval_ms: int = 604_800_000
    cleaner: CleanerSettings = field(default_factory=CleanerSettings)
    # No Kafka properties: how often failures and due flushes are looked for, files whose delete delay is over
    # are removed, and the reserve is filled.
    watch_ms: int = 1_000
    purge_ms: int = 5_000
    reserve_ms: int = 10_000
