"""Logs, log directories and what is done to them in the background."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from fastlog.server.observability.exposition import Family, Kind, Sample, counter, gauge, labels, pulse
from fastlog.server.observability.metric_sources import STRIDE

if TYPE_CHECKING:
    from pathlib import Path

    from fastlog.server.observability.disk_space import DiskSpace
    from fastlog.server.requests.context import BrokerServices
    from fastlog.storage.cleaner_stats import CleanerStats
    from fastlog.storage.housekeeping import HousekeepingStats
    from fastlog.storage.log_manager import LogManager
    from fastlog.storage.partitions import OpenPartition

__all__ = ["cleaner_families", "housekeeping_families", "partition_families", "storage_families"]

LATE_MS: Final = 300_000
"""How long after `transaction.max.timeout.ms` an open transaction counts as late, as in Kafka (KIP-664)."""


class LogCensus:
    """Sums over all open logs, taken once per scrape."""

    def __init__(self, services: BrokerServices) -> None:
        self._services = services
        self.under_replicated = 0
        self.under_min_isr = 0
        self.at_min_isr = 0
        self.led = 0
        self.late_transactions = 0
        self.oldest_transaction_ms = 0
        self.sizes: defaultdict[Path, int] = defaultdict(int)
        self.unflushed: defaultdict[Path, int] = defaultdict(int)
        self.counts: defaultdict[Path, int] = defaultdict(int)
        self.topic_sizes: defaultdict[str, int] = defaultdict(int)

    def take(self) -> Iterator[Sample]:
        """Goes through all partitions; yields pulses only."""
        for index, entry in enumerate(self._services.logs.table):
            if not index % STRIDE:
                yield pulse()
            path, log = entry.directory.path, entry.log
            size = log.size_bytes
            self.counts[path] += 1
            self.sizes[path] += size
            self.topic_sizes[entry.topic] += size
            self.unflushed[path] += log.unflushed_bytes
        now_ms = self._services.clock.now_ms()
        late_ms = self._services.config.transaction_max_timeout_ms + LATE_MS
        for index, replica in enumerate(self._services.replicas):
            if not index % STRIDE:
                yield pulse()
            if replica.is_leader:
                since_ms = replica.log.open_transaction_since(now_ms)
                if since_ms is not None:
                    self.late_transactions += now_ms - since_ms > late_ms
                    self.oldest_transaction_ms = max(self.oldest_transaction_ms, now_ms - since_ms)
                members = len(replica.in_sync)
                self.led += 1
                self.under_replicated += members <= len(replica.followers)
                self.under_min_isr += members < replica.least_in_sync
                self.at_min_isr += members == replica.least_in_sync


def storage_families(services: BrokerServices, disks: DiskSpace | None) -> list[Family]:
    """Totals: of low cardinality, always there."""
    logs, in_sync_sets = services.logs, services.in_sync_sets
    census = LogCensus(services)

    def partitions() -> Iterator[Sample]:
        yield from census.take()
        yield '{state="online"}', len(logs.table)
        yield '{state="offline"}', len(logs.table.closed)

    families = [
        # The first of them takes the census for those that follow.
        Family("fastlog_partitions", Kind.GAUGE, "Partitions of this broker, by state.", partitions),
        gauge(
            "fastlog_under_replicated_partitions",
            "Partitions led here with fewer in-sync replicas than replicas.",
            lambda: census.under_replicated,
        ),
        gauge(
            "fastlog_under_min_isr_partitions",
            "Partitions led here with fewer in-sync replicas than min.insync.replicas: acks=all fails.",
            lambda: census.under_min_isr,
        ),
        gauge(
            "fastlog_at_min_isr_partitions",
            "Partitions led here with exactly as many in-sync replicas as acks=all needs.",
            lambda: census.at_min_isr,
        ),
        gauge("fastlog_led_partitions", "Partitions led here.", lambda: census.led),
        gauge(
            "fastlog_late_transaction_partitions",
            "Partitions led here with a transaction that is open for longer than any may be: it hangs.",
            lambda: census.late_transactions,
        ),
        gauge(
            "fastlog_log_oldest_transaction_seconds",
            "For how long the oldest transaction has been seen open in a log that is led here.",
            lambda: census.oldest_transaction_ms / 1000,
        ),
        Family(
            "fastlog_isr_changes",
            Kind.COUNTER,
            "Changes of in-sync sets that this broker asked the controller for, by outcome.",
            lambda: [
                ('{change="shrunk"}', in_sync_sets.shrinks),
                ('{change="expanded"}', in_sync_sets.expansions),
                ('{change="refused"}', in_sync_sets.failures),
            ],
        ),
        Family(
            "fastlog_topic_size_bytes",
            Kind.GAUGE,
            "Size of the logs of a topic on this broker.",
            lambda: ((labels(topic=name), size) for name, size in sorted(census.topic_sizes.items())),
        ),
        _per_directory(logs, "fastlog_log_dir_online", "1 while a log directory works.", _online),
        _per_directory(
            logs,
            "fastlog_log_dir_partitions",
            "Open partitions in a log directory.",
            lambda path, _: census.counts[path],
        ),
        _per_directory(
            logs,
            "fastlog_log_dir_size_bytes",
            "Size of all logs in a log directory.",
            lambda path, _: census.sizes[path],
        ),
        _per_directory(
            logs,
            "fastlog_log_dir_unflushed_bytes",
            "Appended bytes that are not known to be on the disk: what a start after a crash checks.",
            lambda path, _: census.unflushed[path],
        ),
    ]
    if disks is not None:
        families += [
            _per_disk(disks, "fastlog_log_dir_free_bytes", "Bytes that may still be written to its disk.", 0),
            _per_disk(disks, "fastlog_log_dir_capacity_bytes", "Size of the disk of a log directory.", 1),
        ]
    return [
        *families,
        *housekeeping_families(logs.housekeeping.stats),
        *scrub_families(logs),
        *cleaner_families(logs.cleaner.stats),
    ]


def partition_families(services: BrokerServices) -> list[Family]:
    """One series per partition (fastlog.metrics.per.partition)."""
    logs = services.logs
    return [
        _per_partition(logs, "fastlog_log_size_bytes", "Size of a log.", lambda entry: entry.log.size_bytes),
        _per_partition(
            logs, "fastlog_log_segments", "Segments of a log.", lambda entry: entry.log.segment_count
        ),
        _per_partition(
            logs,
            "fastlog_log_end_offset",
            "Offset of the next record of a log; consumers see kafka_topic_partition_current_offset.",
            lambda entry: entry.log.log_end_offset,
        ),
        _per_partition(
            logs,
            "fastlog_log_unflushed_bytes",
            "Appended bytes of a log that are not known to be on the disk.",
            lambda entry: entry.log.unflushed_bytes,
        ),
    ]


def housekeeping_families(stats: HousekeepingStats) -> list[Family]:
    """What the background passes did."""
    return [
        counter(
            "fastlog_retention_removed_segments",
            "Segments that retention removed.",
            lambda: stats.retired_segments,
        ),
        counter(
            "fastlog_deleted_entries",
            "Deleted segments and partition directories whose files are gone.",
            lambda: stats.removals,
        ),
        counter(
            "fastlog_expired_producers",
            "Idempotent producers that were forgotten after a long silence.",
            lambda: stats.expired_producers,
        ),
        Family(
            "fastlog_checkpoints",
            Kind.COUNTER,
            "Checkpoints of a log directory, by result.",
            lambda: [
                ('{result="written"}', stats.checkpoints),
                ('{result="failed"}', stats.failed_checkpoints),
            ],
        ),
    ]


def scrub_families(logs: LogManager) -> list[Family]:
    """Damage, and how far the search for it is."""
    stats = logs.scrubber.stats
    return [
        counter(
            "fastlog_damaged_partitions",
            "Partitions that were taken offline because bytes of them are not what was written.",
            lambda: logs.failures.damaged,
        ),
        counter("fastlog_scrub_read_bytes", "Bytes that the scrub has read.", lambda: stats.bytes),
        counter("fastlog_scrub_passes", "Scrubs of all logs that came to their end.", lambda: stats.passes),
        gauge(
            "fastlog_scrub_age_seconds",
            "Time since the last scrub that has ended began, or the broker: all was read since then.",
            lambda: logs.scrubber.age_seconds,
        ),
    ]


def cleaner_families(stats: CleanerStats) -> list[Family]:
    """What compaction did."""
    return [
        counter("fastlog_cleaner_runs", "Compactions of a log that came to their end.", lambda: stats.runs),
        counter("fastlog_cleaner_interrupted", "Compactions that were given up.", lambda: stats.interrupted),
        counter("fastlog_cleaner_read_bytes", "Bytes of the segments compacted.", lambda: stats.bytes_read),
        counter("fastlog_cleaner_kept_bytes", "Bytes that stayed of these.", lambda: stats.bytes_kept),
        counter(
            "fastlog_cleaner_read_records", "Records of the segments compacted.", lambda: stats.records_read
        ),
        counter("fastlog_cleaner_kept_records", "Records that stayed of these.", lambda: stats.records_kept),
        counter(
            "fastlog_cleaner_throttled_seconds",
            "Time that compactions slept because of log.cleaner.io.max.bytes.per.second.",
            lambda: stats.throttled_seconds,
        ),
        gauge("fastlog_cleaner_running", "Logs that are being compacted.", lambda: stats.running),
        gauge(
            "fastlog_cleaner_uncleanable_logs",
            "Logs that are left alone because their compaction failed.",
            lambda: len(stats.uncleanable),
        ),
        gauge(
            "fastlog_cleaner_max_dirty_ratio",
            "Largest share of a log that is not compacted, at the last look.",
            lambda: stats.max_dirty_ratio,
        ),
        gauge(
            "fastlog_cleaner_last_duration_seconds",
            "How long the last compaction took.",
            lambda: stats.last_duration_seconds,
        ),
        gauge(
            "fastlog_cleaner_last_run_timestamp_seconds",
            "When the last compaction ended, in Unix time; 0 before the first.",
            lambda: stats.last_run_ms / 1000,
        ),
        gauge(
            "fastlog_cleaner_peak_map_bytes",
            "Largest memory that the offset map of a compaction took.",
            lambda: stats.peak_map_bytes,
        ),
    ]


def _online(path: Path, logs: LogManager) -> int:
    return int(any(entry.online for entry in logs.directories if entry.path == path))


def _per_directory(
    logs: LogManager, name: str, text: str, value: Callable[[Path, LogManager], int]
) -> Family:
    return Family(
        name,
        Kind.GAUGE,
        text,
        lambda: [(labels(log_dir=entry.path), value(entry.path, logs)) for entry in logs.directories],
    )


def _per_disk(disks: DiskSpace, name: str, text: str, field: int) -> Family:
    return Family(
        name,
        Kind.GAUGE,
        text,
        lambda: [(labels(log_dir=path), room[field]) for path, room in disks.rooms.items()],
    )


def _per_partition(logs: LogManager, name: str, text: str, value: Callable[[OpenPartition], int]) -> Family:
    def samples() -> Iterator[Sample]:
        for entry in logs.table:
            yield f'{{topic="{entry.topic}",partition="{entry.partition}"}}', value(entry)

    return Family(name, Kind.GAUGE, text, samples)
