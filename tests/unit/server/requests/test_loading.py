"""Handlers that are loaded when somebody asks for them, and the rest of them afterwards."""

from __future__ import annotations

import asyncio
import pkgutil
import threading
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fastlog.server import handlers
from fastlog.server.network.connection import Connection
from fastlog.server.requests import loading, registry
from fastlog.server.requests.dispatch import Dispatcher
from fastlog.server.requests.handler_modules import HANDLERS
from fastlog.server.requests.loading import HandlerLoader
from fastlog.server.requests.registry import Registration, Registry, import_handlers, load_handlers, served
from fastlog.server.requests.turns import Turns
from fastlog.wire import ApiKey, encode_request
from fastlog.wire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from tests.unit.server.fakes import NO_QUOTAS, FakeTransport, Harness, receive

KEY = ApiKey.API_VERSIONS
Load = Callable[[str], list[Registration]]


def waiting() -> Registry:
    """A registry whose only handler has yet to be loaded."""
    return {int(KEY): Registration(KEY, 0, 2, 20_000, module="api_versions")}


def loaded(_module: str) -> list[Registration]:
    """What its import leaves."""
    return [Registration(KEY, 0, 2, 20_000, handler=lambda _context, _request: ApiVersionsResponse())]


def test_the_table_has_what_the_modules_register() -> None:
    assert set(HANDLERS) == {module.name for module in pkgutil.iter_modules(handlers.__path__)}
    everything = load_handlers()
    for module, keys in HANDLERS.items():
        package = f"{handlers.__name__}.{module}"
        registered = {
            entry.api_key
            for entry in everything.values()
            for function in (entry.handler, entry.later_handler, entry.frame_handler)
            if function is not None and function.__module__ == package
        }
        assert registered == set(keys)


def test_what_is_offered_needs_no_handler() -> None:
    everything = load_handlers()
    offered = served()
    assert offered.keys() == everything.keys()
    for key, entry in offered.items():
        assert (entry.min_version, entry.max_version) == (
            everything[key].min_version,
            everything[key].max_version,
        )
        assert entry.handler is entry.later_handler is entry.frame_handler is None
        assert key in HANDLERS[str(entry.module)]


def test_an_import_that_failed_can_be_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the module had registered before it failed is no second handler then."""
    registrations: dict[int, Registration] = {}
    monkeypatch.setattr(registry, "_REGISTRATIONS", registrations)
    failures = [MemoryError()]

    def module(_name: str) -> None:
        registry.handles(KEY)(loaded)
        if failures:
            raise failures.pop()

    monkeypatch.setattr(registry, "importlib", SimpleNamespace(import_module=module))
    with pytest.raises(MemoryError):
        import_handlers("api_versions")
    assert import_handlers("api_versions")[0].handler is loaded


def dispatched(load: Load, monkeypatch: pytest.MonkeyPatch, requests: int = 1) -> tuple[Harness, list[bytes]]:
    """The answers to requests of as many connections that come one after another; b"" for one that is cut."""
    monkeypatch.setattr(loading, "import_handlers", load)
    harness = Harness()
    answers = []

    async def scenario() -> None:
        turns = Turns(asyncio.get_running_loop())
        services = SimpleNamespace(
            registry=waiting(),
            metrics=harness.metrics,
            clock=SimpleNamespace(monotonic=lambda: 0.0),
            turns=turns,
            quotas=NO_QUOTAS,
            access=None,
        )
        dispatcher = Dispatcher(cast("Any", services))
        dispatcher.open()
        for _ in range(requests):
            transport = FakeTransport()
            connection = Connection(replace(harness.host, dispatch=dispatcher.dispatch))
            transport.protocol = connection
            connection.connection_made(cast("Any", transport))
            receive(connection, encode_request(ApiVersionsRequest(), 0, 7))
            await turns.wait_tasks(30)
            answers.append(bytes(transport.written))
            connection.connection_lost(None)

    asyncio.run(scenario())
    return harness, answers


def test_a_request_waits_for_its_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def load(module: str) -> list[Registration]:
        threads.append(threading.current_thread())
        return loaded(module)

    harness, (first, second) = dispatched(load, monkeypatch, 2)
    assert first == second != b""
    assert harness.metrics.requests[KEY] == 2
    # Once, and not on the event loop.
    assert len(threads) == 1 and threads[0] is not threading.main_thread()


def test_a_handler_that_cannot_be_loaded_costs_the_connection_and_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures = [MemoryError("none left")]

    def load(module: str) -> list[Registration]:
        if failures:
            raise failures.pop()
        return loaded(module)

    harness, (first, second) = dispatched(load, monkeypatch, 2)
    assert first == b"" and harness.closed[0] == "failed request"
    assert second != b""
    assert (harness.memory.used, harness.work.used) == (0, 0)


def test_the_rest_is_loaded_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what could not be loaded at first; and of those that several wait for, one."""
    failures: list[Exception] = [OSError("no descriptors"), MemoryError()]
    names: list[str] = []

    def load(module: str) -> list[Registration]:
        names.append(module)
        if failures:
            raise failures.pop()
        return loaded(module)

    def other(module: str) -> None:
        names.append(module)

    monkeypatch.setattr(loading, "import_handlers", load)
    monkeypatch.setattr(loading, "import_module", other)
    for name in ("REST_AFTER_SECONDS", "_PAUSE_SECONDS", "_AGAIN_SECONDS"):
        monkeypatch.setattr(loading, name, 0)
    registry = waiting()

    async def scenario() -> None:
        loader = HandlerLoader(registry)
        await loader.load_rest()
        await asyncio.gather(loader.load("api_versions"), loader.load("api_versions"))

    asyncio.run(scenario())
    assert registry[KEY].module is None and registry[KEY].handler is not None
    assert names[:3] == ["api_versions"] * 3
    assert names[-1] == "api_versions" and names.count("api_versions") == 4
    assert "fastlog.replication.fetcher" in names


def test_every_name_of_what_is_loaded_later_can_be_imported() -> None:
    for name in loading._OTHERS:
        loading.import_module(name)
