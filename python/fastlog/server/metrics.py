"""Counters of the request path, in memory. Plain attributes: whoever exports them reads them."""

from __future__ import annotations

from collections import defaultdict


class BrokerMetrics:
    """Totals since the start of the broker.

    `requests` is keyed by API key, `errors` by (API key, error code), `closed` by the reason why the broker
    closed a connection, `refused` by the reason why it did not let one in.
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
    )

    def __init__(self) -> None:
        self.requests: defaultdict[int, int] = defaultdict(int)
        self.errors: defaultdict[tuple[int, int], int] = defaultdict(int)
        self.closed: defaultdict[str, int] = defaultdict(int)
        self.refused: defaultdict[str, int] = defaultdict(int)
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
