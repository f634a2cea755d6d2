"""What the dispatcher calls instead of a handler where there is an authorizer: the guard goes first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Final, Protocol

from fastlog.server.access import cluster, groups, tokens, topics, transactions
from fastlog.server.access.gate import Outcome, Part, Refused, check
from fastlog.server.memory.answer_memory import ROW_BYTES
from fastlog.server.requests.context import RequestContext
from fastlog.server.requests.registry import SmallResponse
from fastlog.server.requests.turns import Abandoned

if TYPE_CHECKING:
    from fastlog.server.access.asking import Access, Ask
    from fastlog.server.network.exchange import Exchange
    from fastlog.server.requests.context import BrokerServices
    from fastlog.server.requests.registry import Registration
    from fastlog.server.requests.turns import Pace
    from fastlog.wire import Request, RequestHeader, Response, Steps

__all__ = ["Admission", "Handle"]

WITH_GUARDS: Final = (topics, groups, transactions, cluster, tokens)
"""The modules of guards: they register them."""
_FEW_STEPS: Final = 8


class Handle(Protocol):
    """What has a request handled."""

    def __call__(
        self,
        registration: Registration,
        exchange: Exchange,
        pace: Pace,
        header: RequestHeader,
        request: Request,
        ask: Ask | None = None,
        /,
    ) -> None:
        """Raises nothing."""
        ...


class Admission:
    """One of a dispatcher: `handle` hands over, `finish` answers with what a coroutine returns, `fail` and
    `abandon` do what their names say."""

    def __init__(
        self,
        services: BrokerServices,
        access: Access,
        handle: Handle,
        finish: Callable[
            [Registration, Exchange, Pace, Coroutine[Any, Any, Response]], Coroutine[Any, Any, None]
        ],
        fail: Callable[[Registration, Exchange, Exception], None],
        abandon: Callable[[Exchange], None],
    ) -> None:
        self._services = services
        self._access = access
        self._handle = handle
        self._finish = finish
        self._fail = fail
        self._abandon = abandon

    def admit(
        self,
        registration: Registration,
        exchange: Exchange,
        pace: Pace,
        header: RequestHeader,
        request: Request,
        _ask: Ask | None = None,
        /,
    ) -> None:
        """Hands over what the client may have of what it asks for. Raises nothing."""
        try:
            ask = self._access.ask(exchange.session, registration.api_key.title)
            context = RequestContext(self._services, header, exchange.session, pace, ask)
            outcome = check(context, ask, request)
            if isinstance(outcome, Generator):
                steps = outcome
                try:
                    for _ in range(_FEW_STEPS):
                        next(steps)
                except StopIteration as end:
                    outcome = end.value
                else:
                    going_on = self._go_on(registration, exchange, context, ask, request, steps)
                    self._services.turns.start(going_on)
                    return
            self._let(registration, exchange, context, ask, request, outcome)
        except Exception as error:  # noqa: BLE001 - mapped to an error code and logged
            self._fail(registration, exchange, error)

    async def _go_on(
        self,
        registration: Registration,
        exchange: Exchange,
        context: RequestContext,
        ask: Ask,
        request: Request,
        steps: Steps[Outcome],
    ) -> None:
        try:
            outcome = await context.pace.run(steps)
            self._let(registration, exchange, context, ask, request, outcome)
        except Abandoned:
            self._abandon(exchange)
        except Exception as error:  # noqa: BLE001 - mapped to an error code and logged
            self._fail(registration, exchange, error)

    def _let(
        self,
        registration: Registration,
        exchange: Exchange,
        context: RequestContext,
        ask: Ask,
        request: Request,
        outcome: Outcome,
    ) -> None:
        ask.tell()
        if outcome is None:
            self._handle(registration, exchange, context.pace, context.header, request, ask)
            return
        answering = self._answered(registration, context, ask, outcome)
        self._services.turns.start(self._finish(registration, exchange, context.pace, answering))

    async def _answered(
        self, registration: Registration, context: RequestContext, ask: Ask, outcome: Part | Refused
    ) -> Response:
        if isinstance(outcome, Refused):
            return outcome.response
        response = None
        if outcome.request is not None:
            response = await self._asked(registration, context, outcome.request)
        finishing = context.pace.weigh(outcome.finish(response), ROW_BYTES)
        response = await context.pace.run(finishing)
        ask.tell()
        return response

    async def _asked(self, registration: Registration, context: RequestContext, request: Request) -> Response:
        """The answer of a handler of any kind."""
        later = registration.later_handler
        response: Any
        if later is None:
            response = registration.handle(context, request)
            if registration.is_coroutine:
                response = await response
        else:
            told: asyncio.Future[Any] = self._services.loop.create_future()

            def answer(found: object, _errors: object = None, /) -> None:
                if not told.done():
                    told.set_result(found)

            rest = later(context, request, answer)
            response = await (told if rest is None else rest)
        if isinstance(response, Generator):
            response = await context.pace.run(context.pace.weigh(response, ROW_BYTES))
        answered: Response = response.response if isinstance(response, SmallResponse) else response
        return answered
