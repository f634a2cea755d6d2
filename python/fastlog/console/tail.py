"""The live tail: what comes into a topic, as server-sent events, never more than can be looked at.

Twice a second it asks for the ends of the partitions, and reads a bounded sample of what has come since: the
newest of it. So a topic with millions of records a second costs its brokers two small fetches a second. What
was left out is told with each event.

    event: records   {"messages": [...], "arrived": n, "sampled": n, "matched": n, "dropped": n,
                      "total_arrived": n, "total_dropped": n}
    event: problem   {"error": {...}}, and the end
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from fastlog.console.api import query_of
from fastlog.console.state import Console
from fastlog.errors import FastlogError
from fastlog.verbs.arguments import Kind, read_argument
from fastlog.verbs.decoders import Format
from fastlog.verbs.desk import Desk
from fastlog.verbs.filters import compile_filter
from fastlog.verbs.messages import Reading
from fastlog.verbs.plain import plain
from fastlog.verbs.problems import BadArgument, TooMuch, problem_of
from fastlog.verbs.sampling import Sample, sample_since, tail_start

__all__ = ["tail_route"]

_MOST_TAILS: Final = 8
_TICK: Final = 0.5
_SECONDS: Final = 3600.0
_QUIET_SECONDS: Final = 15.0
_MOST_PER_SECOND: Final = 200
_FORMATS: Final = Kind("choice", choices=("auto", "text", "json", "hex", "base64", "msgpack", "schema"))


@dataclass(frozen=True, slots=True)
class _Wish:
    topic: str
    partitions: list[int] | None
    filter: str | None
    key_format: Format
    value_format: Format
    per_second: int
    max_chars: int


def _wish(arguments: dict[str, object]) -> _Wish:
    kinds = {
        "topic": Kind("text"),
        "partitions": Kind("list", nullable=True, of=Kind("int")),
        "filter": Kind("text", nullable=True),
        "key_format": _FORMATS,
        "value_format": _FORMATS,
        "per_second": Kind("int"),
        "max_chars": Kind("int"),
    }
    given: dict[str, Any] = {
        "partitions": None,
        "filter": None,
        "key_format": "auto",
        "value_format": "auto",
        "per_second": 50,
        "max_chars": 1024,
    }
    for key, value in arguments.items():
        if key not in kinds:
            raise BadArgument(f"{key[:100]}: tail has no such argument")
        given[key] = read_argument(key, kinds[key], value, texts=True)
    if "topic" not in given:
        raise BadArgument("topic: is missing")
    for name, most in (("per_second", _MOST_PER_SECOND), ("max_chars", 65_536)):
        if not 1 <= given[name] <= most:
            raise BadArgument(f"{name}: {given[name]} is not from 1 to {most}")
    return _Wish(**given)


def tail_route(console: Console) -> Any:
    """The handler of GET /api/tail. Errors before the first event are answers as everywhere."""

    async def tail(request: Request) -> Response:
        wish = _wish(query_of(request))
        compile_filter(wish.filter)
        if console.tails >= _MOST_TAILS:
            raise TooMuch(f"{_MOST_TAILS} tails are open, which is the most at once")
        desk = console.desk_of(request)
        since = await tail_start(desk, wish.topic, wish.partitions)
        events = _counted(console, _events(desk, wish, since))
        return StreamingResponse(
            events, media_type="text/event-stream", headers={"cache-control": "no-store"}
        )

    return tail


async def _counted(console: Console, events: AsyncIterator[str]) -> AsyncIterator[str]:
    console.tails += 1
    try:
        async for event in events:
            yield event
    finally:
        console.tails -= 1


async def _events(desk: Desk, wish: _Wish, since: Any) -> AsyncIterator[str]:
    chosen = compile_filter(wish.filter)
    reading = Reading(wish.key_format, wish.value_format, wish.max_chars)
    began = last_event = time.monotonic()
    totals = {"total_arrived": 0, "total_dropped": 0}
    yield "retry: 3000\n\n"
    while time.monotonic() - began < _SECONDS:
        await asyncio.sleep(_TICK)
        try:
            sample: Sample = await sample_since(
                desk, since, most=max(1, int(wish.per_second * _TICK)), reading=reading, chosen=chosen
            )
        except FastlogError as error:
            yield _event("problem", {"error": plain(problem_of(error))})
            return
        totals["total_arrived"] += sample.arrived
        totals["total_dropped"] += sample.dropped
        now = time.monotonic()
        if sample.arrived:
            yield _event("records", plain(sample) | totals)
            last_event = now
        elif now - last_event >= _QUIET_SECONDS:
            yield ": nothing came\n\n"
            last_event = now
    yield _event("problem", {"error": {"code": "TIME_IS_UP", "message": "the tail ends after an hour"}})


def _event(name: str, value: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n"
