"""A request that can neither be answered nor refused costs its connection: nobody waits for good."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fastlog.errors import ErrorCode
from fastlog.server.network.connection import Connection
from fastlog.server.requests import dispatch
from fastlog.server.requests.dispatch import Dispatcher
from fastlog.server.requests.registry import Registration
from fastlog.server.requests.turns import Turns
from fastlog.wire import ApiKey
from fastlog.wire.messages.api_versions import ApiVersionsResponse
from tests.unit.server.fakes import NO_QUOTAS, FakeTransport, Harness, receive

_KEY = int(ApiKey.API_VERSIONS)


def no_memory(*_: object, **__: object) -> Any:
    """What an allocation may do at any time."""
    raise MemoryError("no memory")


def handler(_context: object, _request: object) -> ApiVersionsResponse:
    """Answers."""
    return ApiVersionsResponse()


async def coroutine(_context: object, _request: object) -> ApiVersionsResponse:
    """The same in a task."""
    return ApiVersionsResponse()


def frame(version: int, body: int = 0, key: int = _KEY) -> bytes:
    """A request (ApiVersions) of a version with an old header."""
    content = struct.pack(">hhih", key, version, 1, -1) + bytes(body)
    return struct.pack(">i", len(content)) + content


def send(
    data: bytes,
    *,
    handle: Callable[..., Any] = handler,
    oversized: ErrorCode | None = None,
    key: ApiKey = ApiKey.API_VERSIONS,
) -> tuple[Harness, FakeTransport]:
    """Dispatches one request of a new connection, and loses the connection if it is cut."""
    harness, transport = Harness(), FakeTransport()

    async def scenario() -> None:
        turns = Turns(asyncio.get_running_loop())
        registration = Registration(
            key,
            0,
            2,
            20_000,
            handler=handle,
            oversized=oversized,
            is_coroutine=handle is coroutine,
        )
        services = SimpleNamespace(
            registry={int(key): registration},
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
        await turns.wait_tasks(5)
        if transport.aborted:
            connection.connection_lost(None)

    asyncio.run(scenario())
    return harness, transport


def is_cut(harness: Harness, transport: FakeTransport) -> bool:
    """Whether the connection was cut and has left nothing behind."""
    left = (harness.memory.used, harness.work.used, harness.answers.in_the_making)
    return transport.aborted and harness.closed == ["failed request"] and left == (0, 0, 0)


def test_a_request_is_answered() -> None:
    assert send(frame(0))[1].written
    assert send(frame(0), handle=coroutine)[1].written


@pytest.mark.parametrize("data", [frame(0), frame(9), frame(0, 30_000)])
@pytest.mark.parametrize("handle", [handler, coroutine, no_memory])
def test_one_for_which_not_even_an_error_can_be_encoded(
    data: bytes, handle: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "encode_response", no_memory)
    monkeypatch.setattr(dispatch, "encode_response_in_steps", no_memory)
    assert is_cut(*send(data, handle=handle, oversized=ErrorCode.INVALID_REQUEST))


@pytest.mark.parametrize("key", [ApiKey.UPDATE_METADATA, ApiKey.API_VERSIONS])
def test_controllers_get_no_answer_to_what_has_failed(key: ApiKey) -> None:
    """They would take it for done; anybody else is told the error."""
    body = 16 if key is ApiKey.UPDATE_METADATA else 0

    def fails(_context: object, _request: object) -> Any:
        raise OSError("no disk, no tree")

    harness, transport = send(frame(0, body, int(key)), handle=fails, key=key)
    if key is ApiKey.UPDATE_METADATA:
        assert is_cut(harness, transport)
        assert not transport.written
    else:
        assert transport.written
        assert not transport.aborted


@pytest.mark.parametrize("body", [0, 10_000])
def test_one_that_a_decoder_fails_at_is_answered(body: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_frame: object) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(dispatch, "decode_request", fails)
    monkeypatch.setattr(dispatch, "decode_request_in_steps", fails)
    harness, transport = send(frame(0, body))
    assert (transport.written[8:10], transport.aborted) == (b"\xff\xff", False)
    assert harness.memory.used == 0


@pytest.mark.filterwarnings("ignore:coroutine.*never awaited:RuntimeWarning")
@pytest.mark.parametrize("body", [0, 10_000])
def test_one_for_which_no_task_can_be_made(body: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Turns, "start", no_memory)
    monkeypatch.setattr(dispatch, "encode_response", no_memory)
    assert is_cut(*send(frame(0, body), handle=coroutine))
