"""Delegation tokens: their secrets, their nodes, and what a broker keeps of them in memory."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from fastlog.coordination.delegation_token import DelegationToken, credential_of, secret_of
from fastlog.coordination.store import MetadataDamaged
from fastlog.coordination.token_table import TokenTable
from fastlog.coordination.znodes import token_nodes

KEY = b"of all brokers"
TOKEN = DelegationToken("abc_-9", "User:al:ice", "User:röot", ("User:b*b~", "User:c d"), 1000, 2000, 3000)


def test_the_secret_is_kafkas() -> None:
    # `DelegationTokenManager.createHmac`; tests/compat logs in at Kafka with what is made here.
    assert secret_of("abc_-9", KEY) == hmac.new(KEY, b"abc_-9", hashlib.sha512).digest()
    assert len(secret_of("", KEY)) == 64


def test_a_password_is_the_secret_in_base64() -> None:
    secret = secret_of("abc", KEY)
    for mechanism, name in (("SCRAM-SHA-256", "sha256"), ("SCRAM-SHA-512", "sha512")):
        found = credential_of(mechanism, secret)
        salted = hashlib.pbkdf2_hmac(name, base64.b64encode(secret), found.salt, 4096)
        client_key = hmac.new(salted, b"Client Key", name).digest()
        assert found.stored_key == hashlib.new(name, client_key).digest()
        assert (found.iterations, len(found.salt)) == (4096, 32)
        assert credential_of(mechanism, secret).salt != found.salt


def test_a_node_has_kafkas_fields() -> None:
    data = token_nodes.encode_token(TOKEN)
    assert json.loads(data) == {
        "version": 3,
        "owner": "User%3Aal%3Aice",
        "tokenRequester": "User%3Ar%C3%B6ot",
        "renewers": ["User%3Ab%2Ab%7E", "User%3Ac%20d"],
        "issueTimestamp": 1000,
        "maxTimestamp": 3000,
        "expiryTimestamp": 2000,
        "tokenId": "abc_-9",
    }
    assert token_nodes.decode_token(token_nodes.path_of("abc_-9"), data) == TOKEN


def test_the_requester_of_old_nodes_is_the_owner() -> None:
    fields = json.loads(token_nodes.encode_token(TOKEN))
    del fields["tokenRequester"]
    fields["version"] = 2
    found = token_nodes.decode_token(token_nodes.path_of("abc_-9"), json.dumps(fields).encode())
    assert found.requester == TOKEN.owner


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 4),
        ("version", 0),
        ("version", "3"),
        ("owner", "alice"),
        ("owner", None),
        ("tokenRequester", 7),
        ("renewers", "User%3Aa"),
        ("renewers", ["x"]),
        ("issueTimestamp", "1000"),
        ("maxTimestamp", True),
        ("expiryTimestamp", 1 << 63),
        ("expiryTimestamp", None),
        ("tokenId", "another"),
    ],
)
def test_damaged_nodes(field: str, value: Any) -> None:
    fields = {**json.loads(token_nodes.encode_token(TOKEN)), field: value}
    with pytest.raises(MetadataDamaged):
        token_nodes.decode_token(token_nodes.path_of("abc_-9"), json.dumps(fields).encode())


@pytest.mark.parametrize(
    ("now", "is_over"), [(1999, False), (2000, False), (2001, True), (3000, True), (3001, True)]
)
def test_when_it_is_over(now: int, is_over: bool) -> None:
    assert TOKEN.is_over(now) is is_over
    assert TOKEN.until(9000).expiry_ms == 3000


def test_who_may() -> None:
    for principal, changes, concerned in (
        ("User:al:ice", True, True),
        ("User:röot", False, True),
        ("User:c d", True, True),
        ("User:al", False, False),
    ):
        assert TOKEN.may_be_changed_by(principal) is changes
        assert TOKEN.concerns(principal) is concerned


def test_the_table() -> None:
    table = TokenTable(KEY)
    table.put(TOKEN)
    secret = secret_of("abc_-9", KEY)
    assert table.with_secret(secret) == "abc_-9"
    for other in (b"", secret[:-1], secret + b"x", secret[:-1] + b"x", secret_of("abc_-9", b"another key")):
        assert table.with_secret(other) is None
    assert (len(table), table.made_for("User:röot"), table.made_for("User:al:ice")) == (1, 1, 0)
    found = table.login("SCRAM-SHA-256", "abc_-9")
    assert found is not None
    assert (found.user, found.expiry_ms) == ("al:ice", 2000)
    table.put(TOKEN.until(2500))
    again = table.login("SCRAM-SHA-256", "abc_-9")
    assert again is not None
    # It is made once.
    assert (again.credential, again.expiry_ms) == (found.credential, 2500)
    assert (len(table), table.made_for("User:röot")) == (1, 1)
    table.drop("abc_-9")
    table.drop("abc_-9")
    assert (table.login("SCRAM-SHA-256", "abc_-9"), table.with_secret(secret)) == (None, None)
    assert (len(table), table.made_for("User:röot"), table.all()) == (0, 0, [])


def test_who_is_no_user_cannot_log_in() -> None:
    """Kafka forgets the type of an owner."""
    table = TokenTable(KEY)
    table.put(DelegationToken("g", "Group:root", "User:a", (), 1, 2, 3))
    assert table.login("SCRAM-SHA-256", "g") is None


def test_nothing_secret_is_shown() -> None:
    found = TokenTable(KEY)
    found.put(TOKEN)
    login = found.login("SCRAM-SHA-512", TOKEN.token_id)
    text = f"{found!r} {found.all()!r} {login!r}"
    secret = secret_of(TOKEN.token_id, KEY)
    for shown in (secret.hex(), repr(secret)[2:-1], base64.b64encode(secret).decode(), KEY.decode()):
        assert shown not in text
