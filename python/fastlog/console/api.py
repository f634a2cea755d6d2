"""The JSON API: a route for each verb, of the same name, and what only a console has.

GET  /api/list_topics?pattern=orders*&limit=20      verbs that read: arguments in the query
POST /api/create_topic  {"topic": "orders", ...}    verbs that write: arguments as JSON
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from fastlog.console.answers import answer, failed
from fastlog.console.bodies import read_object
from fastlog.console.state import Console
from fastlog.verbs.problems import BadArgument
from fastlog.verbs.registry import Verb, call, load_all

__all__ = ["api_routes", "guarded", "query_of"]

_SECONDS: Final = 90.0
"""How long a verb may take as a whole; requests to brokers have shorter limits of their own."""
_HEAVY: Final = frozenset({"browse", "get_message"})
"""Verbs that read records: some of them at a time."""

Handler = Callable[[Request], Awaitable[Response]]


def guarded(work: Handler) -> Handler:
    """Errors as answers."""

    async def handle(request: Request) -> Response:
        try:
            async with asyncio.timeout(_SECONDS):
                return await work(request)
        except Exception as error:  # noqa: BLE001 - `failed` logs what is a defect
            return failed(error)

    return handle


def query_of(request: Request) -> dict[str, object]:
    """The arguments of a query. Raises BadArgument for one that comes twice."""
    found: dict[str, object] = {}
    for key, value in request.query_params.multi_items():
        if key in found:
            raise BadArgument(f"{key[:100]}: is given twice; lists have commas")
        found[key] = value
    return found


def api_routes(console: Console) -> list[BaseRoute]:
    """A route for each verb, and one that lists them."""

    def route(verb: Verb) -> Route:
        async def run(request: Request) -> Response:
            arguments = await read_object(request) if verb.writes else query_of(request)
            desk = console.desk_of(request)
            if verb.name in _HEAVY:
                async with console.heavy:
                    return answer(await call(desk, verb.name, arguments, texts=True))
            return answer(await call(desk, verb.name, arguments, texts=not verb.writes))

        return Route(f"/api/{verb.name}", guarded(run), methods=["POST" if verb.writes else "GET"])

    async def verbs(_: Request) -> Response:
        return answer({"verbs": [_shown(verb) for verb in load_all().values()]})

    return [
        *(route(verb) for verb in load_all().values()),
        Route("/api/verbs", guarded(verbs), methods=["GET"]),
    ]


def _shown(verb: Verb) -> dict[str, Any]:
    return {
        "name": verb.name,
        "method": "POST" if verb.writes else "GET",
        "writes": verb.writes,
        "text": verb.text,
        "parameters": [
            {
                "name": item.name,
                "schema": item.kind.schema(),
                "text": item.text,
                "required": item.required,
                "default": item.default,
            }
            for item in verb.parameters
        ],
    }
