"""Read only is read only: in the verb, and once more where requests leave."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import pytest

from fastlog.client.cluster import Cluster
from fastlog.client.errors import ClientError, Unreachable
from fastlog.verbs.desk import Connection, Desk, Note
from fastlog.verbs.problems import BadArgument, ReadOnly
from fastlog.verbs.read_only import QUESTIONS, ReadOnlyCluster
from fastlog.verbs.registry import Verb, call, load_all
from fastlog.wire import APIS, ApiKey, Request
from fastlog.wire.messages.topics import CreateTopicsRequest, DeleteTopicsRequest

WRITES: Final = [verb for verb in load_all().values() if verb.writes]
READS: Final = [verb for verb in load_all().values() if not verb.writes]
ARGUMENTS: Final[dict[str, dict[str, Any]]] = {
    "create_topic": {"topic": "t"},
    "alter_topic": {"topic": "t", "partitions": 3},
    "delete_topics": {"topics": ["t"]},
    "purge": {"topic": "t"},
    "alter_configs": {"resource_type": "topic", "resource": "t", "configs": {"retention.ms": "1"}},
    "produce": {"topic": "t", "value": "s3cret-value", "key": "s3cret-key"},
    "resend": {"topic": "t", "partition": 0, "offset": 0},
    "tombstone": {"topic": "t", "key": "s3cret-key"},
    "import_records": {"topic": "t", "records": [{"value": "s3cret-value"}]},
    "reset_offsets": {"group": "g", "to": "earliest"},
    "delete_groups": {"groups": ["g"]},
    "delete_group_offsets": {"group": "g", "topic": "t"},
    "elect_leaders": {},
    "reassign": {"topic": "t", "replicas": {"0": [1]}},
    "create_acl": {"resource": "Topic", "name": "t", "principal": "User:a", "operation": "Read"},
    "delete_acl": {"resource": "Topic", "name": "t", "principal": "User:a", "operation": "Read"},
    "set_password": {"user": "u", "password": "s3cret-password"},
    "delete_user": {"user": "u"},
    "alter_quotas": {"user": "u", "quotas": {"producer_byte_rate": 1.0}},
}


class SilentCluster(Cluster):
    """Counts what would be sent, and answers nothing."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1:1", timeout_ms=200)
        self.asked: list[ApiKey] = []

    async def _send(self, body: Request, *_: Any, **__: Any) -> Any:
        self.asked.append(body.API)
        raise Unreachable("nobody is there")


def desk_with(cluster: Cluster, notes: list[Note], *, allow_writes: bool) -> Desk:
    return Desk(Connection("127.0.0.1:1"), cluster, allow_writes, "ada", notes.append)


@pytest.mark.parametrize("verb", WRITES, ids=lambda verb: verb.name)
async def test_no_verb_writes_at_a_desk_that_may_only_look(verb: Verb) -> None:
    cluster, notes = SilentCluster(), list[Note]()
    desk = desk_with(cluster, notes, allow_writes=False)
    with pytest.raises(ReadOnly, match=verb.name):
        await call(desk, verb.name, ARGUMENTS[verb.name] | {"dry_run": False})
    assert cluster.asked == []
    assert [(note.verb, note.outcome, note.who) for note in notes] == [(verb.name, "refused", "ada")]
    assert "s3cret" not in json.dumps(notes[0].arguments)


@pytest.mark.parametrize("verb", WRITES, ids=lambda verb: verb.name)
async def test_a_write_that_fails_is_noted_without_secrets(verb: Verb) -> None:
    cluster, notes = SilentCluster(), list[Note]()
    with pytest.raises(ClientError):
        await call(
            desk_with(cluster, notes, allow_writes=True), verb.name, ARGUMENTS[verb.name] | {"dry_run": False}
        )
    assert [(note.verb, note.outcome) for note in notes] == [(verb.name, "failed")]
    assert "s3cret" not in json.dumps(notes[0].arguments)


@pytest.mark.parametrize("verb", WRITES, ids=lambda verb: verb.name)
async def test_plans_are_no_writes(verb: Verb) -> None:
    notes = list[Note]()
    desk = desk_with(SilentCluster(), notes, allow_writes=False)
    for arguments in ({}, {"dry_run": True}):
        with pytest.raises(ClientError):
            await call(desk, verb.name, ARGUMENTS[verb.name] | arguments)
    assert notes == []


def test_every_verb_that_writes_is_tested_here() -> None:
    assert {verb.name for verb in WRITES} == set(ARGUMENTS)
    assert {"browse", "list_topics", "describe_group"} <= {verb.name for verb in READS}


def test_only_questions_leave_a_read_only_cluster() -> None:
    async def ask(body: Request) -> None:
        cluster = ReadOnlyCluster("127.0.0.1:1", timeout_ms=50)
        try:
            await cluster._send(body, None, None, cluster._deadline(50))  # type: ignore[arg-type]
        finally:
            await cluster.close()

    class Body:
        def __init__(self, api: ApiKey) -> None:
            self.API = api

    for api in ApiKey:
        if api in APIS and api not in QUESTIONS:
            with pytest.raises(ReadOnly, match=api.name):
                asyncio.run(ask(Body(api)))  # type: ignore[arg-type]
    with pytest.raises(ReadOnly):
        asyncio.run(ask(CreateTopicsRequest()))
    with pytest.raises(ReadOnly):
        asyncio.run(ask(DeleteTopicsRequest()))


def test_questions_are_questions() -> None:
    words = ("DESCRIBE", "LIST", "FETCH", "METADATA", "FIND", "API_VERSIONS", "OFFSET_FOR_LEADER_EPOCH")
    for api in QUESTIONS:
        assert any(word in api.name for word in words), api
        assert not any(word in api.name for word in ("CREATE", "ALTER", "DELETE", "COMMIT", "WRITE")), api


@pytest.mark.parametrize(
    ("name", "arguments", "texts", "problem"),
    [
        ("nothing", {}, False, "there is no verb 'nothing'"),
        ("describe_topic", {}, False, "topic: is missing"),
        ("describe_topic", {"topic": 5}, False, "topic: 5 is not a text"),
        ("describe_topic", {"topic": "t", "x": 1}, False, "x: describe_topic has no such argument"),
        ("list_topics", {"limit": True}, False, "limit: True is not a whole number"),
        ("list_topics", {"limit": "9" * 40}, True, "is not a whole number"),
        ("list_topics", {"limit": 2**70}, False, "is not a whole number"),
        ("list_topics", {"internal": "maybe"}, True, "internal: 'maybe' is not true or false"),
        ("list_topics", {"sort": "colour"}, True, "is not one of topic"),
        ("list_topics", {"sort": "lag"}, True, "measured by a console only"),
        ("browse", {"topic": "t", "partitions": "a"}, True, "partitions: 'a' is not a whole number"),
        ("browse", {"topic": "t", "partitions": [[]]}, False, r"partitions\[0\]"),
        ("browse", {"topic": "t", "limit": 5000}, False, "limit: 5000 is not from 1 to 1000"),
        ("browse", {"topic": "t", "max_ms": 10**9}, False, "max_ms"),
        ("browse", {"topic": "t", "filter": "1 =="}, False, "filter"),
        ("purge", {"topic": "t", "before": "[" * 100_000}, True, "before"),
        ("alter_quotas", {"user": "u", "quotas": {"producer_byte_rate": float("nan")}}, False, "quotas"),
        ("reset_offsets", {"group": "g", "to": "offset"}, False, "offset: is missing"),
        ("reset_offsets", {"group": "g", "to": "latest", "shift": 1}, False, "shift: does not go with"),
        ("reset_offsets", {"group": "g", "to": "offset", "offset": -1}, False, "negative"),
        ("reset_offsets", {"group": "g", "to": "offsets", "offsets": {"t": 1}}, False, "no partition"),
        ("reset_offsets", {"group": "g", "to": "latest", "topics": ["t:x"]}, False, "topics"),
    ],
)
async def test_wrong_arguments_are_told_before_anything_is_asked(
    name: str, arguments: dict[str, object], texts: bool, problem: str
) -> None:
    cluster = SilentCluster()
    with pytest.raises(BadArgument, match=problem):
        await call(desk_with(cluster, [], allow_writes=True), name, arguments, texts=texts)
    assert cluster.asked == []


def test_every_argument_has_a_text_and_a_schema() -> None:
    for verb in load_all().values():
        assert verb.text, verb.name
        for item in verb.parameters:
            assert item.text, f"{verb.name}: {item.name}"
            json.dumps(item.kind.schema())
