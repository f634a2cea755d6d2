"""Who may do what, of every API: the answers of Apache Kafka 3.9.1 in ZooKeeper mode with the same rules, and
ours. A cell is a principal with its rules, a request in a version, and a resource that it names.

docs/security.md says in what they differ, and why.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fastlog.server.access import gate
from fastlog.server.access.table import TABLE
from fastlog.server.requests.registry import served
from fastlog.wire import ApiKey, encode_request
from fastlog.wire.acl_types import Operation
from tests.compat.access.asked import Asked
from tests.compat.access.operator_requests import AMONG_BROKERS
from tests.compat.access.pair import Pair, pair
from tests.compat.access.requests import asked
from tests.compat.access.users import User, users
from tests.compat.tool_session import ToolResult, ToolSession
from tests.peers.apache_kafka import ACL_COMMAND, KAFKA_3

pytestmark = [pytest.mark.java, pytest.mark.timeout(900)]

LEAST_CELLS = 2000
# Of Kafka in KRaft mode alone, or of releases after 3.9: `test_access.py` has a model of them.
ELSEWHERE = {
    ApiKey.DESCRIBE_TOPIC_PARTITIONS,
    ApiKey.CONSUMER_GROUP_HEARTBEAT,
    ApiKey.CONSUMER_GROUP_DESCRIBE,
}
OPEN = {ApiKey.API_VERSIONS, ApiKey.SASL_HANDSHAKE, ApiKey.SASL_AUTHENTICATE}


Cells = list[tuple[Asked, list[User]]]
ONE_OF = 7
"""Of so many users the short form has one at each request, at each another."""


def all_cells() -> Cells:
    """Each request, with everybody."""
    everybody = users()
    return [(one, everybody) for one in asked()]


def some_cells() -> Cells:
    """Each request, with who may nothing and everything, and one of seven of the others: all come in turn."""
    everybody = users()
    return [
        (one, [user for at, user in enumerate(everybody) if at < 2 or (at + number) % ONE_OF == 0])
        for number, one in enumerate(asked())
    ]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("access"), users()) as made:
        yield made


class Anything(dict[str, bytes]):
    """Ids for whatever is asked for."""

    def __missing__(self, name: str) -> bytes:
        return bytes(16)


def test_every_api_is_asked() -> None:
    keys = {one.make(Anything()).API for one in asked()}
    assert {ApiKey(key) for key in served()} - keys <= ELSEWHERE | OPEN
    assert all(encode_request(one.make(Anything()), one.version, 1) for one in asked())


def differences(both: Pair, cells: Cells) -> tuple[int, list[str]]:
    """(how many cells, what is not the same)."""
    count, found = 0, []
    for one, who in cells:
        key = one.make(both.fastlog.ids).API
        for user in who:
            kafka, fastlog = (side.verdict(user.name, one) for side in (both.kafka, both.fastlog))
            count += one.names
            if kafka != fastlog and not is_known(key, one, kafka, fastlog):
                only_kafka, only_ours = sorted(set(kafka) - set(fastlog)), sorted(set(fastlog) - set(kafka))
                where = f"{one.what} v{one.version}, {user.name} {user.what}"
                found.append(f"{where}: only Kafka {only_kafka}, only fastlog {only_ours}")
    return count, found


def is_known(key: ApiKey, one: Asked, kafka: list[str], fastlog: list[str]) -> bool:
    """| what                                                        | Kafka          | fastlog             |
    |-------------------------------------------------------------|----------------|---------------------|
    | what brokers ask of each other, not over their own listener | is done        | is refused          |
    | offsets of a group, in versions without a code for the whole | not a word     | the code            |
    | SCRAM credentials of a user                                 | one without name | the code of all   |
    """
    only_kafka, only_ours = set(kafka) - set(fastlog), set(fastlog) - set(kafka)
    if key is ApiKey.OFFSET_FETCH and one.version < 2:
        return not only_kafka and all("GROUP_AUTHORIZATION_FAILED" in line for line in only_ours)
    if key is ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS:
        return not only_ours and only_kafka == {"/user= error_code=CLUSTER_AUTHORIZATION_FAILED"}
    refused = any("CLUSTER_AUTHORIZATION_FAILED" in line for line in fastlog)
    return refused and (key in AMONG_BROKERS or one.what.startswith("Fetch of a follower"))


def test_the_same_as_kafka(both: Pair) -> None:
    count, found = differences(both, some_cells())
    print(f"{count} cells")
    assert count >= LEAST_CELLS
    assert not found, f"{len(found)} of {count} cells\n" + "\n".join(found)


def test_the_log_says_the_same(both: Pair) -> None:
    """Whatever was asked of both by now."""
    theirs, ours = ({counted(line) for line in lines if not is_known_line(line)} for lines in both.denied())
    assert len(theirs) > 200
    different = [*sorted(ours - theirs), "only in Kafka's:", *sorted(theirs - ours)]
    assert len(different) == 1, "\n".join(different)


def counted(line: str) -> str:
    """A line without the count: Kafka has two lines of 1 where we have one of 2, and the other way round."""
    return line.partition(" with resourceRefCount")[0]


def is_known_line(line: str) -> bool:
    """Of fetches that are refused over the wrong listener; and Kafka tries Describe of what is to be deleted
    by its name, too, where it has no use for that."""
    if "request = Fetch" in line:
        return "ClusterAction" in line
    return "request = DeleteTopics" in line and "Operation = Describe " in line


@pytest.mark.whole
def test_all_the_same_as_kafka(both: Pair) -> None:
    count, found = differences(both, all_cells())
    print(f"{count} cells")
    assert not found, f"{len(found)} of {count} cells\n" + "\n".join(found[:200])


def test_a_row_that_is_gone_is_found_out(both: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison sees it when the table says less: taken away, changed, or open."""
    cells = [(one, who) for one, who in all_cells() if one.what == "ListOffsets" and one.version == 7]
    without = {key: rows for key, rows in TABLE.items() if key is not ApiKey.LIST_OFFSETS}
    monkeypatch.setattr(gate, "TABLE", without)
    assert differences(both, cells)[1]
    (row,) = TABLE[ApiKey.LIST_OFFSETS]
    changed = {**TABLE, ApiKey.LIST_OFFSETS: (row._replace(operation=Operation.READ),)}
    monkeypatch.setattr(gate, "TABLE", changed)
    assert differences(both, cells)[1]
    monkeypatch.setitem(gate.GUARDS, ApiKey.LIST_OFFSETS, gate.open_to_all)
    assert differences(both, cells)[1]
    monkeypatch.undo()
    assert not differences(both, cells)[1]


ELSEWHERE_ROWS = {
    # Refused over the wrong listener in any case.
    *((key, 0) for key in (*AMONG_BROKERS, ApiKey.FETCH)),
    # Share groups, and settings of groups, are not in Kafka's ZooKeeper mode.
    (ApiKey.FIND_COORDINATOR, 2),
    *((key, 1) for key in (ApiKey.DESCRIBE_CONFIGS, ApiKey.ALTER_CONFIGS, ApiKey.INCREMENTAL_ALTER_CONFIGS)),
    # Nothing is deleted by its id, and nobody has topics made.
    (ApiKey.DELETE_TOPICS, 0),
    *((ApiKey.METADATA, row) for row in (1, 2)),
    # These brokers have no tokens.
    *((ApiKey.DESCRIBE_DELEGATION_TOKEN, row) for row in (0, 1)),
}
"""What `test_access.py` has, and `test_delegation_tokens.py`."""


@pytest.mark.whole
def test_every_row_matters(both: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another operation in any of its rows an API's answers are not those of Kafka."""
    unnoticed = []
    by_api: dict[ApiKey, Cells] = {}
    for one, who in all_cells():
        by_api.setdefault(one.make(Anything()).API, []).append((one, who))
    for key, cells in by_api.items():
        theirs = {
            (user.name, one.what, one.version): both.kafka.verdict(user.name, one)
            for one, who in cells
            for user in who
        }
        for number, row in enumerate(TABLE[key]):
            if (key, number) in ELSEWHERE_ROWS:
                continue
            rows = [*TABLE[key]]
            rows[number] = row._replace(operation=Operation.DESCRIBE_TOKENS)
            with monkeypatch.context() as patch:
                patch.setattr(gate, "TABLE", {**TABLE, key: tuple(rows)})
                if not any(
                    both.fastlog.verdict(user.name, one) != theirs[user.name, one.what, one.version]
                    for one, who in cells
                    for user in who
                ):
                    unnoticed.append((key.name, number))
    assert not unnoticed


INSTEAD = (ApiKey.METADATA, ApiKey.DESCRIBE_CLUSTER, ApiKey.OFFSET_FOR_LEADER_EPOCH, ApiKey.FETCH)
"""What tells who may act on the cluster, or has another way. That is not open here, as it is in Kafka."""
GUARDED = ("CLUSTER_AUTHORIZATION_FAILED", "DELEGATION_TOKEN_AUTHORIZATION_FAILED")
"""Nor are tokens for others."""


@pytest.mark.whole
def test_the_same_where_what_no_rule_names_is_open(tmp_path: Path) -> None:
    """`allow.everyone.if.no.acl.found`, with rules of single names alone."""
    who = [user for user in users() if user.what.startswith("only ") or user.what == "nothing"]
    who = [user for user in who if "Cluster" not in user.what]
    with pair(tmp_path, who, {"allow.everyone.if.no.acl.found": "true"}) as made:
        count, found, guarded = 0, [], 0
        for one in asked():
            key = one.make(made.fastlog.ids).API
            for user in who:
                kafka, fastlog = (side.verdict(user.name, one) for side in (made.kafka, made.fastlog))
                count += one.names
                if kafka == fastlog or is_known(key, one, kafka, fastlog):
                    continue
                ours = set(fastlog) - set(kafka)
                if key in INSTEAD or all(any(code in line for code in GUARDED) for line in ours):
                    guarded += 1
                else:
                    found.append(f"{one.what} v{one.version}, {user.what}: {kafka} {fastlog}")
    print(f"{count} cells")
    assert not found, "\n".join(found)
    assert guarded > 100


TOOL = """
--add --allow-principal User:x --operation Read --operation Write --topic tools
--add --deny-principal User:y --deny-host 10.0.0.1 --operation All --topic tools
--add --allow-principal User:x --producer --topic out --transactional-id tx
--add --allow-principal User:x --producer --idempotent --topic out
--add --allow-principal User:x --consumer --topic * --group tools
--add --allow-principal User:CN=z,O=A --operation Describe --topic pre --resource-pattern-type prefixed
--add --allow-principal User:CN=z,O=A --operation AlterConfigs --topic pre --resource-pattern-type prefixed
--add --allow-principal User:x --operation Alter --cluster
--add --allow-principal User:x --operation CreateTokens --user-principal User:q
--add --allow-principal User:x --operation Fly --topic tools
--add --allow-principal x --operation Read --topic tools
--add --allow-principal User:x --operation Read --topic a/b
--add --allow-principal User:x --operation Read --group g --operation Create
--list --topic tools
--list --topic prefix --resource-pattern-type match
--list --topic pre --resource-pattern-type any
--list --principal User:x --principal User:y
--list --cluster
--list --topic nothing
--remove --force --deny-principal User:y --operation All --topic tools
--remove --force --topic tools
--remove --force --topic pre --resource-pattern-type prefixed
--remove --force --allow-principal User:x --producer --topic out
--remove --force --topic nothing
--list --principal User:x
"""


def test_kafka_acls_says_the_same(both: Pair) -> None:
    with ToolSession(KAFKA_3) as tools:
        for line in TOOL.strip().splitlines():
            words = line.split()
            kafka, fastlog = (
                tools.run(ACL_COMMAND, "--bootstrap-server", f"127.0.0.1:{side.plain}", *words)
                for side in (both.kafka, both.fastlog)
            )
            assert comparable(fastlog) == comparable(kafka), line


def comparable(result: ToolResult) -> tuple[int, list[str], list[str]]:
    """Status and lines: in which order rules are told is nobody's promise."""
    told = [
        [
            line.partition("Exception: ")[0].strip()
            for line in text.splitlines()
            if not line.startswith(("SLF4J", "log4j", "\tat "))
        ]
        for text in (result.out, result.err)
    ]
    return result.status, sorted(told[0]), told[1][:1]
