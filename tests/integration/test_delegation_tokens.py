"""Delegation tokens of a broker: who gets them, what they are good for, and when they end."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastlog.coordination.znodes import token_nodes
from fastlog.coordination.zookeeper.codes import CreateMode
from fastlog.errors import ErrorCode
from fastlog.wire import API_VERSIONS, ApiKey
from fastlog.wire.acl_types import Operation, Permission, Resource
from fastlog.wire.messages.delegation_tokens import CreateDelegationTokenRequest, TokenPrincipal
from fastlog.wire.messages.metadata import MetadataRequest
from tests.harness.link import Link
from tests.harness.net import free_port
from tests.harness.scram_link import NotLetIn, ScramLink
from tests.harness.tree import at, tree_at
from tests.harness.waiting import wait_until
from tests.integration.access_rules import USERS
from tests.integration.token_broker import (
    KEY,
    TokenBroker,
    create,
    describe,
    expire,
    ids,
    password,
    renew,
)

E = ErrorCode
FAILED = E.SASL_AUTHENTICATION_FAILED
DAY_MS = 86_400_000
SEQUENTIAL = CreateMode.PERSISTENT_SEQUENTIAL


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenBroker]:
    running = TokenBroker(tmp_path_factory.mktemp("tokens"))
    running.start()
    yield running
    running.close()


@pytest.fixture
def tokens(shared: TokenBroker) -> Iterator[TokenBroker]:
    """Without rules and tokens."""
    yield shared
    for user in USERS:
        shared.forget(user)
    with shared.login("root") as root:
        for token in describe(root).tokens:
            with shared.login(token.principal_name) as owner:
                assert expire(owner, token).error_code == 0


# -- making them, and what they say --------------------


@pytest.mark.parametrize("version", range(API_VERSIONS[ApiKey.CREATE_DELEGATION_TOKEN][1] + 1))
def test_all_versions(tokens: TokenBroker, version: int) -> None:
    with tokens.login("alice") as alice:
        made = create(alice, ["bob", "carol"], version=version)
        assert (made.error_code, made.principal_type, made.principal_name) == (0, "User", "alice")
        assert made.expiry_timestamp_ms == made.issue_timestamp_ms + DAY_MS
        assert made.max_timestamp_ms == made.issue_timestamp_ms + 7 * DAY_MS
        secret = hmac.new(KEY.encode(), made.token_id.encode(), hashlib.sha512).digest()
        assert bytes(made.hmac) == secret
        (shown,) = describe(alice, version=version).tokens
        assert (shown.token_id, bytes(shown.hmac)) == (made.token_id, secret)
        assert [(each.principal_type, each.principal_name) for each in shown.renewers] == [
            ("User", "bob"),
            ("User", "carol"),
        ]
        requester = "alice" if version >= 3 else ""
        assert (made.token_requester_principal_name, shown.token_requester_principal_name) == (
            requester,
            requester,
        )
        renewed = renew(alice, made, 1000, version=min(version, 2))
        assert renewed.error_code == 0
        (shown,) = describe(alice, version=version).tokens
        assert shown.expiry_timestamp == renewed.expiry_timestamp_ms < made.expiry_timestamp_ms
        assert expire(alice, made, version=min(version, 2)).error_code == 0
        assert describe(alice, version=version).tokens == []


def test_how_long_they_live(tokens: TokenBroker) -> None:
    with tokens.login("alice") as alice:
        for asked, lives in ((0, 7 * DAY_MS), (-5, 7 * DAY_MS), (1000, 1000), (1 << 62, 7 * DAY_MS)):
            made = create(alice, lifetime_ms=asked)
            assert made.max_timestamp_ms - made.issue_timestamp_ms == lives
            assert made.expiry_timestamp_ms - made.issue_timestamp_ms == min(lives, DAY_MS)
        made = create(alice, lifetime_ms=2 * DAY_MS)
        longest = (1 << 63) - 1
        for change, period, lives in (
            (renew, 5000_000, 5000_000),
            (renew, longest, 2 * DAY_MS),
            (expire, 7000_000, 7000_000),
            (expire, longest, 2 * DAY_MS),
            (renew, -(1 << 63), DAY_MS),
            (renew, -1, DAY_MS),
        ):
            answer = change(alice, made, period)
            assert answer.error_code == 0
            # From when it was asked for; within the life that it was given.
            assert 0 <= answer.expiry_timestamp_ms - made.issue_timestamp_ms - lives < 1000_000
            assert answer.expiry_timestamp_ms <= made.max_timestamp_ms


def test_for_ever(tmp_path: Path) -> None:
    """As long as there are numbers for it."""
    running = TokenBroker(tmp_path, {"delegation.token.max.lifetime.ms": str((1 << 63) - 1)})
    running.start()
    try:
        with running.login("alice") as alice:
            made = create(alice)
            assert (made.error_code, made.max_timestamp_ms) == (0, (1 << 63) - 1)
            assert renew(alice, made, (1 << 63) - 1).expiry_timestamp_ms == (1 << 63) - 1
        running.stop()
        running.start()
        with running.with_token(made) as link:
            assert link.lifetime_ms > 1 << 62
    finally:
        running.close()


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_login(tokens: TokenBroker, mechanism: str) -> None:
    with tokens.login("alice") as alice:
        made = create(alice, ["bob"])
        other = create(alice)
    with tokens.with_token(made, mechanism) as link:
        assert 0 < link.lifetime_ms <= DAY_MS
        assert tokens.principals() >= {"User:alice"}
        # Who logged in with a token gets none, and has nothing to say of others.
        for answer in (create(link), renew(link, made), expire(link, made), describe(link)):
            assert answer.error_code == E.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED
    for name, secret, by_token in (
        (made.token_id, password(other), True),
        (made.token_id, password(made)[:-4], True),
        (made.token_id, password(made), False),
        ("alice", password(made), True),
        ("nothing", password(made), True),
    ):
        with pytest.raises(NotLetIn) as caught:
            ScramLink(tokens.sasl_port, name, secret, mechanism=mechanism, by_token=by_token)
        assert caught.value.code == FAILED


def test_where_nobody_is_known(tokens: TokenBroker) -> None:
    with tokens.login("alice") as alice:
        made = create(alice)
    with Link(tokens.port) as operator:
        for answer in (create(operator), renew(operator, made), expire(operator, made), describe(operator)):
            assert answer.error_code == E.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED
        refused = create(operator, owner="bob")
        assert (refused.principal_name, refused.token_requester_principal_name) == ("bob", "ANONYMOUS")
        assert (refused.token_id, bytes(refused.hmac), refused.expiry_timestamp_ms) == ("", b"", -1)


def test_without_a_key(tmp_path: Path) -> None:
    running = TokenBroker(tmp_path, {"delegation.token.secret.key": ""})
    running.start()
    try:
        with running.login("root") as root:
            made = create(root)
            for answer in (made, renew(root, made), expire(root, made), describe(root)):
                assert answer.error_code == E.DELEGATION_TOKEN_AUTH_DISABLED
        with running.login("alice") as alice:
            # Rights come first, as in Kafka.
            assert create(alice, owner="bob").error_code == E.DELEGATION_TOKEN_AUTHORIZATION_FAILED
        with Link(running.port) as operator:
            assert create(operator).error_code == E.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED
        with pytest.raises(NotLetIn):
            ScramLink(running.sasl_port, "x", "y", by_token=True)
    finally:
        running.close()


def test_the_older_name_of_the_key(tmp_path: Path) -> None:
    running = TokenBroker(tmp_path, {"delegation.token.master.key": "older"})
    del running.settings["delegation.token.secret.key"]
    running.start()
    try:
        with running.login("alice") as alice:
            made = create(alice)
        assert bytes(made.hmac) == hmac.new(b"older", made.token_id.encode(), hashlib.sha512).digest()
    finally:
        running.close()


# -- who may --------------------


def test_for_somebody_else(tokens: TokenBroker) -> None:
    with tokens.login("alice") as alice, tokens.login("bob") as bob:
        refused = create(alice, owner="bob")
        assert refused.error_code == E.DELEGATION_TOKEN_AUTHORIZATION_FAILED
        assert (refused.principal_name, refused.token_requester_principal_name) == ("bob", "alice")
        assert create(alice, owner="alice").error_code == 0
        tokens.allow("alice", Operation.CREATE_TOKENS, "User:bob", Resource.USER)
        made = create(alice, owner="bob")
        assert (made.error_code, made.principal_name, made.token_requester_principal_name) == (
            *(0, "bob", "alice"),
        )
        assert create(alice, owner="root").error_code == E.DELEGATION_TOKEN_AUTHORIZATION_FAILED
        # She may see it, and no more.
        assert made.token_id in ids(describe(alice, ["bob"]))
        assert renew(alice, made).error_code == E.DELEGATION_TOKEN_OWNER_MISMATCH
        assert expire(alice, made).error_code == E.DELEGATION_TOKEN_OWNER_MISMATCH
        assert renew(bob, made).error_code == 0
    with tokens.with_token(made):
        assert "User:bob" in tokens.principals()


def test_renewers(tokens: TokenBroker) -> None:
    with tokens.login("alice") as alice, tokens.login("bob") as bob, tokens.login("root") as root:
        made, other = create(alice, ["bob"]), create(alice)
        assert ids(describe(bob)) == {made.token_id}
        # Even super users may not.
        assert renew(root, made).error_code == E.DELEGATION_TOKEN_OWNER_MISMATCH
        assert renew(bob, other).error_code == E.DELEGATION_TOKEN_OWNER_MISMATCH
        assert expire(bob, made, 1000).error_code == 0
        assert renew(bob, made).error_code == 0
        assert expire(bob, made).error_code == 0
        assert ids(describe(alice)) == {other.token_id}
        for gone in (renew(alice, made), expire(alice, made)):
            assert (gone.error_code, gone.expiry_timestamp_ms) == (E.DELEGATION_TOKEN_NOT_FOUND, -1)
        other.hmac = bytes(other.hmac)[:-1]
        assert renew(alice, other).error_code == E.DELEGATION_TOKEN_NOT_FOUND


def test_who_sees_them(tokens: TokenBroker) -> None:
    with tokens.login("alice") as alice, tokens.login("bob") as bob, tokens.login("root") as root:
        of_alice, of_root, with_bob = create(alice), create(root), create(root, ["bob"])
        every = {made.token_id for made in (of_alice, of_root, with_bob)}
        assert ids(describe(root)) == every
        assert ids(describe(root, ["bob"])) == {with_bob.token_id}
        assert ids(describe(root, [])) == set()
        assert ids(describe(root, ["nobody"])) == set()
        assert ids(describe(bob)) == {with_bob.token_id}
        assert ids(describe(bob, ["alice"])) == set()
        tokens.allow("bob", Operation.DESCRIBE, of_root.token_id, Resource.DELEGATION_TOKEN)
        assert ids(describe(bob)) == {with_bob.token_id, of_root.token_id}
        tokens.allow("bob", Operation.DESCRIBE_TOKENS, "User:alice", Resource.USER)
        assert ids(describe(bob)) == every
        assert ids(describe(bob, ["alice"])) == {of_alice.token_id}
        deny = Permission.DENY
        tokens.allow("bob", Operation.DESCRIBE_TOKENS, "User:alice", Resource.USER, permission=deny)
        assert ids(describe(bob)) == {with_bob.token_id, of_root.token_id}


@pytest.mark.parametrize(
    ("owner", "renewers", "code"),
    [
        (("Group", "g"), [], E.INVALID_PRINCIPAL_TYPE),
        ((None, "g"), [], E.INVALID_PRINCIPAL_TYPE),
        (("User:x", "g"), [], E.INVALID_PRINCIPAL_TYPE),
        ((None, None), [("Group", "g")], E.INVALID_PRINCIPAL_TYPE),
        ((None, None), [("User", "a"), ("", "g")], E.INVALID_PRINCIPAL_TYPE),
        ((None, None), [("User", "")], E.INVALID_REQUEST),
        ((None, None), [("User", f"u{number}") for number in range(101)], E.INVALID_REQUEST),
        (("User", "x" * 9000), [], E.INVALID_REQUEST),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_no_token_can_be(
    tokens: TokenBroker, owner: tuple[Any, Any], renewers: list[tuple[str, str]], code: ErrorCode
) -> None:
    request = CreateDelegationTokenRequest(*owner, [TokenPrincipal(*each) for each in renewers], -1)
    with tokens.login("root") as root:
        answer: Any = root.call(request, 3)
        assert (answer.error_code, answer.token_id) == (code, "")
        assert describe(root).tokens == []


def test_how_many_there_may_be(tmp_path: Path) -> None:
    running = TokenBroker(tmp_path, {"fastlog.delegation.token.max.count": "5"})
    running.start()
    try:
        with running.login("alice") as alice, running.login("bob") as bob, running.login("root") as root:
            first = [create(alice) for _ in range(3)]
            assert [made.error_code for made in first] == [0, 0, E.POLICY_VIOLATION]
            assert create(root, owner="alice").error_code == 0
            assert [create(bob).error_code for _ in range(3)] == [0, 0, E.POLICY_VIOLATION]
            assert create(root).error_code == E.POLICY_VIOLATION
            assert expire(alice, first[0]).error_code == 0
            assert create(alice).error_code == 0
    finally:
        running.close()


# -- when they end --------------------


def test_they_survive_a_restart(tmp_path: Path) -> None:
    running = TokenBroker(tmp_path)
    running.start()
    try:
        with running.login("alice") as alice:
            kept, gone = create(alice, ["bob"]), create(alice)
            renewed = renew(alice, kept, 5000_000)
            assert expire(alice, gone).error_code == 0
            before = describe(alice).tokens
        running.stop()
        running.start()
        with running.login("alice") as alice:
            assert describe(alice).tokens == before
            assert before[0].expiry_timestamp == renewed.expiry_timestamp_ms
            assert expire(alice, gone).error_code == E.DELEGATION_TOKEN_NOT_FOUND
        with running.with_token(kept):
            pass
        # With another key all of them are void.
        running.stop()
        running.settings["delegation.token.secret.key"] = "another"
        running.start()
        with pytest.raises(NotLetIn):
            running.with_token(kept)
        with running.login("alice") as alice:
            assert renew(alice, kept).error_code == E.DELEGATION_TOKEN_NOT_FOUND
    finally:
        running.close()


def test_their_end(tmp_path: Path) -> None:
    """One that is over lets nobody in, and can only be removed, which the controller does in the end."""
    running = TokenBroker(tmp_path, {"delegation.token.expiry.check.interval.ms": "3600000"})
    running.start()
    try:
        with running.login("alice") as alice:
            kept, over, removed = create(alice), create(alice), create(alice)
            with running.with_token(over) as session:
                for token in (over, removed):
                    assert expire(alice, token, 0).error_code == 0
                wait_until(lambda: renew(alice, over).error_code, "it does not end", seconds=30)
                assert renew(alice, over).error_code == E.DELEGATION_TOKEN_EXPIRED
                assert expire(alice, over, 1000).error_code == E.DELEGATION_TOKEN_EXPIRED
                with pytest.raises(NotLetIn) as caught:
                    running.with_token(over)
                assert caught.value.code == FAILED
                # Who is in stays until the time that was told at the login.
                answer: Any = session.call(MetadataRequest([]), 9)
                assert answer.controller_id == answer.brokers[0].node_id
            assert expire(alice, removed).error_code == 0
            assert ids(describe(alice)) == {kept.token_id, over.token_id}
        running.stop()
        running.settings["delegation.token.expiry.check.interval.ms"] = "100"
        running.start()
        with running.login("alice") as alice:
            wait_until(lambda: ids(describe(alice)) == {kept.token_id}, "old tokens stay", seconds=30)
        with running.with_token(kept):
            pass
    finally:
        running.close()


def test_a_session_ends_with_its_token(tokens: TokenBroker) -> None:
    with tokens.login("alice") as alice:
        made = create(alice, lifetime_ms=3000)
        with tokens.with_token(made) as link:
            assert 0 < link.lifetime_ms <= 3000
            with pytest.raises(ConnectionError):
                while True:
                    link.call(MetadataRequest([]), 9)
                    time.sleep(0.05)
        made = create(alice, lifetime_ms=600_000)
        other = create(alice, lifetime_ms=600_000)
        of_root = create(alice, owner="root")
        assert of_root.error_code == E.DELEGATION_TOKEN_AUTHORIZATION_FAILED
        with tokens.with_token(made) as link:
            # Once more on the same connection, with another token of the same user.
            link.login(other.token_id, password(other), mechanism="SCRAM-SHA-256", by_token=True)
            assert describe(link).error_code == E.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED


def test_secrets_are_shown_to_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    running = TokenBroker(tmp_path)
    with caplog.at_level(logging.DEBUG):
        running.start()
        try:
            with running.login("alice") as alice:
                made = create(alice, ["bob"])
                renew(alice, made)
                with running.with_token(made):
                    pass
                with pytest.raises(NotLetIn):
                    ScramLink(running.sasl_port, made.token_id, "x", by_token=True)
                expire(alice, made)
            config = running.broker.config
        finally:
            running.close()
    text = caplog.text + repr(config.tokens)
    assert made.token_id in text
    secret = bytes(made.hmac)
    for shown in (KEY, secret.hex(), repr(secret)[2:-1], password(made)):
        assert shown not in text
    for file in tmp_path.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            assert KEY.encode() not in data, file
            assert secret not in data, file
            assert password(made).encode() not in data, file


def ends_at(link: Link, expiry_ms: int) -> None:
    """Waits until a broker has heard of it."""
    wait_until(
        lambda: [token.expiry_timestamp for token in describe(link).tokens] == [expiry_ms],
        "another end is not known",
        seconds=30,
    )


def test_two_brokers_have_the_same(tmp_path: Path) -> None:
    keeper = f"127.0.0.1:{free_port()}"
    one = TokenBroker(tmp_path / "one", {"fastlog.keeper.listen": keeper, "broker.id": "1"})
    two = TokenBroker(tmp_path / "two", {"zookeeper.connect": keeper, "broker.id": "2"})
    try:
        one.start()
        two.start()
        for place, other in ((one, two), (two, one)):
            with place.login("alice") as here, other.login("alice") as there:
                made = create(here)
                wait_until(lambda: ids(describe(there)) == {made.token_id}, "it is not there", seconds=30)  # noqa: B023
                with other.with_token(made):
                    pass
                # Its version is another one than that which is known here.
                assert renew(there, made, 5000_000).error_code == 0
                assert renew(here, made, 6000_000).error_code == 0
                ends_at(here, renew(there, made, 7000_000).expiry_timestamp_ms)
                assert expire(there, made).error_code == 0
                assert renew(here, made).error_code == E.DELEGATION_TOKEN_NOT_FOUND
                assert ids(describe(here)) == set()
        path = token_nodes.path_of("damaged")
        at(keeper, lambda client: client.create(path, b"{}"))
        at(keeper, lambda client: client.create(token_nodes.CHANGE, b"damaged", mode=SEQUENTIAL))
        at(keeper, lambda client: client.create(token_nodes.CHANGE, b"\xff/../x", mode=SEQUENTIAL))
        with one.login("alice") as here, two.login("alice") as there:
            made = create(here)
            wait_until(lambda: ids(describe(there)) == {made.token_id}, "it is not there", seconds=30)
        tree = tree_at(keeper)
        assert token_nodes.path_of(made.token_id) in tree
    finally:
        two.close()
        one.close()
