"""What this broker follows: how far behind it is, and what has become of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.server.observability.exposition import Family, counter, gauge

if TYPE_CHECKING:
    from fastlog.replication.fetchers import FetcherManager
    from fastlog.replication.leader_throttle import LeaderThrottle

__all__ = ["replication_families"]


def replication_families(fetchers: FetcherManager, throttle: LeaderThrottle | None) -> list[Family]:
    """Totals: of low cardinality. Lag is in records, up to the leader's high watermark.

    `throttle` is that of what this broker leads.
    """
    stats = fetchers.stats
    return [
        *([] if throttle is None else _throttle_families(throttle)),
        gauge(
            "fastlog_followed_partitions",
            "Partitions that are fetched from their leaders.",
            lambda: fetchers.followed,
        ),
        gauge(
            "fastlog_follower_failed_partitions",
            "Partitions that are followed no more until their next leader epoch.",
            lambda: len(stats.failed),
        ),
        gauge(
            "fastlog_follower_max_lag_records",
            "Records that the partition furthest behind its leader's high watermark lacks.",
            fetchers.max_lag,
        ),
        counter("fastlog_follower_fetches", "Answers of leaders.", lambda: stats.requests),
        counter("fastlog_follower_bytes", "Record bytes of these answers.", lambda: stats.bytes),
        counter(
            "fastlog_follower_damaged_batches",
            "Answers about a partition with a damaged batch, which is asked for again.",
            lambda: stats.damaged,
        ),
        counter(
            "fastlog_follower_truncations",
            "Logs that were cut to what their leaders have.",
            lambda: stats.truncations,
        ),
        counter(
            "fastlog_follower_connection_failures",
            "Fetches that failed with their connection, and connections that could not be made.",
            lambda: stats.connection_failures,
        ),
    ]


def _throttle_families(throttle: LeaderThrottle) -> list[Family]:
    return [
        counter(
            "fastlog_leader_throttled_bytes",
            "Record bytes of throttled partitions that followers got from this broker.",
            lambda: throttle.bytes,
        ),
        counter(
            "fastlog_leader_throttled_reads",
            "Looks at a partition of which a follower out of sync got nothing, as the rate was used up.",
            lambda: throttle.held,
        ),
    ]
