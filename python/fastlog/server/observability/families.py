"""All metrics of a broker: what a scrape, and nothing before it, needs to be loaded."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from fastlog.server.observability.group_families import group_families
from fastlog.server.observability.kafka_families import kafka_families
from fastlog.server.observability.quota_families import listener_families, quota_families
from fastlog.server.observability.replication_families import replication_families
from fastlog.server.observability.request_families import memory_families, request_families
from fastlog.server.observability.runtime_families import process_text, runtime_families
from fastlog.server.observability.storage_families import partition_families, storage_families
from fastlog.server.observability.transaction_families import transaction_families

if TYPE_CHECKING:
    from fastlog.server.observability.exposition import Family
    from fastlog.server.observability.metric_sources import Sources

__all__ = ["VERSION", "families_of", "process_text"]


def _installed_version() -> str:
    try:
        return version("fastlog")
    except PackageNotFoundError:
        return "unknown"


VERSION: Final = _installed_version()
"""Of the package."""


def families_of(sources: Sources) -> list[Family]:
    """All metrics as of now."""
    families = runtime_families(sources, VERSION)
    services = sources.services
    if services is not None:
        config = services.config
        families += request_families(services.metrics)
        families += listener_families(services.metrics)
        families += quota_families(services.quotas, services.metrics)
        families += memory_families(services, sources.request_memory)
        families += storage_families(services, sources.disks)
        if sources.fetchers is not None:
            families += replication_families(sources.fetchers, services.replicas.leader_throttle)
        families += group_families(services.groups.table)
        if services.transactions is not None:
            made = services.transactions.made
            families += transaction_families(made, services.clock.now_ms())
        if config.metrics_per_partition:
            families += partition_families(services)
        if config.metrics_kafka_exporter_names:
            families += kafka_families(services, per_partition=config.metrics_per_partition)
    return families
