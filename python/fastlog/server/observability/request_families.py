"""Requests, connections and the memory they take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fastlog.errors import ErrorCode
from fastlog.server.observability.exposition import Family, Kind, Sample, counter, gauge, labels
from fastlog.wire import ApiKey

if TYPE_CHECKING:
    from fastlog.server.network.flow_control import RequestMemory
    from fastlog.server.observability.metrics import BrokerMetrics
    from fastlog.server.requests.context import BrokerServices

__all__ = ["memory_families", "request_families"]


def request_families(metrics: BrokerMetrics) -> list[Family]:
    """What `BrokerMetrics` counts."""
    return [
        Family("fastlog_requests", Kind.COUNTER, "Requests taken up, by API.", lambda: _requests(metrics)),
        Family(
            "fastlog_request_errors",
            Kind.COUNTER,
            "Error codes in responses, by API and code; one per partition where codes are per partition.",
            lambda: _errors(metrics),
        ),
        Family(
            "fastlog_request_duration_seconds",
            Kind.HISTOGRAM,
            "Time from taking a request up to having given its answer to the socket, waits included.",
            histograms=lambda: [(_api(key), times.total()) for key, times in sorted(metrics.times.items())],
        ),
        Family(
            "fastlog_request_busy_seconds",
            Kind.HISTOGRAM,
            "The same without the time parked for acks or data, and without waiting for the socket.",
            histograms=lambda: [(_api(key), times.busy()) for key, times in sorted(metrics.times.items())],
        ),
        Family(
            "fastlog_request_stage_seconds",
            Kind.COUNTER,
            "Time of requests by stage: busy, parked (acks, data), sending.",
            lambda: _stages(metrics),
        ),
        counter("fastlog_received_bytes", "Bytes received from clients.", lambda: metrics.bytes_in),
        counter("fastlog_sent_bytes", "Bytes of answers given to sockets.", lambda: metrics.bytes_out),
        counter(
            "fastlog_produced_bytes",
            "Record bytes of produce requests that were appended or tried.",
            lambda: metrics.produce_bytes,
        ),
        counter("fastlog_fetched_bytes", "Record bytes in fetch responses.", lambda: metrics.fetch_bytes),
        gauge("fastlog_connections", "Open client connections.", lambda: metrics.connections_open),
        Family(
            "fastlog_connections_by_software",
            Kind.GAUGE,
            "Open connections by what the client says that it is (ApiVersions from version 3 on).",
            lambda: [
                (labels(listener=kind.listener, name=kind.name, version=kind.version), count)
                for kind, count in metrics.software
            ],
        ),
        counter(
            "fastlog_connections_accepted",
            "Client connections that were let in.",
            lambda: metrics.connections_accepted,
        ),
        Family(
            "fastlog_connections_refused",
            Kind.COUNTER,
            "Connections that were not let in, by the limit that was reached.",
            lambda: [(labels(reason=reason), count) for reason, count in sorted(metrics.refused.items())],
        ),
        Family(
            "fastlog_connections_closed",
            Kind.COUNTER,
            "Connections that the broker closed, by reason.",
            lambda: [(labels(reason=reason), count) for reason, count in sorted(metrics.closed.items())],
        ),
        counter(
            "fastlog_reads_paused",
            "Times that a connection was not read from, to bound memory.",
            lambda: metrics.reads_paused,
        ),
    ]


def memory_families(services: BrokerServices, memory: RequestMemory | None) -> list[Family]:
    """What requests and answers hold, and what waits."""
    responses = services.response_memory
    families = [
        gauge(
            "fastlog_parked_requests",
            "Requests that wait for acks or for data (purgatory).",
            lambda: len(services.purgatory),
        ),
        gauge("fastlog_response_memory_bytes", "Bytes of fetch responses in memory.", lambda: responses.used),
        gauge("fastlog_response_memory_limit_bytes", "Most of these.", lambda: responses.limit),
        gauge(
            "fastlog_response_memory_waiting", "Fetches that wait for such memory.", lambda: responses.waiting
        ),
        gauge("fastlog_fetch_sessions", "Incremental fetch sessions.", lambda: len(services.fetch_sessions)),
        gauge("fastlog_io_jobs", "Reads, appends and flushes under way.", lambda: services.io.pending),
        Family(
            "fastlog_flush_seconds",
            Kind.HISTOGRAM,
            "Time of flushes to disk (fdatasync), from asking for one to its result.",
            histograms=lambda: [("", services.io.flush_seconds)],
        ),
    ]
    if memory is not None:
        families += [
            Family(
                "fastlog_request_memory_bytes",
                Kind.GAUGE,
                "Bytes of requests in memory: whole ones in work, and partial ones that are still arriving.",
                lambda: [
                    ('{state="whole"}', memory.used - memory.unfinished),
                    ('{state="partial"}', memory.unfinished),
                ],
            ),
            gauge(
                "fastlog_request_memory_limit_bytes",
                "Above this sockets are not read (fastlog.max.inflight.bytes).",
                lambda: memory.limit,
            ),
            gauge(
                "fastlog_request_memory_waiting",
                "Connections that are not read for that reason.",
                lambda: memory.waiting,
            ),
        ]
    return families


def _api(key: int) -> str:
    return labels(api=_api_name(key))


def _api_name(key: int) -> str:
    """`API_VERSIONS` -> `ApiVersions`, as Kafka's tools and metrics write it."""
    return "".join(word.capitalize() for word in ApiKey(key).name.split("_"))


def _requests(metrics: BrokerMetrics) -> Iterator[Sample]:
    for key, count in sorted(metrics.requests.items()):
        yield _api(key), count


def _errors(metrics: BrokerMetrics) -> Iterator[Sample]:
    for (key, code), count in sorted(metrics.errors.items()):
        yield labels(api=_api_name(key), error=ErrorCode.of(code).name), count


def _stages(metrics: BrokerMetrics) -> Iterator[Sample]:
    for key, times in sorted(metrics.times.items()):
        name = _api_name(key)
        yield labels(api=name, stage="busy"), times.busy().sum
        yield labels(api=name, stage="parked"), times.parked
        yield labels(api=name, stage="sending"), times.sending
