"""Brokers for tests: a pytest plugin, and what it is made of for suites with fixtures of their own.

    def test_orders(kafka_topic):
        kafka_topic.send(["first", "second"])
        assert [record.value for record in kafka_topic.records()] == [b"first", b"second"]

pytest finds the plugin by itself (`fastlog.testing.plugin`). docs/testing.md is for who writes tests. Nothing
of this is in a broker that serves others: no module of the broker imports this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from fastlog.testing.broker import KafkaBroker as KafkaBroker
    from fastlog.testing.clock import BrokerClock as BrokerClock
    from fastlog.testing.cluster import BrokerCluster as BrokerCluster
    from fastlog.testing.faults import Fault as Fault
    from fastlog.testing.process import BrokerProcess as BrokerProcess
    from fastlog.testing.proxy import FaultProxy as FaultProxy
    from fastlog.testing.seeds import SeedRecord as SeedRecord
    from fastlog.testing.snapshot import take_snapshot as take_snapshot
    from fastlog.testing.thread import BrokerThread as BrokerThread
    from fastlog.testing.topic import KafkaTopic as KafkaTopic

_WHERE: Final = {
    "BrokerClock": "fastlog.testing.clock",
    "BrokerCluster": "fastlog.testing.cluster",
    "BrokerProcess": "fastlog.testing.process",
    "BrokerThread": "fastlog.testing.thread",
    "Fault": "fastlog.testing.faults",
    "FaultProxy": "fastlog.testing.proxy",
    "KafkaBroker": "fastlog.testing.broker",
    "KafkaTopic": "fastlog.testing.topic",
    "SeedRecord": "fastlog.testing.seeds",
    "take_snapshot": "fastlog.testing.snapshot",
}
"""The public names, and the modules that have them: every run of pytest imports this file."""

__all__ = [*_WHERE]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_WHERE[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
