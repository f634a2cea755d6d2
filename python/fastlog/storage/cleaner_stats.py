"""What the cleaner has done so far, for metrics and for tests."""

from __future__ import annotations

from dataclasses import field

from fastlog.base.quick_dataclass import dataclass
from fastlog.native import CompactionReport
from fastlog.storage.checkpoints import PartitionKey


@dataclass(slots=True)
class CleanerStats:
    """Counters since the start of the broker, and the state of the last pass. Read on the event loop.

    | field                   | meaning                                                                    |
    |-------------------------|----------------------------------------------------------------------------|
    | runs                    | compactions that came to their end                                         |
    | interrupted             | compactions given up: deletion, another cleanup.policy, retention, shutdown |
    | bytes_read, records_read | what was in the segments that were compacted, over all runs               |
    | bytes_kept, records_kept | what stayed of it                                                         |
    | last_duration_seconds   | time of the last run                                                       |
    | last_run_ms             | when the last run ended, ms since the Unix epoch; 0 before the first       |
    | throttled_seconds       | time that runs slept because of log.cleaner.io.max.bytes.per.second        |
    | max_dirty_ratio         | largest share of uncompacted bytes of any log, at the last look            |
    | last_map_bytes          | memory of the last run's offset map                                        |
    | peak_map_bytes          | the largest of any run                                                     |
    | running                 | logs that are being compacted now                                          |
    | uncleanable             | logs that are left alone because compacting them failed, and why           |
    """

    runs: int = 0
    interrupted: int = 0
    bytes_read: int = 0
    bytes_kept: int = 0
    records_read: int = 0
    records_kept: int = 0
    last_duration_seconds: float = 0.0
    last_run_ms: int = 0
    throttled_seconds: float = 0.0
    max_dirty_ratio: float = 0.0
    last_map_bytes: int = 0
    peak_map_bytes: int = 0
    running: int = 0
    uncleanable: dict[PartitionKey, str] = field(default_factory=dict)

    def add(self, report: CompactionReport, seconds: float, now_ms: int) -> None:
        """Counts a run that came to its end."""
        self.runs += 1
        self.bytes_read += report.bytes_read
        self.bytes_kept += report.bytes_kept
        self.records_read += report.records_read
        self.records_kept += report.records_kept
        self.last_duration_seconds = seconds
        self.last_run_ms = now_ms
        self.throttled_seconds += report.throttled_seconds
        self.last_map_bytes = report.map_memory_bytes
        self.peak_map_bytes = max(self.peak_map_bytes, report.map_memory_bytes)
