"""What compaction needs to know of the broker's and of a topic's configuration."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from fastlog.base.quick_dataclass import dataclass

_UNBOUNDED: Final = 1e300


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanerSettings:
    """Settings of the broker.

    | field                | property                              |
    |----------------------|---------------------------------------|
    | enabled              | log.cleaner.enable                    |
    | threads              | log.cleaner.threads                   |
    | backoff_ms           | log.cleaner.backoff.ms                |
    | dedupe_buffer_bytes  | log.cleaner.dedupe.buffer.size        |
    | load_factor          | log.cleaner.io.buffer.load.factor     |
    | bytes_per_second     | log.cleaner.io.max.bytes.per.second   |
    """

    enabled: bool = True
    threads: int = 1
    backoff_ms: int = 15_000
    dedupe_buffer_bytes: int = 128 * 1024 * 1024
    load_factor: float = 0.9
    bytes_per_second: float = math.inf

    @property
    def map_bytes(self) -> int:
        """Most memory of one thread's offset map."""
        return int(self.dedupe_buffer_bytes // max(1, self.threads) * self.load_factor)

    @property
    def rate(self) -> float | None:
        """`bytes_per_second` as the engine takes it: None is no bound, Kafka's is the largest double."""
        return self.bytes_per_second if self.bytes_per_second < _UNBOUNDED else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionPolicy:
    """Settings of a topic. Times are milliseconds.

    | field                | property                   |
    |----------------------|----------------------------|
    | min_dirty_ratio      | min.cleanable.dirty.ratio  |
    | min_lag_ms           | min.compaction.lag.ms      |
    | max_lag_ms           | max.compaction.lag.ms      |
    | delete_retention_ms  | delete.retention.ms        |
    """

    min_dirty_ratio: float = 0.5
    min_lag_ms: int = 0
    max_lag_ms: int = 2**63 - 1
    delete_retention_ms: int = 86_400_000


# The policy in force for a topic; None when it does not exist (any more). Called on the event loop.
PolicyOf = Callable[[str], CompactionPolicy | None]
# Up to which offset (exclusive) a partition may be compacted: its last stable offset; None: not at all now.
# Called in threads.
CompactionLimit = Callable[[str, int], int | None]
