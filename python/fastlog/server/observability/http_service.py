"""Metrics and health of one broker, served over HTTP from before the logs are opened to the very end."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

from fastlog.config.listeners import host_and_port
from fastlog.errors import FastlogError
from fastlog.server.observability.disk_space import DiskSpace
from fastlog.server.observability.exposition import Family, Format, Renderer, choose_format
from fastlog.server.observability.group_families import group_families
from fastlog.server.observability.health import Health
from fastlog.server.observability.http_hosts import KnownHosts, hosts_of
from fastlog.server.observability.http_server import HttpResponse, HttpServer
from fastlog.server.observability.kafka_families import kafka_families
from fastlog.server.observability.loop_lag import LoopLag
from fastlog.server.observability.metric_sources import Sources
from fastlog.server.observability.replication_families import replication_families
from fastlog.server.observability.request_families import memory_families, request_families
from fastlog.server.observability.runtime_families import process_text, runtime_families
from fastlog.server.observability.storage_families import partition_families, storage_families
from fastlog.server.observability.transaction_families import transaction_families

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastlog.base.tasks import Supervisor
    from fastlog.config import BrokerConfig
    from fastlog.replication.fetchers import FetcherManager
    from fastlog.server.network.flow_control import RequestMemory
    from fastlog.server.observability.http_head import HttpRequest
    from fastlog.server.requests.context import BrokerServices
    from fastlog.storage.log_manager import LogManager

__all__ = ["Observability"]

_LOG: Final = logging.getLogger(__name__)
_OFF: Final = -1
_PROBES: Final = ("/livez", "/readyz", "/startupz")
_INDEX: Final = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>fastlog</title></head><body><h1>fastlog {version}</h1><ul>
<li><a href="/metrics">/metrics</a>: for Prometheus</li>
<li><a href="/livez">/livez</a>: the process lives</li>
<li><a href="/readyz">/readyz</a>: clients are served</li>
<li><a href="/startupz">/startupz</a>: the start is over, or how far it is</li>
</ul></body></html>
"""


class Observability:
    """One per broker: `start` first of all, `watch_...` as parts come to be, `close` last of all."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, monotonic: Callable[[], float], tasks: Supervisor
    ) -> None:
        self.health: Final = Health(monotonic, lambda: tasks.failing)
        self.sources: Final = Sources(self.health, LoopLag(loop.time), Renderer(), tasks)
        self.address: tuple[str, int] | None = None
        """(host, port) that is served, or None when it is off."""
        self._server: HttpServer | None = None
        self._version = _installed_version()
        # One of its own: those of the loop may all wait for a disk that hangs.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fastlog-metrics")

    async def start(self, config: BrokerConfig) -> None:
        """Serves from now on. Raises FastlogError when a configured address cannot be had."""
        self.sources.loop_lag.start(self.sources.tasks)
        if config.http_port == _OFF:
            return
        known = KnownHosts(hosts_of(config))

        def is_for_us(request: HttpRequest) -> bool:
            return known(request.host, for_probe=request.path in _PROBES)

        server = HttpServer(self._answer, long_paths=("/metrics",), is_for_us=is_for_us)
        try:
            self.address = await server.start(config.http_host, config.http_port)
        except OSError as error:
            where = host_and_port(config.http_host, config.http_port)
            problem = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else str(error)
            if config.http_port_is_set or error.errno != errno.EADDRINUSE:
                raise FastlogError(
                    f"cannot serve metrics and health on {where}: {problem} "
                    "(fastlog.http.host, fastlog.http.port)"
                ) from error
            _LOG.warning(
                "metrics and health are not served: %s is in use. Set fastlog.http.port to another port, "
                "to 0 for any free one, or to -1 to do without them",
                where,
            )
            return
        self._server = server
        _LOG.info("metrics and health are on http://%s", host_and_port(*self.address))

    async def close(self) -> None:
        """Ends it."""
        if self._server is not None:
            await self._server.close()
        await self.sources.loop_lag.stop()
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self.sources.disks is not None:
            self.sources.disks.close()

    def watch_logs(self, logs: LogManager) -> None:
        """The log directories are known."""
        self.health.watch(logs)
        self.sources.disks = DiskSpace([directory.path for directory in logs.directories])

    def watch_services(self, services: BrokerServices) -> None:
        """The parts of the broker are made."""
        self.sources.services = services

    def watch_fetchers(self, fetchers: FetcherManager) -> None:
        """The broker is in a cluster, and may follow others."""
        self.sources.fetchers = fetchers

    def watch_memory(self, memory: RequestMemory) -> None:
        """Connections are about to be accepted."""
        self.sources.request_memory = memory

    def families(self) -> list[Family]:
        """All metrics as of now."""
        sources = self.sources
        families = runtime_families(sources, self._version)
        services = sources.services
        if services is not None:
            config = services.config
            families += request_families(services.metrics)
            families += memory_families(services, sources.request_memory)
            families += storage_families(services, sources.disks)
            if sources.fetchers is not None:
                families += replication_families(sources.fetchers)
            families += group_families(services.groups.table)
            if services.transactions is not None:
                families += transaction_families(services.transactions, services.clock.now_ms())
            if config.metrics_per_partition:
                families += partition_families(services)
            if config.metrics_kafka_exporter_names:
                families += kafka_families(services, per_partition=config.metrics_per_partition)
        return families

    async def _answer(self, request: HttpRequest) -> HttpResponse:
        match request.path:
            case "/metrics":
                return await self._metrics(choose_format(request.headers.get("accept", "")))
            case "/livez":
                return _probe(*self.health.liveness())
            case "/readyz":
                return _probe(*self.health.readiness())
            case "/startupz":
                return _probe(*self.health.startup())
            case "/":
                page = _INDEX.format(version=self._version).encode()
                return HttpResponse(HTTPStatus.OK, page, "text/html; charset=utf-8")
        return HttpResponse(HTTPStatus.NOT_FOUND, b"not found; see /\n")

    async def _metrics(self, style: Format) -> HttpResponse:
        if self.sources.disks is not None:
            await self.sources.disks.refresh()
        loop = asyncio.get_running_loop()
        foreign = await loop.run_in_executor(self._thread, process_text, style)
        body = self.sources.renderer.render(self.families(), style, foreign)
        return HttpResponse(HTTPStatus.OK, body, style.value)


def _probe(good: bool, shown: dict[str, Any]) -> HttpResponse:
    status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
    return HttpResponse(status, json.dumps(shown).encode() + b"\n", "application/json")


def _installed_version() -> str:
    try:
        return version("fastlog")
    except PackageNotFoundError:
        return "unknown"
