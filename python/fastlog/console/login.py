"""Logging in and out: a one-time token or a password becomes a cookie that scripts cannot read."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from fastlog.console.answers import answer, problem
from fastlog.console.api import guarded
from fastlog.console.bodies import read_object
from fastlog.console.gate import cookie_of
from fastlog.console.state import Console
from fastlog.verbs.desk import Desk
from fastlog.verbs.problems import BadArgument

__all__ = ["login_routes"]

_MAX_BODY = 8 * 1024


def login_routes(console: Console) -> list[BaseRoute]:
    """POST /api/login, POST /api/logout, GET /api/session."""

    async def login(request: Request) -> Response:
        given = await read_object(request, _MAX_BODY)
        if console.tokens is not None and set(given) == {"token"}:
            if console.tokens.take(_text(given, "token")):
                return _let_in(console, "token")
            return problem(
                401, "WRONG_TOKEN", "this token is not (any more) valid: the console has told another"
            )
        if console.passwords is not None and set(given) == {"user", "password"}:
            user = _text(given, "user")
            is_right = await console.passwords.check(_address(request), user, _text(given, "password"))
            if is_right is None:
                return _too_many()
            if is_right:
                return _let_in(console, user)
            return _wrong()
        if console.identities is not None and set(given) == {"user", "password"}:
            return await _by_identity(console, request, _text(given, "user"), _text(given, "password"))
        raise BadArgument(f"this console takes {' or '.join(_ways(console)) or 'certificates'}")

    async def logout(request: Request) -> Response:
        console.sessions.close(cookie_of(request.headers, console.cookie))
        await console.close_sessions()
        response = answer({"who": None})
        response.delete_cookie(
            console.cookie, path="/", secure=console.secure, httponly=True, samesite="strict"
        )
        return response

    async def session(request: Request) -> Response:
        desk = console.desk
        servers = desk.connection.bootstrap
        return answer(
            {
                "who": request.state.who,
                "bootstrap": servers if isinstance(servers, str) else ",".join(servers),
                "cluster_id": desk.cluster.cluster_id,
                "allow_writes": desk.allow_writes,
                "masked": bool(desk.masks.rules),
                "schemas": desk.decoders.schema is not None,
                "measuring_problem": console.sampler.problem,
                "failing": console.supervisor.failing,
            }
        )

    return [
        Route("/api/login", guarded(login), methods=["POST"]),
        Route("/api/logout", guarded(logout), methods=["POST"]),
        Route("/api/session", guarded(session), methods=["GET"]),
    ]


async def _by_identity(console: Console, request: Request, user: str, password: str) -> Response:
    identities = console.identities
    assert identities is not None  # noqa: S101 - the caller has looked
    found = await identities.open(_address(request), user, password)
    if isinstance(found, str):
        return _wrong() if found == "wrong" else _too_many()
    return _let_in(console, user, found)


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else "?"


def _too_many() -> Response:
    return problem(429, "TOO_MANY_TRIES", "too many tries from this address: wait a minute")


def _wrong() -> Response:
    return problem(401, "WRONG_PASSWORD", "user and password do not belong together")


def _ways(console: Console) -> list[str]:
    return [
        *(["a token"] if console.tokens is not None else []),
        *(["user and password"] if console.passwords is not None else []),
        *(["user and password of the cluster"] if console.identities is not None else []),
    ]


def _text(given: dict[str, object], name: str) -> str:
    value = given[name]
    if not isinstance(value, str) or len(value) > 1024:
        raise BadArgument(f"{name}: is no text")
    return value


def _let_in(console: Console, who: str, desk: Desk | None = None) -> Response:
    response = answer({"who": who})
    # A session cookie: it ends with the browser, or after twelve idle hours.
    response.set_cookie(
        console.cookie,
        console.sessions.open(who, desk),
        path="/",
        secure=console.secure,
        httponly=True,
        samesite="strict",
    )
    return response
