"""Heads of HTTP requests, good and hostile."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlog.server.observability.http_head import HEAD_END, HttpRefusal, parse_head


def head(line: str, *headers: str) -> bytes:
    return "\r\n".join((line, *headers)).encode("latin-1") + HEAD_END


def test_a_request_of_prometheus() -> None:
    request = parse_head(
        head(
            "GET /metrics?name%5B%5D=up HTTP/1.1",
            "Host: 127.0.0.1:9464",
            "User-Agent: Prometheus/2.42.0",
            "Accept: application/openmetrics-text;version=1.0.0",
            "Accept: text/plain;q=0.3",
            "X-Prometheus-Scrape-Timeout-Seconds:10",
        )
    )
    assert (request.method, request.path) == ("GET", "/metrics")
    assert request.headers["accept"] == "application/openmetrics-text;version=1.0.0, text/plain;q=0.3"
    assert request.headers["x-prometheus-scrape-timeout-seconds"] == "10"
    assert request.keep_alive
    assert request.chunks_allowed


@pytest.mark.parametrize(
    ("line", "headers", "keep_alive", "chunks"),
    [
        ("GET / HTTP/1.1", ["Host: a"], True, True),
        ("GET / HTTP/1.1", ["Host: a", "Connection: TE, Close"], False, True),
        ("HEAD / HTTP/1.0", [], False, False),
        ("GET / HTTP/1.0", ["Connection: Keep-Alive"], True, False),
        ("GET http://a.example/ HTTP/1.1", ["Host: a.example"], True, True),
        ("GET http://a.example HTTP/1.1", ["Host: a.example", "Content-Length: 0"], True, True),
    ],
)
def test_connections_are_kept_as_the_version_says(
    line: str, headers: list[str], keep_alive: bool, chunks: bool
) -> None:
    request = parse_head(head(line, *headers))
    assert (request.path, request.keep_alive, request.chunks_allowed) == ("/", keep_alive, chunks)


@pytest.mark.parametrize(
    ("line", "headers", "status"),
    [
        ("", [], HTTPStatus.BAD_REQUEST),
        ("GET /", [], HTTPStatus.BAD_REQUEST),
        ("GET  / HTTP/1.1", ["Host: a"], HTTPStatus.BAD_REQUEST),
        ("GET / HTTP/1.1 ", ["Host: a"], HTTPStatus.BAD_REQUEST),
        ("GET / http/1.1", ["Host: a"], HTTPStatus.BAD_REQUEST),
        ("G\x00T / HTTP/1.1", ["Host: a"], HTTPStatus.BAD_REQUEST),
        ("GET /\xff HTTP/1.1", ["Host: a"], HTTPStatus.BAD_REQUEST),
        ("GET metrics HTTP/1.1", ["Host: a"], HTTPStatus.BAD_REQUEST),
        ("GET / HTTP/1.1", [], HTTPStatus.BAD_REQUEST),
        ("GET / HTTP/1.1", ["Host: a", "Host: b"], HTTPStatus.BAD_REQUEST),
        ("GET / HTTP/1.1", ["Host: a", "no colon"], HTTPStatus.BAD_REQUEST),
        ("GET / HTTP/1.1", ["Host: a", " folded: x"], HTTPStatus.BAD_REQUEST),
        ("GET / HTTP/1.1", ["Host: a", "Name : x"], HTTPStatus.BAD_REQUEST),
        ("GET / HTTP/1.1", ["Host: a", "X: a\nInjected: b"], HTTPStatus.BAD_REQUEST),
        ("GET / HTTP/1.1", ["Host: a", "X: \x00"], HTTPStatus.BAD_REQUEST),
        ("GET / HTTP/1.1", ["Host: a", "Content-Length: 5"], HTTPStatus.BAD_REQUEST),
        ("GET / HTTP/1.1", ["Host: a", "Transfer-Encoding: chunked"], HTTPStatus.BAD_REQUEST),
        ("POST / HTTP/1.1", ["Host: a"], HTTPStatus.METHOD_NOT_ALLOWED),
        ("GET / HTTP/2.0", ["Host: a"], HTTPStatus.HTTP_VERSION_NOT_SUPPORTED),
        ("GET / HTTP/1.1", ["Host: a"] + ["X: y"] * 100, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
    ],
)
def test_what_is_refused(line: str, headers: list[str], status: HTTPStatus) -> None:
    with pytest.raises(HttpRefusal) as refused:
        parse_head(head(line, *headers))
    assert refused.value.status is status


@given(st.binary(max_size=300))
def test_whatever_comes_is_a_request_or_a_refusal(data: bytes) -> None:
    try:
        request = parse_head(data + HEAD_END)
    except HttpRefusal as refusal:
        assert 400 <= refusal.status < 600
    else:
        assert request.path.startswith("/")
