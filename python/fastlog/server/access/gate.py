"""Between the dispatcher and the handlers: what a request asks for that it may not have is taken out of it.

    request --guard--> all of it is allowed:   the handler gets it as it came
                       nothing of it:          refused
                       a part:                 the handler gets that, `finish` adds the rest to its answer

A guard is a function of what asks and of the request; for requests that may be long a generator, which yields
now and then and returns one of these. Produce, Fetch and Metadata ask for themselves. An API without a
guard, or without rows in the table, is served to nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from fastlog.coordination.access.rules import CLUSTER_NAME, Resource
from fastlog.errors import ErrorCode
from fastlog.server.access.table import TABLE, Need
from fastlog.server.requests.error_answers import error_response
from fastlog.wire import ApiKey, response_type

if TYPE_CHECKING:
    from fastlog.server.access.asking import Ask
    from fastlog.server.requests.context import RequestContext
    from fastlog.wire import Request, Response, Steps

__all__ = [
    "ASK_THEMSELVES",
    "GUARDS",
    "LOT",
    "NoRow",
    "Outcome",
    "Part",
    "Refused",
    "by_name",
    "check",
    "code_of",
    "given",
    "guards",
    "is_guarded",
    "needs",
    "on_cluster",
    "refused",
    "rows",
    "whole",
    "without",
]

LOT: Final = 32
"""Names that are decided about between two moments at which others may go first."""

ASK_THEMSELVES: Final = frozenset({ApiKey.PRODUCE, ApiKey.FETCH, ApiKey.METADATA})
"""Their handlers do what a guard does."""

T = TypeVar("T")
R = TypeVar("R", bound="Response")
G = TypeVar("G", bound=Callable[..., Any])


class NoRow(Exception):
    """The table says nothing of an API, or less than its guard asks for."""


class Part(NamedTuple):
    """A part of a request is allowed; with None nothing is left that the handler could do.

    `finish` makes the answer of that of the handler.
    """

    request: Request | None
    finish: Callable[[Response | None], Generator[None, None, Response]]


class Refused(NamedTuple):
    """Nothing of a request is allowed."""

    response: Response


Outcome = Part | Refused | None
"""None: all is allowed."""

Guard = Callable[["RequestContext", "Ask", Any], "Outcome | Generator[None, None, Outcome]"]
GUARDS: Final[dict[ApiKey, Guard]] = {}


def guards(*keys: ApiKey) -> Callable[[G], G]:
    """Registers the guard of some APIs."""

    def register(function: G) -> G:
        for key in keys:
            if key in GUARDS:
                raise ValueError(f"{key.name} has two guards")
            GUARDS[key] = function
        return function

    return register


def is_guarded(key: int) -> bool:
    """Whether an API has rows, and somebody who asks for them."""
    return key in TABLE and (key in GUARDS or key in ASK_THEMSELVES)


def check(ctx: RequestContext, ask: Ask, request: Request) -> Outcome | Steps[Outcome]:
    """What is allowed of a request. Raises NoRow."""
    key = request.API
    if not is_guarded(key):
        raise NoRow(f"{key.name} is not in the table of what is needed")
    if key in ASK_THEMSELVES:
        return None
    return GUARDS[key](ctx, ask, request)


def rows(key: ApiKey) -> Sequence[Need]:
    """The rows of an API. Raises KeyError."""
    return TABLE[key]


def needs(key: ApiKey, count: int) -> Sequence[Need]:
    """The rows of an API. Raises NoRow unless there are as many as its guard knows."""
    found = TABLE.get(key)
    if found is None or len(found) != count:
        raise NoRow(f"the table of what is needed has other rows of {key.name} than its guard")
    return found


def by_name(
    ask: Ask, need: Need, items: Sequence[T], name: Callable[[T], str]
) -> Generator[None, None, tuple[list[T], list[T]]]:
    """(those whose resources are allowed, the others), in steps."""
    allowed: list[T] = []
    denied: list[T] = []
    may, operation, resource = ask.may, need.operation, need.resource
    for number, item in enumerate(items, start=1):
        (allowed if may(operation, resource, name(item)) else denied).append(item)
        if not number % LOT:
            yield
    return allowed, denied


def on_cluster(ask: Ask, need: Need) -> bool:
    """Whether a row about the cluster is allowed; what is only tried is not logged."""
    if need.without is None:
        return ask.tries(need.operation, Resource.CLUSTER, CLUSTER_NAME)
    return ask.may(need.operation, Resource.CLUSTER, CLUSTER_NAME)


def code_of(need: Need) -> int:
    """The code of what a row refuses."""
    if need.without is None:
        raise NoRow("a row that refuses nothing")
    return int(need.without)


def without(
    request: Request,
    of: str,
    parts: tuple[list[Any], Sequence[Any]],
    answer: type[Response],
    into: str,
    row: Callable[[Any], Any],
    *,
    unless_failed: bool = False,
) -> Outcome:
    """What is left of a request without what is denied, for which its answer gets a row each.

    `of` is the field with what it asks for, `parts` are (what is allowed, what is not) of that, `into` is the
    field of the rows. `unless_failed`: an answer that has failed as a whole gets none.
    """
    allowed, denied = parts
    if not denied:
        return None

    def finish(response: Response | None) -> Steps[Response]:
        found = given(response, answer)
        if unless_failed and getattr(found, "error_code"):  # noqa: B009 - not every answer has one
            return found
        rows: list[Any] = getattr(found, into)
        for item in denied:
            rows.append(row(item))
            yield
        return found

    setattr(request, of, allowed)
    return Part(request if allowed else None, finish)


def given(response: Response | None, kind: type[R]) -> R:
    """The answer of the handler, or an empty one where it was not asked."""
    return response if isinstance(response, kind) else kind()


def refused(ctx: RequestContext, key: ApiKey, need: Need) -> Refused:
    """The answer that says so at its top."""
    version = ctx.header.api_version
    code = ErrorCode(code_of(need))
    response = error_response(response_type(key), version, code, code.text)
    if response is None:
        raise NoRow(f"{key.name} version {version} has no place for {code.name}")
    return Refused(response)


def whole(ctx: RequestContext, ask: Ask, request: Request) -> Outcome:
    """The guard of APIs that are refused as a whole, at the top of their answers."""
    key = request.API
    for need in TABLE[key]:
        name = CLUSTER_NAME if need.resource is Resource.CLUSTER else getattr(request, need.of)
        if not ask.may(need.operation, need.resource, name):
            return refused(ctx, key, need)
    return None


def open_to_all(_ctx: RequestContext, _ask: Ask, _request: Request) -> Outcome:
    """The guard of APIs that need nothing, or whose rows are about a part of their answers alone."""
    return None


guards(
    ApiKey.API_VERSIONS,
    ApiKey.SASL_HANDSHAKE,
    ApiKey.SASL_AUTHENTICATE,
    ApiKey.DESCRIBE_CLUSTER,
    # Their handlers know whose tokens they are.
    ApiKey.RENEW_DELEGATION_TOKEN,
    ApiKey.EXPIRE_DELEGATION_TOKEN,
    # It asks for itself, of each token that it would tell of.
    ApiKey.DESCRIBE_DELEGATION_TOKEN,
    # It asks for itself, as it goes through pages of topics.
    ApiKey.DESCRIBE_TOPIC_PARTITIONS,
)(open_to_all)

guards(
    ApiKey.JOIN_GROUP,
    ApiKey.SYNC_GROUP,
    ApiKey.HEARTBEAT,
    ApiKey.LEAVE_GROUP,
    ApiKey.ADD_OFFSETS_TO_TXN,
    ApiKey.END_TXN,
    ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS,
    ApiKey.DESCRIBE_ACLS,
    ApiKey.ALTER_PARTITION_REASSIGNMENTS,
    ApiKey.LIST_PARTITION_REASSIGNMENTS,
    ApiKey.UPDATE_FEATURES,
    ApiKey.LEADER_AND_ISR,
    ApiKey.STOP_REPLICA,
    ApiKey.UPDATE_METADATA,
    ApiKey.CONTROLLED_SHUTDOWN,
    ApiKey.ALTER_PARTITION,
    ApiKey.ALLOCATE_PRODUCER_IDS,
)(whole)
