"""How large a frame is decoded: more for what a controller sends, and for that alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fastlog.server.memory.work_memory import GROWTH, MOST, WorkMemory
from fastlog.server.network.connection import Connection
from fastlog.server.requests import registry
from fastlog.server.requests.dispatch import Dispatcher
from fastlog.server.requests.registry import (
    CONTROLLER_MAX_BYTES,
    DECODED_MAX_BYTES,
    GROUP_MAX_BYTES,
    Registration,
    handles,
    handles_later,
    load_handlers,
)
from fastlog.server.requests.turns import Turns
from fastlog.wire import APIS, ApiKey, Request, encode_request, response_type
from fastlog.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from tests.harness.controller_requests import full_leader_and_isr, full_stop_replica, full_update_metadata
from tests.unit.server.fakes import NO_QUOTAS, FakeTransport, Harness, receive

FROM_CONTROLLERS = {ApiKey.LEADER_AND_ISR, ApiKey.STOP_REPLICA, ApiKey.UPDATE_METADATA}
OF_GROUPS = {ApiKey.JOIN_GROUP, ApiKey.SYNC_GROUP}


@pytest.fixture
def registrations(monkeypatch: pytest.MonkeyPatch) -> dict[int, Registration]:
    """An empty registry, instead of that of the process."""
    empty: dict[int, Registration] = {}
    monkeypatch.setattr(registry, "_REGISTRATIONS", empty)
    return empty


@pytest.mark.parametrize("register", [handles, handles_later])
def test_a_handler_that_names_no_bound_has_that_of_its_api(
    register: Callable[..., Any], registrations: dict[int, Registration]
) -> None:
    for key in APIS:
        register(key)(print)
        expected = CONTROLLER_MAX_BYTES if key in FROM_CONTROLLERS else DECODED_MAX_BYTES
        assert registrations.pop(key).max_bytes == expected
        register(key, max_bytes=77)(print)
        assert registrations.pop(key).max_bytes == 77


def test_no_api_of_clients_has_more() -> None:
    more = {key for key, entry in load_handlers().items() if entry.max_bytes > DECODED_MAX_BYTES}
    assert more - FROM_CONTROLLERS == OF_GROUPS | {ApiKey.PRODUCE}
    assert DECODED_MAX_BYTES == 4 << 20
    assert CONTROLLER_MAX_BYTES < GROUP_MAX_BYTES


def handled(registration: Registration, data: bytes, seen: list[Request]) -> bool:
    """Whether a broker that serves one API answers the request, and leaves nothing behind."""
    harness, transport = Harness(), FakeTransport()

    async def scenario() -> None:
        turns = Turns(asyncio.get_running_loop())
        services = SimpleNamespace(
            registry={int(registration.api_key): registration},
            metrics=harness.metrics,
            clock=SimpleNamespace(monotonic=lambda: 0.0),
            turns=turns,
            quotas=NO_QUOTAS,
            access=None,
        )
        dispatcher = Dispatcher(cast("Any", services))
        dispatcher.open()
        connection = Connection(replace(harness.host, dispatch=dispatcher.dispatch))
        transport.protocol = connection
        connection.connection_made(cast("Any", transport))
        receive(connection, data)
        await turns.wait_tasks(60)
        if transport.aborted:
            connection.connection_lost(None)

    asyncio.run(scenario())
    assert (harness.memory.used, harness.work.used) == (0, 0)
    assert transport.aborted == (not seen)
    assert harness.closed == ([] if seen else ["oversized request"])
    return bool(seen)


def serve(registrations: dict[int, Registration], key: ApiKey, seen: list[Request]) -> Registration:
    """The registration of a handler that notes the request."""

    @handles(key)
    def handle(_context: object, request: Request) -> Any:
        seen.append(request)
        return response_type(key)()

    return registrations[key]


@pytest.mark.parametrize(
    ("make", "version"), [(full_leader_and_isr, 7), (full_update_metadata, 8), (full_stop_replica, 4)]
)
def test_a_full_request_of_a_controller_is_handled(
    make: Callable[[], Request], version: int, registrations: dict[int, Registration]
) -> None:
    request, seen = make(), list[Request]()
    data = encode_request(request, version, 7, "1001")
    assert len(data) > DECODED_MAX_BYTES
    assert handled(serve(registrations, request.API, seen), data, seen)
    assert seen == [request]


@pytest.mark.parametrize(
    "request_",
    [
        MetadataRequest(topics=[MetadataRequestTopic(name="x" * 30_000)] * 150),
        full_update_metadata(),
    ],
    ids=lambda request: type(request).__name__,
)
def test_larger_frames_cost_their_connection(
    request_: Request, registrations: dict[int, Registration]
) -> None:
    data = encode_request(request_, 8, 7, "1001")
    if request_.API is ApiKey.UPDATE_METADATA:
        # What follows a request is ignored: the frame is valid but for its size.
        data += bytes(CONTROLLER_MAX_BYTES - len(data) + 5)
        data = (len(data) - 4).to_bytes(4, "big") + data[4:]
    seen: list[Request] = []
    assert not handled(serve(registrations, request_.API, seen), data, seen)


def test_what_a_request_may_become_is_reckoned_with() -> None:
    size = CONTROLLER_MAX_BYTES
    weights = {key: WorkMemory(1).begin(cast("Any", None), size, key) for key in ApiKey}
    assert {key: weight for key, weight in weights.items() if weight > MOST} == {
        ApiKey.LEADER_AND_ISR: size * GROWTH,
        ApiKey.UPDATE_METADATA: size * GROWTH,
        ApiKey.ALTER_PARTITION: 2 * MOST,
    }
    assert WorkMemory(1).begin(cast("Any", None), size) == MOST
