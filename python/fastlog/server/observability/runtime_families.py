"""The broker as a program: version, life, event loop; and the process and Python collectors of the client."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from fastlog.base.log_writer import lost_lines
from fastlog.server.observability.exposition import (
    Family,
    Format,
    Kind,
    Sample,
    counter,
    gauge,
    labels,
)
from fastlog.server.observability.health import Phase

if TYPE_CHECKING:
    from fastlog.server.observability.metric_sources import Sources

__all__ = ["process_text", "runtime_families"]


def runtime_families(sources: Sources, version: str) -> list[Family]:
    """What is there from the first moment of the start."""
    health, renderer = sources.health, sources.renderer

    def recovery() -> Iterator[Sample]:
        progress = health.progress
        for path, entry in list(progress.directories.items()) if progress is not None else ():
            yield labels(log_dir=path, state="total"), entry.total
            yield labels(log_dir=path, state="opened"), entry.done

    return [
        Family(
            "fastlog_build_info",
            Kind.GAUGE,
            "Version of the broker and of its Python.",
            lambda: [(labels(version=version, python=sys.version.split(" ", 1)[0]), 1)],
        ),
        gauge("fastlog_ready", "1 while /readyz answers 200.", lambda: int(health.problem is None)),
        Family(
            "fastlog_phase",
            Kind.GAUGE,
            "1 for the phase that the broker is in.",
            lambda: [(labels(phase=phase.value), int(health.phase is phase)) for phase in Phase],
        ),
        gauge(
            "fastlog_startup_seconds",
            "How long the start took, or takes until now.",
            lambda: float(health.seconds_of_start),
        ),
        Family(
            "fastlog_startup_partitions",
            Kind.GAUGE,
            "Partitions that the start opens, and has opened, by log directory.",
            recovery,
        ),
        Family(
            "fastlog_event_loop_lag_seconds",
            Kind.HISTOGRAM,
            "By how much a timer of the event loop came late; ten looks a second.",
            histograms=lambda: [("", sources.loop_lag.histogram)],
        ),
        Family(
            "fastlog_background_failures",
            Kind.COUNTER,
            "How often background work failed and was started again.",
            lambda: [(labels(loop=name), count) for name, count in sorted(sources.tasks.failures.items())],
        ),
        Family(
            "fastlog_background_failing",
            Kind.GAUGE,
            "1 for background work that failed and has not worked again for long.",
            lambda: [
                (labels(loop=name), int(name in sources.tasks.failing))
                for name in sorted(sources.tasks.failures)
            ],
        ),
        counter("fastlog_log_lines_lost", "Lines of the broker's log that could not be written.", lost_lines),
        counter("fastlog_scrapes", "Scrapes of this endpoint.", lambda: renderer.scrapes),
        counter("fastlog_scrape_errors", "Metrics that a scrape could not show.", lambda: renderer.errors),
        gauge(
            "fastlog_scrape_longest_slice_seconds",
            "Longest time that a scrape has held the event loop at a stretch.",
            lambda: renderer.longest_slice,
        ),
    ]


def process_text(style: Format) -> bytes:
    """Memory, CPU, file descriptors and garbage collection, as prometheus_client tells them.

    Blocks for a moment, and at the first call for longer: to be called in a thread.
    """
    # Imported at the first scrape: it takes longer than all the rest of a start.
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.gc_collector import GCCollector
    from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
    from prometheus_client.platform_collector import PlatformCollector
    from prometheus_client.process_collector import ProcessCollector

    write: Callable[[CollectorRegistry], bytes] = generate_latest
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    if style is Format.OPENMETRICS:
        write = generate_openmetrics
    return write(registry).removesuffix(b"# EOF\n")
