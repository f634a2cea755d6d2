"""Quotas: what is held up, and for how long; connections and authentications by listener."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from fastlog.server.observability.exposition import Family, Kind, Sample, counter, gauge, labels
from fastlog.server.quotas.limits import Kind as Quota

if TYPE_CHECKING:
    from fastlog.server.observability.metrics import BrokerMetrics
    from fastlog.server.quotas.broker_quotas import BrokerQuotas

__all__ = ["listener_families", "quota_families"]

_NAMES: Final = {
    Quota.PRODUCE: "produce",
    Quota.FETCH: "fetch",
    Quota.REQUEST: "request",
    Quota.MUTATION: "controller-mutation",
}
"""As in the names of Kafka's metrics."""
_OUTCOMES: Final = ("success", "renewal", "failure")


def quota_families(quotas: BrokerQuotas, metrics: BrokerMetrics) -> list[Family]:
    """What quotas hold up."""
    clients, connections = quotas.clients, quotas.connections

    def known() -> Iterator[Sample]:
        for kind, usage in clients.usage.items():
            yield labels(quota=_NAMES[kind]), len(usage)
        yield labels(quota=_NAMES[Quota.MUTATION]), len(clients.buckets)
        yield labels(quota="ip"), connections.known_addresses

    return [
        Family(
            "fastlog_throttled_requests",
            Kind.COUNTER,
            "Answers that told clients to wait, by the quota that was exceeded by more.",
            lambda: ((labels(quota=_NAMES[kind]), each.answers) for kind, each in clients.counts.items()),
        ),
        Family(
            "fastlog_throttle_seconds",
            Kind.COUNTER,
            "For how long they were to wait, in all.",
            lambda: (
                (labels(quota=_NAMES[kind]), each.milliseconds / 1000)
                for kind, each in clients.counts.items()
            ),
        ),
        gauge(
            "fastlog_throttled_connections",
            "Connections that are not read at this moment because of a quota.",
            lambda: metrics.connections_muted,
        ),
        Family(
            "fastlog_quota_entities", Kind.GAUGE, "Users, clients and addresses whose use is counted.", known
        ),
        counter(
            "fastlog_quota_entities_displaced",
            "Of these, those that were forgotten too early: there were too many at once.",
            lambda: clients.displaced + connections.displaced,
        ),
        Family(
            "fastlog_connections_held",
            Kind.GAUGE,
            "New connections that wait for max.connections or a rate; others may be queued behind them.",
            lambda: [(labels(listener=name), count) for name, count in sorted(connections.held.items())],
        ),
        Family(
            "fastlog_connection_throttle_seconds",
            Kind.COUNTER,
            "For how long new connections waited for max.connection.creation.rate, by listener.",
            lambda: (
                (labels(listener=name), milliseconds / 1000)
                for name, milliseconds in sorted(connections.throttled_ms.items())
            ),
        ),
    ]


def listener_families(metrics: BrokerMetrics) -> list[Family]:
    """What comes in by each listener."""

    def authentications() -> Iterator[Sample]:
        for name in sorted({listener for listener, _ in metrics.authentications}):
            for outcome in _OUTCOMES:
                yield labels(listener=name, outcome=outcome), metrics.authentications.get((name, outcome), 0)

    return [
        Family(
            "fastlog_connections_by_listener",
            Kind.GAUGE,
            "Open client connections, by listener.",
            lambda: (
                (labels(listener=name), count) for name, count in sorted(metrics.connections_of.items())
            ),
        ),
        Family(
            "fastlog_authentications",
            Kind.COUNTER,
            "Clients that have shown who they are (success, or again: renewal), or could not (failure).",
            authentications,
        ),
    ]
