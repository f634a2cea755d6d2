"""The console as an ASGI application: what is served where."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from fastlog.client.admin.groups import list_groups
from fastlog.console.answers import answer, failed, problem
from fastlog.console.api import api_routes, guarded, query_of
from fastlog.console.gate import Gate
from fastlog.console.hosts import Hosts
from fastlog.console.login import login_routes
from fastlog.console.pages import Pages
from fastlog.console.state import Console
from fastlog.console.tail import tail_route
from fastlog.console.transfer import transfer_routes
from fastlog.verbs.desk import Desk
from fastlog.verbs.problems import BadArgument

__all__ = ["make_app"]

_MOST_SERIES = 50
_EXPIRE_SECONDS = 60.0


def make_app(console: Console, *, hosts: Hosts, by_certificate: bool = False) -> Gate:
    """The whole. Its lifespan measures the cluster, writes the audit log, and closes the desk."""
    pages = Pages()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        loops = [
            console.supervisor.run("console-sampler", console.sampler.run),
            console.supervisor.run("console-audit", console.audit.run),
            console.supervisor.repeat("console-sessions", console.close_sessions, every=_EXPIRE_SECONDS),
        ]
        try:
            yield
        finally:
            for loop in loops:
                await loop.stop()
            await asyncio.to_thread(console.audit.flush)
            await console.close_sessions(every=True)
            await console.desk.close()

    routes: list[BaseRoute] = [
        *login_routes(console),
        *api_routes(console),
        *_own_routes(console),
        *transfer_routes(console),
        Route("/api/{rest:path}", _no_such, methods=["GET", "POST"]),
        Route("/{path:path}", pages.serve, methods=["GET", "HEAD"]),
    ]
    return Gate(
        Starlette(routes=routes, lifespan=lifespan),
        hosts=hosts,
        sessions=console.sessions,
        cookie=console.cookie,
        by_certificate=by_certificate,
        secure=console.secure,
    )


def _own_routes(console: Console) -> list[BaseRoute]:
    async def audit(request: Request) -> Response:
        if query_of(request):
            raise BadArgument("audit has no arguments")
        return answer({"notes": console.audit.notes[:200]})

    async def history(request: Request) -> Response:
        given = query_of(request)
        kind, names = str(given.pop("kind", "")), str(given.pop("names", ""))
        if given or kind not in ("records_per_second", "lag"):
            raise BadArgument("history takes kind=records_per_second|lag and names=A,B")
        chosen = [name for name in names.split(",") if name]
        if not 1 <= len(chosen) <= _MOST_SERIES:
            raise BadArgument(f"names: 1 to {_MOST_SERIES} of them")
        chosen = await _visible(console.desk_of(request), kind, chosen) if request.state.desk else chosen
        return answer({"series": [console.sampler.series(kind, name) for name in chosen]})

    tail = tail_route(console)

    async def guarded_tail(request: Request) -> Response:
        try:
            response: Response = await tail(request)
        except Exception as error:  # noqa: BLE001 - `failed` logs what is a defect
            return failed(error)
        return response

    return [
        Route("/api/audit", guarded(audit), methods=["GET"]),
        Route("/api/history", guarded(history), methods=["GET"]),
        Route("/api/tail", guarded_tail, methods=["GET"]),
    ]


async def _visible(desk: Desk, kind: str, names: list[str]) -> list[str]:
    """Those that a visitor with an identity of their own may see: measured is with the console's."""
    if kind == "lag":
        seen = {row.group_id for row in (await list_groups(desk.cluster)).rows}
    else:
        seen = set((await desk.metadata()).topics)
    return [name for name in names if name in seen]


async def _no_such(_: Request) -> Response:
    return problem(404, "NOT_FOUND", "there is no such route")
