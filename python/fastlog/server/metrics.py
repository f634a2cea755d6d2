"""Counters of the request path, in memory. Plain attributes: `observability` reads them when it is asked."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict

from fastlog.histogram import Histogram


class RequestTimes:
    """Durations of the requests of one API, in seconds.

    | field   | from                        | to                                                      |
    |---------|-----------------------------|---------------------------------------------------------|
    | total   | the request is taken up     | the last byte of its answer is given to the socket      |
    | busy    | the same, without `waited` and `sending` |                                            |
    | waited  | it is parked (acks, min_bytes of a fetch) | it goes on                                |
    | sending | its answer is there         | the last byte is given to the socket                    |

    A request is taken up when its connection has nothing else in work, so that a client's own pipeline does
    not count, as it does not in Kafka.
    """

    __slots__ = ("busy", "sending", "total", "waited")

    def __init__(self) -> None:
        self.total = Histogram()
        self.busy = Histogram()
        self.waited = 0.0
        self.sending = 0.0


class BrokerMetrics:
    """Totals since the start of the broker.

    `requests` is keyed by API key, `errors` by (API key, error code), `closed` by the reason why the broker
    closed a connection, `refused` by the reason why it did not let one in, `times` by API key.
    """

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "closed",
        "connections_accepted",
        "connections_open",
        "errors",
        "fetch_bytes",
        "produce_bytes",
        "reads_paused",
        "refused",
        "requests",
        "times",
    )

    def __init__(self) -> None:
        self.requests: defaultdict[int, int] = defaultdict(int)
        self.errors: defaultdict[tuple[int, int], int] = defaultdict(int)
        self.closed: defaultdict[str, int] = defaultdict(int)
        self.refused: defaultdict[str, int] = defaultdict(int)
        self.times: defaultdict[int, RequestTimes] = defaultdict(RequestTimes)
        self.bytes_in = 0
        self.bytes_out = 0
        self.produce_bytes = 0
        self.fetch_bytes = 0
        self.connections_open = 0
        self.connections_accepted = 0
        self.reads_paused = 0

    def error(self, api_key: int, code: int) -> None:
        """One error code in one response."""
        self.errors[api_key, code] += 1

    def answered(self, api_key: int, total: float, waited: float, sending: float) -> None:
        """One request is done: seconds in all, parked, and until the socket took the answer."""
        times = self.times[api_key]
        # Histogram.observe, written out twice: every request comes here.
        busy = total - waited - sending
        histogram = times.total
        histogram.counts[bisect_left(histogram.bounds, total)] += 1
        histogram.sum += total
        histogram = times.busy
        histogram.counts[bisect_left(histogram.bounds, busy)] += 1
        histogram.sum += busy
        times.waited += waited
        times.sending += sending
