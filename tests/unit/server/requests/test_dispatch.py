"""The registry, error mapping and the limits of logging."""

from __future__ import annotations

import logging

import pytest

from fastlog.errors import ErrorCode, KafkaError
from fastlog.native import FastlogNativeError, OffsetOutOfRange, StorageError
from fastlog.server.requests import registry
from fastlog.server.requests.error_answers import error_code_of, error_response
from fastlog.server.requests.logging_limits import LimitedLog
from fastlog.server.requests.metadata_cache import MetadataCache
from fastlog.server.requests.registry import EncodedResponse, Registration, handles, load_handlers
from fastlog.storage.io import IoClosed
from fastlog.wire import API_VERSIONS, ApiKey
from fastlog.wire.messages.fetch import FetchResponse
from fastlog.wire.messages.init_producer_id import InitProducerIdResponse
from fastlog.wire.messages.metadata import MetadataResponse


def test_every_handler_serves_versions_that_the_codecs_know() -> None:
    served = load_handlers()
    for key, entry in served.items():
        low, high = API_VERSIONS[ApiKey(key)]
        assert low <= entry.min_version <= entry.max_version <= high
        assert [entry.handler, entry.later_handler, entry.frame_handler].count(None) == 2
    assert {ApiKey.PRODUCE, ApiKey.FETCH, ApiKey.METADATA, ApiKey.LIST_OFFSETS} <= served.keys()


def test_a_second_handler_of_an_api_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = {int(ApiKey.METADATA): Registration(ApiKey.METADATA, 0, 1, 100, handler=print)}
    monkeypatch.setattr(registry, "_REGISTRATIONS", taken)
    with pytest.raises(ValueError, match="METADATA"):
        handles(ApiKey.METADATA)(print)


def native_error(kind: type[FastlogNativeError], code: ErrorCode) -> FastlogNativeError:
    """An exception as the native module raises it: with its code."""
    error = kind("failed")
    error.code = int(code)
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KafkaError(ErrorCode.POLICY_VIOLATION), ErrorCode.POLICY_VIOLATION),
        (native_error(StorageError, ErrorCode.KAFKA_STORAGE_ERROR), ErrorCode.KAFKA_STORAGE_ERROR),
        (native_error(OffsetOutOfRange, ErrorCode.OFFSET_OUT_OF_RANGE), ErrorCode.OFFSET_OUT_OF_RANGE),
        (OSError("Input/output error"), ErrorCode.KAFKA_STORAGE_ERROR),
        (MemoryError(), ErrorCode.KAFKA_STORAGE_ERROR),
        (TimeoutError(), ErrorCode.REQUEST_TIMED_OUT),
        (IoClosed("stopping"), ErrorCode.NOT_LEADER_OR_FOLLOWER),
        (ZeroDivisionError(), ErrorCode.UNKNOWN_SERVER_ERROR),
    ],
)
def test_exceptions_are_told_as_what_they_are(error: Exception, code: ErrorCode) -> None:
    assert error_code_of(error) == code


def test_an_error_goes_where_the_version_has_a_place_for_it() -> None:
    code = ErrorCode.KAFKA_STORAGE_ERROR
    assert error_response(InitProducerIdResponse, 0, code, "x") == InitProducerIdResponse(error_code=56)
    assert error_response(FetchResponse, 7, code, None) == FetchResponse(error_code=56)
    assert error_response(FetchResponse, 6, code, None) is None
    assert error_response(MetadataResponse, 12, code, None) is None


def test_repeated_messages_are_counted_instead_of_logged(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    log = LimitedLog(logging.getLogger("test"), lambda: now, interval=10)
    with caplog.at_level(logging.INFO):
        for _ in range(5):
            log.log(logging.INFO, "kind", "message %d", 1)
        log.log(logging.INFO, "other", "another")
        now = 11
        log.log(logging.INFO, "kind", "message %d", 2)
    assert [record.getMessage() for record in caplog.records] == [
        "message 1",
        "another",
        "message 2",
        "4 more of this kind (kind) were not logged",
    ]


def test_cached_metadata_is_dropped_with_its_generation_and_by_size() -> None:
    cache = MetadataCache(entries=2, max_bytes=100)
    made: list[str] = []

    def answer(name: str, size: int = 10) -> None:
        if cache.get(1, name) is None:
            made.append(name)
            cache.put(1, name, EncodedResponse(bytes(size)))

    for name in ("a", "b", "a", "c", "a", "b"):
        answer(name)
    assert made == ["a", "b", "c", "b"]
    assert cache.get(2, "a") is None
    cache.put(1, "a", EncodedResponse(b"of a state that is over"))
    assert len(cache) == 0
    cache.put(2, "a", EncodedResponse(b"new"))
    assert len(cache) == 1
    cache.put(2, "large", EncodedResponse(bytes(101)))
    assert len(cache) == 0
