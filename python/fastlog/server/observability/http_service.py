"""Metrics and health of one broker, served over HTTP from before the logs are opened to the very end."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from fastlog.config.listeners import host_and_port
from fastlog.errors import FastlogError
from fastlog.server.observability.disk_space import DiskSpace
from fastlog.server.observability.exposition import Format, Renderer, choose_format
from fastlog.server.observability.health import Health
from fastlog.server.observability.http_access import Access
from fastlog.server.observability.http_hosts import KnownHosts, hosts_of
from fastlog.server.observability.http_server import HttpResponse, HttpServer
from fastlog.server.observability.loop_lag import LoopLag
from fastlog.server.observability.metric_sources import Sources

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastlog.base.tasks import Supervisor
    from fastlog.config import BrokerConfig
    from fastlog.replication.fetchers import FetcherManager
    from fastlog.server.network.flow_control import RequestMemory
    from fastlog.server.observability.exposition import Family
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

        access = Access(config)
        server = HttpServer(
            self._answer,
            long_paths=("/metrics",),
            is_for_us=is_for_us,
            allows=access.allows,
            open_paths=_PROBES,
        )
        try:
            self.address = await server.start(config.http_host, config.http_port, access.tls)
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
        scheme = "http" if access.tls is None else "https"
        _LOG.info("metrics and health are on %s://%s", scheme, host_and_port(*self.address))

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
        from fastlog.server.observability.families import families_of  # nobody may ever ask

        return families_of(self.sources)

    async def _answer(self, request: HttpRequest) -> HttpResponse:
        match request.path:
            case "/metrics":
                return await self._metrics(choose_format(request.headers.get("accept", "")))
            case "/livez":
                return _probe(request, *self.health.liveness())
            case "/readyz":
                return _probe(request, *self.health.readiness())
            case "/startupz":
                return _probe(request, *self.health.startup())
            case "/":
                page = await asyncio.get_running_loop().run_in_executor(self._thread, _index)
                return HttpResponse(HTTPStatus.OK, page, "text/html; charset=utf-8")
        return HttpResponse(HTTPStatus.NOT_FOUND, b"not found; see /\n")

    async def _metrics(self, style: Format) -> HttpResponse:
        if self.sources.disks is not None:
            await self.sources.disks.refresh()
        loop = asyncio.get_running_loop()
        foreign = await loop.run_in_executor(self._thread, _process_text, style)
        body = self.sources.renderer.render(self.families(), style, foreign)
        return HttpResponse(HTTPStatus.OK, body, style.value)


def _probe(request: HttpRequest, good: bool, shown: dict[str, Any]) -> HttpResponse:
    if not request.sees_all:
        # Reasons name directories, topics and addresses.
        shown = {"status": "good" if good else "not good"}
    status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
    return HttpResponse(status, json.dumps(shown).encode() + b"\n", "application/json")


def _process_text(style: Format) -> bytes:
    """See `process_text`. What else a scrape needs is loaded with it, in the thread that this runs in."""
    from fastlog.server.observability.families import process_text

    return process_text(style)


def _index() -> bytes:
    from fastlog.server.observability.families import VERSION

    return _INDEX.format(version=VERSION).encode()
