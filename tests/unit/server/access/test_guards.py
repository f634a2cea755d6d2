"""Guards of what no broker serves yet, or no client asks."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from fastlog.coordination.access.rules import CLUSTER_NAME
from fastlog.errors import ErrorCode
from fastlog.server.access.admission import WITH_GUARDS
from fastlog.server.access.gate import GUARDS, NoRow, Refused, by_name, needs
from fastlog.wire import ApiKey, Request
from fastlog.wire.acl_types import Operation, Resource
from fastlog.wire.messages.alter_client_quotas import AlterClientQuotasRequest, EntityData, EntryData
from tests.unit.server.access.helpers import access, allow, session


def outcome(request: Request, *operations: Operation) -> Any:
    """What the guard says of somebody who has these operations on the cluster."""
    assert WITH_GUARDS
    made = access()
    for operation in operations:
        allow(made, "User:a", operation, CLUSTER_NAME, Resource.CLUSTER)
    found = GUARDS[request.API](None, made.ask(session("User:a"), "x"), request)  # type: ignore[arg-type]
    if not isinstance(found, Generator):
        return found
    while True:
        try:
            next(found)
        except StopIteration as end:
            return end.value


def test_who_may_describe_quotas_may_not_alter_them() -> None:
    request = AlterClientQuotasRequest([EntryData([EntityData("user", "a")], []) for _ in range(3)])
    assert outcome(request, Operation.ALTER_CONFIGS) is None
    for operations in ((), (Operation.DESCRIBE_CONFIGS,), (Operation.ALTER, Operation.DESCRIBE)):
        refused = outcome(request, *operations)
        assert isinstance(refused, Refused)
        answer: Any = refused.response
        code = ErrorCode.CLUSTER_AUTHORIZATION_FAILED
        assert [(entry.error_code, entry.entity[0].entity_name) for entry in answer.entries] == [
            (code, "a")
        ] * 3


def test_many_names_are_many_steps() -> None:
    (need,) = needs(ApiKey.LIST_OFFSETS, 1)
    steps = by_name(access().ask(session("User:a"), "x"), need, [str(n) for n in range(1000)], str)
    count = 0
    with pytest.raises(StopIteration) as end:
        while True:
            next(steps)
            count += 1
    allowed, denied = end.value.value
    assert (len(allowed), len(denied), count) == (0, 1000, 1000 // 32)


def test_a_guard_that_knows_other_rows_refuses() -> None:
    with pytest.raises(NoRow):
        needs(ApiKey.LIST_OFFSETS, 2)
