"""No API is served that the table of what is needed does not name, and none that nobody asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastlog.errors import ErrorCode
from fastlog.server.access import documentation, gate
from fastlog.server.access.admission import WITH_GUARDS
from fastlog.server.access.gate import ASK_THEMSELVES, GUARDS, NoRow, check, is_guarded, needs
from fastlog.server.access.table import TABLE
from fastlog.server.requests.registry import load_handlers, served
from fastlog.wire import ApiKey
from fastlog.wire.acl_types import Operation, Resource
from fastlog.wire.messages.groups import HeartbeatRequest
from tests.unit.server.access.helpers import access, session

DOCS = Path(__file__).parents[4] / "docs" / "acl.md"
OPEN = {ApiKey.API_VERSIONS, ApiKey.SASL_HANDSHAKE, ApiKey.SASL_AUTHENTICATE}


def test_every_api_has_rows_and_somebody_who_asks_for_them() -> None:
    assert WITH_GUARDS
    missing = [ApiKey(key).name for key in served() if not is_guarded(key)]
    assert not missing, f"{missing}: add rows to fastlog/server/access/table.py, and a guard"


def test_frames_are_asked_about_by_their_handlers() -> None:
    frames = {entry.api_key for entry in load_handlers().values() if entry.frame_handler is not None}
    assert frames == ASK_THEMSELVES - {ApiKey.METADATA}


def test_only_what_everybody_needs_is_open() -> None:
    of_owners = {ApiKey.RENEW_DELEGATION_TOKEN, ApiKey.EXPIRE_DELEGATION_TOKEN}
    assert {key for key in served() if not TABLE[ApiKey(key)]} == OPEN | of_owners


def test_every_row_has_a_code_of_its_resource() -> None:
    codes = {
        Resource.TOPIC: ErrorCode.TOPIC_AUTHORIZATION_FAILED,
        Resource.GROUP: ErrorCode.GROUP_AUTHORIZATION_FAILED,
        Resource.CLUSTER: ErrorCode.CLUSTER_AUTHORIZATION_FAILED,
        Resource.TRANSACTIONAL_ID: ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        Resource.DELEGATION_TOKEN: ErrorCode.DELEGATION_TOKEN_AUTHORIZATION_FAILED,
        Resource.USER: ErrorCode.DELEGATION_TOKEN_AUTHORIZATION_FAILED,
    }
    odd = {
        (key, row.operation)
        for key, rows in TABLE.items()
        for row in rows
        if row.without not in (None, codes[row.resource])
    }
    # Kafka's quirks: a follower is refused topic by topic, who may write nothing is refused the cluster.
    assert odd == {(ApiKey.FETCH, Operation.CLUSTER_ACTION), (ApiKey.INIT_PRODUCER_ID, Operation.WRITE)}


@pytest.mark.parametrize("key", [key for key in GUARDS if TABLE.get(key)], ids=lambda key: key.name)
def test_no_guard_lets_through_what_lost_its_rows(key: ApiKey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken out of the table, an API is refused, not open."""
    monkeypatch.setattr(gate, "TABLE", {name: rows for name, rows in TABLE.items() if name is not key})
    assert not is_guarded(key)
    with pytest.raises(NoRow):
        needs(key, len(TABLE[key]))


def test_an_api_without_rows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "TABLE", {})
    request = HeartbeatRequest(group_id="g")
    ask = access("User:root").ask(session("User:root"), "Heartbeat")
    with pytest.raises(NoRow):
        check(None, ask, request)  # type: ignore[arg-type]


def test_the_documentation_has_this_table() -> None:
    assert documentation.page() == DOCS.read_text(encoding="utf-8"), (
        "python -m fastlog.server.access.documentation docs/acl.md"
    )
