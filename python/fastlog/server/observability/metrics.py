"""Counters of the request path, in memory. Plain attributes: `observability` reads them when it is asked."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from typing import Final

from fastlog.base.histogram import Histogram
from fastlog.server.network.software_counts import SoftwareCounts

# Limits at which a connection is not let in. Each counts from 0 on: the first refusal is an increase.
REFUSALS: Final = ("max.connections", "max.connections.per.ip", "connection_creation_rate")
FAILED_AUTHENTICATION: Final = frozenset({"failed handshake", "failed authentication", "not authenticated"})
"""Reasons why connections are closed: those who could not show who they are."""


class RequestTimes:
    """Durations of the requests of one API, in seconds.

    | part    | from                                           | to                                        |
    |---------|------------------------------------------------|-------------------------------------------|
    | total   | the request is taken up                        | its answer is given to the socket         |
    | parked  | it waits for acks, or for data                 | it goes on                                |
    | sending | its answer is there and cannot be sent at once | the last byte is given to the socket      |
    | busy    | what is left of total without the two                                                      |

    A request is taken up when its connection has nothing else in work, so that a client's own pipeline does
    not count, as it does not in Kafka. Most requests are only busy: they are in `direct` alone, the others in
    `late_total` and `late_busy`.
    """

    __slots__ = ("direct", "late_busy", "late_total", "parked", "sending")

    def __init__(self) -> None:
        self.direct = Histogram()
        self.late_total = Histogram()
        self.late_busy = Histogram()
        self.parked = 0.0
        self.sending = 0.0

    def total(self) -> Histogram:
        """All requests, from one end to the other."""
        return self.direct + self.late_total

    def busy(self) -> Histogram:
        """All requests, without waits."""
        return self.direct + self.late_busy


class BrokerMetrics:
    """Totals since the start of the broker.

    `requests` is keyed by API key, `errors` by (API key, error code), `closed` by the reason why the broker
    closed a connection, `refused` by the reason why it did not let one in, `times` by API key,
    `connections_of` by listener, `authentications` by (listener, `success`, `renewal` or `failure`).
    """

    __slots__ = (
        "authentications",
        "bytes_in",
        "bytes_out",
        "closed",
        "connections_accepted",
        "connections_muted",
        "connections_of",
        "connections_open",
        "errors",
        "fetch_bytes",
        "produce_bytes",
        "reads_paused",
        "refused",
        "requests",
        "software",
        "times",
    )

    def __init__(self) -> None:
        self.requests: defaultdict[int, int] = defaultdict(int)
        self.errors: defaultdict[tuple[int, int], int] = defaultdict(int)
        self.closed: defaultdict[str, int] = defaultdict(int)
        self.refused: defaultdict[str, int] = defaultdict(int, dict.fromkeys(REFUSALS, 0))
        self.times: defaultdict[int, RequestTimes] = defaultdict(RequestTimes)
        self.software = SoftwareCounts()
        self.bytes_in = 0
        self.bytes_out = 0
        self.produce_bytes = 0
        self.fetch_bytes = 0
        self.authentications: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.connections_of: defaultdict[str, int] = defaultdict(int)
        self.connections_muted = 0
        self.connections_open = 0
        self.connections_accepted = 0
        self.reads_paused = 0

    def error(self, api_key: int, code: int, count: int = 1) -> None:
        """An error code in a response, `count` times."""
        self.errors[api_key, code] += count

    def answered(self, api_key: int, total: float) -> None:
        """One request was answered without a wait, in `total` seconds."""
        histogram = self.times[api_key].direct
        # Histogram.observe, written out: every request comes here.
        histogram.counts[bisect_left(histogram.bounds, total)] += 1
        histogram.sum += total

    def answered_late(self, api_key: int, total: float, parked: float, sending: float) -> None:
        """One request was answered that was parked, or whose answer had to wait for the socket."""
        times = self.times[api_key]
        times.late_total.observe(total)
        times.late_busy.observe(max(0.0, total - parked - sending))
        times.parked += parked
        times.sending += sending
