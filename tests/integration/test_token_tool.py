"""`fastlog token`, the calls of `Admin`, and the library's logins with tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastlog import Admin, Consumer, Producer, TopicPartition, errors
from fastlog.client.security_properties import security_of_properties
from fastlog.errors import ConfigError
from fastlog.wire.acl_types import Operation, PatternType, Resource
from tests.harness.cli import fastlog
from tests.integration.access_rules import MODULE
from tests.integration.token_broker import TokenBroker

SCRAM_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenBroker]:
    running = TokenBroker(tmp_path_factory.mktemp("tokens"))
    running.start()
    try:
        running.allow("alice", Operation.ALL, "t", kind=PatternType.PREFIXED)
        running.allow("alice", Operation.CREATE_TOKENS, "User:carol", Resource.USER)
        yield running
    finally:
        running.close()


def options(tokens: TokenBroker, user: str, secret: str, mechanism: str = "PLAIN") -> dict[str, Any]:
    """Of a client of the library."""
    return {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism,
        "sasl_username": user,
        "sasl_password": secret,
    }


def address(tokens: TokenBroker) -> str:
    return f"127.0.0.1:{tokens.sasl_port}"


def test_admin(tokens: TokenBroker) -> None:
    with (
        Admin(address(tokens), **options(tokens, "alice", "alice")) as alice,
        Admin(address(tokens), **options(tokens, "bob", "bob")) as bob,
    ):
        made = alice.create_delegation_token(renewers=["User:bob"], max_lifetime_ms=3_600_000)
        assert (made.owner, made.requester, made.renewers) == ("User:alice", "User:alice", ("User:bob",))
        assert made.expiry_ms == made.max_ms == made.issued_ms + 3_600_000
        assert alice.describe_delegation_tokens() == (made,) == bob.describe_delegation_tokens()
        assert bob.describe_delegation_tokens(["User:alice"]) == (made,)
        assert bob.describe_delegation_tokens([]) == ()
        assert "secret" not in repr(made)
        end = bob.renew_delegation_token(made.secret, period_ms=60_000)
        assert end < made.expiry_ms
        assert alice.describe_delegation_tokens()[0].expiry_ms == end
        of_carol = alice.create_delegation_token(owner="User:carol")
        assert (of_carol.owner, of_carol.requester) == ("User:carol", "User:alice")
        with pytest.raises(errors.DelegationTokenAuthorizationFailed):
            alice.create_delegation_token(owner="User:root")
        with pytest.raises(errors.DelegationTokenOwnerMismatch):
            alice.renew_delegation_token(of_carol.secret)
        with pytest.raises(errors.DelegationTokenNotFound):
            alice.renew_delegation_token(b"x")
        with pytest.raises(errors.InvalidPrincipalType):
            alice.create_delegation_token(renewers=["Group:g"])
        with pytest.raises(ValueError, match="is no principal"):
            alice.create_delegation_token(renewers=["bob"])
        later = alice.expire_delegation_token(made.secret, after_ms=1_000_000)
        assert end < later <= made.max_ms
        alice.expire_delegation_token(made.secret)
        assert alice.describe_delegation_tokens(["User:bob"]) == ()
    with Admin(tokens.bootstrap) as operator, pytest.raises(errors.DelegationTokenRequestNotAllowed):
        operator.create_delegation_token()


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_the_library_logs_in(tokens: TokenBroker, mechanism: str) -> None:
    topic = f"t-{mechanism}"
    with Admin(address(tokens), **options(tokens, "alice", "alice")) as alice:
        made = alice.create_delegation_token()
    own = {**options(tokens, made.token_id, made.password, mechanism), "sasl_delegation_token": True}
    with Producer(address(tokens), **own) as producer:
        producer.send(topic, b"v").result(timeout=20)
        assert "User:alice" in tokens.principals()
    with Consumer(address(tokens), auto_offset_reset="earliest", **own) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        assert next(iter(consumer)).value == b"v"
    for wrong in ({**own, "sasl_delegation_token": False}, {**own, "sasl_password": "x"}):
        with pytest.raises(errors.SaslAuthenticationFailed), Admin(address(tokens), **wrong) as nobody:
            nobody.list_topics()


def test_properties() -> None:
    common = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-256"}
    jaas = f'{SCRAM_MODULE} required username="id" password="s" tokenauth="true";'
    given = {"sasl.username": "id", "sasl.password": "s", "sasl.delegation.token": "True"}
    for found in ({"sasl.jaas.config": jaas}, given):
        credentials = security_of_properties({**common, **found}).credentials
        assert credentials is not None
        assert credentials.is_delegation_token
    plain = {**common, "sasl.jaas.config": jaas.replace("true", "false")}
    credentials = security_of_properties(plain).credentials
    assert credentials is not None
    assert not credentials.is_delegation_token
    for bad in ({**given, "sasl.delegation.token": "yes"}, {**given, "sasl.mechanism": "PLAIN"}):
        with pytest.raises(ConfigError, match=r"sasl\.delegation\.token"):
            security_of_properties({**common, **bad})


@pytest.mark.timeout(180)
def test_tool(tokens: TokenBroker, tmp_path: Path) -> None:
    def run(user: str, *words: str, code: int = 0) -> Any:
        file = tmp_path / f"{user}.properties"
        file.write_text(
            "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\n"
            f'sasl.jaas.config={MODULE} required username="{user}" password="{user}";\n'
        )
        return fastlog("--client-config", str(file), "token", *words, bootstrap=address(tokens), code=code)

    def rows(user: str, *words: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(run(user, "list", "-o", "json", *words).stdout)
        return found

    made = json.loads(run("bob", "create", "--renewer", "dave", "--lifetime", "2h", "-o", "json").stdout)
    assert (made["owner"], made["renewers"]) == ("User:bob", ["User:dave"])
    assert made["expires"] == made["renewable_until"] > made["issued"]
    token = made["token"]
    (shown,) = rows("bob")
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    assert rows("bob", "dave", "--secrets") == [made]
    assert rows("bob", "nobody") == []
    table = run("bob", "list").stdout.decode().splitlines()
    assert table[0].split() == [
        "TOKEN",
        "OWNER",
        "REQUESTER",
        "RENEWERS",
        "ISSUED",
        "EXPIRES",
        "RENEWABLE",
        "UNTIL",
    ]
    assert table[1].split()[:4] == [token, "User:bob", "User:bob", "User:dave"]
    assert made["secret"] not in run("bob", "list").stdout.decode()
    assert made["secret"] in run("bob", "list", "--secrets").stdout.decode()

    said = run("bob", "renew", token, "--for", "30m").stdout.decode()
    assert said == f"token {token} expires {rows('bob')[0]['expires']}\n"
    assert rows("bob")[0]["expires"] < made["expires"]
    said = run("bob", "expire", token, "--after", "1h", "--yes").stdout.decode()
    assert said == f"token {token} expires {rows('bob')[0]['expires']}\n"
    lines = run("alice", "create", "--owner", "carol").stdout.decode().splitlines()
    assert lines[0].startswith("token ")
    assert " of User:carol expires " in lines[0]
    assert lines[1].startswith("secret ")
    other = lines[0].split()[1]
    assert b"DELEGATION_TOKEN_OWNER_MISMATCH" in run("alice", "renew", other, code=1).stderr
    assert b"there is no token nothing" in run("bob", "renew", "nothing", code=1).stderr
    failed = json.loads(run("bob", "expire", other, "--yes", "-o", "json", code=1).stdout)
    assert (failed["token"], failed["status"], failed["error"]["code"]) == (
        *(other, "failed", "DELEGATION_TOKEN_NOT_FOUND"),
    )
    assert b"DELEGATION_TOKEN_AUTHORIZATION_FAILED" in run("bob", "create", "--owner", "root", code=1).stderr
    assert b"give --yes" in run("bob", "expire", token, code=2).stderr
    assert b"is no duration" in run("bob", "create", "--lifetime", "soon", code=2).stderr
    assert b"more than nothing" in run("bob", "renew", token, "--for", "0s", code=2).stderr
    assert run("bob", "expire", token, "--yes").stdout.decode() == f"removed token {token}\n"
    assert rows("bob") == []
