"""Which APIs this broker serves: handlers register themselves, ApiVersions and dispatch read the result.

    @handles(ApiKey.METADATA)
    async def handle(ctx: RequestContext, request: MetadataRequest) -> MetadataResponse: ...

Handlers and the messages that they import took a third of the time of a start. So `handler_modules` lists
them, which is all that ApiVersions needs, and `loading` imports them when they are asked for, or later on.

Who asks is in the `Session` of the connection: `ctx.session`, `exchange.session`. Five kinds of handlers.
None may hold the event loop for as long as a request is large (`turns`):

* a coroutine function: the next request of the connection starts when it has returned. It goes through what
  the request brings with `async for item in ctx.pace.each(...)`;
* a generator function: the same without a task as long as it is short, for answers that come from memory. It
  yields after each element, and returns the answer;
* a plain function: for small answers that come from memory (`SmallResponse` where it has counted). Where
  others may be large it returns, for those, a generator that returns the answer;
* a plain function with a third parameter, `answer`, that it calls once, at once or later (`@handles_later`);
  then the next request starts. For requests that wait for each other in large numbers: none needs a task. For
  a long request it may return a coroutine instead, which returns the answer;
* a frame handler (`@handles_frame`): gets the undecoded frame and an `Exchange`, and says itself when the
  next request may start (`proceed`) and what the answer is (`reply`): Produce and Fetch.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from fastlog.server.requests.handler_modules import HANDLERS
from fastlog.server.requests.response_errors import Errors
from fastlog.wire.api_keys import API_VERSIONS, ApiKey

if TYPE_CHECKING:
    from fastlog.errors import ErrorCode
    from fastlog.native import Frame
    from fastlog.server.network.exchange import Exchange
    from fastlog.server.requests.context import BrokerServices, RequestContext
    from fastlog.wire.pieces import Encoded
    from fastlog.wire.schema import Request, Response

# Decoding makes many small objects out of few bytes: a larger frame of an API that has no bulk data is not
# looked into. Frames of bulk data are bounded by socket.request.max.bytes alone.
DECODED_MAX_BYTES: Final = 4 * 1024 * 1024
FRAME_MAX_BYTES: Final = 2**31 - 1
# A broker that refuses what its controller sends never learns its tasks: enough for 20,000 partitions in as
# many topics with the longest names, each moving from three replicas to three others.
CONTROLLER_MAX_BYTES: Final = 8 * 1024 * 1024
FROM_CONTROLLERS: Final = frozenset({ApiKey.LEADER_AND_ISR, ApiKey.STOP_REPLICA, ApiKey.UPDATE_METADATA})
# Metadata and assignments of groups: copied, encoded and kept. Kafka Streams has the largest, some 100 KiB.
GROUP_MAX_BYTES: Final = 16 * 1024 * 1024

AnyHandler = Callable[
    ...,
    "Response | SmallResponse | Generator[None, None, Response]"
    " | Coroutine[Any, Any, Response | EncodedResponse]",
]
LaterHandler = Callable[..., "Coroutine[Any, Any, Response] | None"]
FrameHandler = Callable[["BrokerServices", "Frame", "Exchange"], None]


class Answer(Protocol):
    """What a handler that answers later calls with its answer."""

    def __call__(
        self, response: Response | Generator[None, None, Response], errors: Errors | None = None, /
    ) -> None:
        """`errors` are the codes in an answer that is known to be small; a generator makes a large one."""
        ...


H = TypeVar("H", bound=Callable[..., Any])
L = TypeVar("L", bound=LaterHandler)
F = TypeVar("F", bound=FrameHandler)


@dataclass(frozen=True, slots=True)
class SmallResponse:
    """A response that is known to be small, with all that it holds, and the codes in it: encoded at once.

    "Small" is up to a thousand elements and a hundred thousand bytes, which take half a millisecond.
    """

    response: Response
    errors: Errors = ()


@dataclass(frozen=True, slots=True)
class EncodedResponse:
    """A whole response, ready to be sent but for its correlation id (bytes 4 to 8), and the codes in it."""

    frame: Encoded
    errors: Errors = ()


@dataclass(frozen=True, slots=True)
class Registration:
    """One API: its versions, the largest frame that is looked into, and one of the three callables.

    While its handler has yet to be loaded there is the name of its module instead of a callable.
    """

    api_key: ApiKey
    min_version: int
    max_version: int
    max_bytes: int
    oversized: ErrorCode | None = None
    """What a larger frame is answered with; None where its connection is closed."""
    handler: AnyHandler | None = None
    is_coroutine: bool = False
    is_generator: bool = False
    later_handler: LaterHandler | None = None
    lets_same: bool = False
    """Whether further requests of this API may start while one of the connection waits (`handles_later`)."""
    frame_handler: FrameHandler | None = None
    module: str | None = None
    """Of `fastlog.server.handlers`; None once it is loaded."""

    def handle(self, context: RequestContext, request: Request) -> Any:
        """The answer to a decoded request, or what makes it (`is_coroutine`, `is_generator`)."""
        if self.handler is None:
            raise TypeError(f"{self.api_key.name} has a handler of another kind")
        return self.handler(context, request)


Registry = dict[int, Registration]
"""By API key. What is loaded takes the place of what had only a module."""

_PACKAGE: Final = "fastlog.server.handlers"
_REGISTRATIONS: dict[int, Registration] = {}


def decoded_max_bytes(api_key: ApiKey) -> int:
    """The largest frame of an API that is decoded, if its handler names no other bound."""
    return CONTROLLER_MAX_BYTES if api_key in FROM_CONTROLLERS else DECODED_MAX_BYTES


def handles(
    api_key: ApiKey,
    *,
    max_bytes: int | None = None,
) -> Callable[[H], H]:
    """Registers a handler of decoded requests. The largest frame that is decoded defaults to
    `decoded_max_bytes`."""

    def register(function: H) -> H:
        _add(
            Registration(
                api_key,
                *API_VERSIONS[api_key],
                decoded_max_bytes(api_key) if max_bytes is None else max_bytes,
                handler=function,
                is_coroutine=inspect.iscoroutinefunction(function),
                is_generator=inspect.isgeneratorfunction(function),
            )
        )
        return function

    return register


def handles_later(
    api_key: ApiKey,
    *,
    max_bytes: int | None = None,
    oversized: ErrorCode | None = None,
    lets_same: bool = False,
) -> Callable[[L], L]:
    """Registers a handler that calls back with the answer; see the module's text.

    `lets_same`: its requests keep their order by themselves, so the next one of a connection may start while
    one waits; those of other APIs start when all are answered. The bytes of each count until then.
    """

    def register(function: L) -> L:
        most = decoded_max_bytes(api_key) if max_bytes is None else max_bytes
        later = Registration(
            api_key,
            *API_VERSIONS[api_key],
            most,
            oversized,
            later_handler=function,
            lets_same=lets_same,
        )
        _add(later)
        return function

    return register


def handles_frame(
    api_key: ApiKey,
    *,
    max_bytes: int = FRAME_MAX_BYTES,
) -> Callable[[F], F]:
    """Registers a handler that works on frames; see the module's text."""

    def register(function: F) -> F:
        _add(Registration(api_key, *API_VERSIONS[api_key], max_bytes, frame_handler=function))
        return function

    return register


def served() -> Registry:
    """All APIs, with all versions that the codecs know. No handler is loaded."""
    return {
        int(key): Registration(key, *API_VERSIONS[key], decoded_max_bytes(key), module=module)
        for module, keys in HANDLERS.items()
        for key in keys
    }


def import_handlers(module: str) -> list[Registration]:
    """Imports a module of `fastlog.server.handlers`, if nobody has, and returns what it has registered.

    Raises what the import raises (memory may be short, or the disk fail); it can be tried again then.
    """
    try:
        importlib.import_module(f"{_PACKAGE}.{module}")
    except BaseException:
        for key in HANDLERS[module]:
            _REGISTRATIONS.pop(key, None)
        raise
    return [_REGISTRATIONS[key] for key in HANDLERS[module]]


def load_handlers() -> Registry:
    """All APIs with their handlers: imports all that have yet to be."""
    return {int(entry.api_key): entry for module in HANDLERS for entry in import_handlers(module)}


def _add(registration: Registration) -> None:
    if registration.api_key in _REGISTRATIONS:
        raise ValueError(f"{registration.api_key.name} has two handlers")
    _REGISTRATIONS[registration.api_key] = registration
