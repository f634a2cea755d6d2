"""Two brokers with the same users and key for delegation tokens, and what both are asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastlog.errors import ErrorCode
from fastlog.wire.acl_types import Operation, Resource
from fastlog.wire.messages.acls import AclCreation, CreateAclsRequest
from fastlog.wire.messages.delegation_tokens import CreateDelegationTokenRequest, TokenPrincipal
from tests.compat.access.pair import settings
from tests.harness.link import Link
from tests.harness.net import free_port
from tests.harness.plain_link import PlainLink
from tests.harness.scram_link import NotLetIn, ScramLink
from tests.harness.waiting import wait_until
from tests.integration.token_broker import create, describe, expire, password, renew

__all__ = ["MECHANISM", "SCRAM_MODULE", "USERS", "Place", "played"]

KEY = "the key of both"
SCRAM_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"
MECHANISM = "SCRAM-SHA-256"
USERS = ("alice", "bob", "carol", "root")
LIFETIMES = (-1, 0, -7, 1, 60_000, 1 << 40)
OWNERS = (None, [], ["alice"], ["bob"], ["nobody", "alice"], ["nobody"])
RENEWALS = (-1, -(1 << 40), 1000_000, 50_000_000, 1 << 41)
ENDS = (1000_000, 50_000_000, 1 << 41)

Told = Iterator[tuple[str, Any]]
"""What is asked, in words, and what there is of the answer that two brokers can have in common."""
Links = dict[str, Link]


@dataclass
class Place:
    """One of the brokers: `port` is for users, `plain` for the operator."""

    port: int
    plain: int

    @classmethod
    def new(cls) -> Place:
        return cls(free_port(), free_port())

    def settings(self) -> dict[str, str]:
        """Of the broker. Users log in by PLAIN, or by SCRAM with the same password."""
        listener = "listener.name.sasl_plaintext"
        return {
            **settings(USERS, self.port, self.plain),
            "sasl.enabled.mechanisms": f"PLAIN,{MECHANISM},SCRAM-SHA-512",
            f"{listener}.scram-sha-256.sasl.jaas.config": f"{SCRAM_MODULE} required;",
            f"{listener}.scram-sha-512.sasl.jaas.config": f"{SCRAM_MODULE} required;",
            "delegation.token.secret.key": KEY,
        }

    def login(self, user: str) -> PlainLink:
        """A connection of a user."""
        return PlainLink(self.port, user, "x")

    def with_token(self, token: Any, mechanism: str = MECHANISM) -> ScramLink:
        """A connection of whoever has a token."""
        return ScramLink(self.port, token.token_id, password(token), mechanism=mechanism, by_token=True)

    def allow(self, user: str, operation: Operation, resource: Resource, name: str) -> None:
        """Adds a rule."""
        rule = AclCreation(int(resource), name, 3, f"User:{user}", "*", int(operation), 3)
        with Link(self.plain) as link:
            answer: Any = link.call(CreateAclsRequest([rule]), 3)
        assert [result.error_code for result in answer.results] == [0], answer

    def remove_all(self) -> None:
        """All tokens."""
        with self.login("root") as root:
            for token in describe(root).tokens:
                with self.login(token.principal_name) as owner:
                    assert expire(owner, token).error_code == 0


def played(place: Place) -> Told:
    """All of it."""
    with place.login("alice") as alice, place.login("bob") as bob, place.login("carol") as carol:
        links: Links = {"alice": alice, "bob": bob, "carol": carol}
        made: dict[tuple[int, int], Any] = {}
        for version in range(4):
            for lifetime in LIFETIMES:
                answer = create(alice, ["bob"], lifetime_ms=lifetime, version=version)
                made[version, lifetime] = answer
                yield f"create {version} {lifetime}", shape(answer)
        yield from _shown(links)
        yield from _changed(links, made[3, -1])
        yield from _over(links, made[3, 1])
        yield from _principals(links)
    yield from _by_nobody(place, made[3, -1])
    yield from _by_tokens(place, made[3, -1])


def _shown(links: Links) -> Told:
    for version in range(4):
        for who, link in links.items():
            for owners in OWNERS:
                answer = describe(link, owners, version)
                rows = sorted(str(shape(token)) for token in answer.tokens)
                yield f"describe {version} {who} {owners}", (answer.error_code, rows)


def _changed(links: Links, token: Any) -> Told:
    for version in range(3):
        for what, change, periods in (("renew", renew, RENEWALS), ("expire", expire, ENDS)):
            for period in periods:
                for who, link in links.items():
                    answer = change(link, token, period, version)
                    left = answer.expiry_timestamp_ms - token.issue_timestamp_ms
                    told = -1 if answer.error_code else round(left / 1_000_000)
                    yield f"{what} {version} {period} {who}", (answer.error_code, told)


def _over(links: Links, token: Any) -> Told:
    """What can still be done with one that has come to its end."""
    bob = links["bob"]

    def is_over() -> bool:
        return bool(renew(bob, token, 1000).error_code == ErrorCode.DELEGATION_TOKEN_EXPIRED)

    wait_until(is_over, "it does not end", seconds=20)
    for what, change in (("renew", renew), ("expire", expire)):
        answer = change(bob, token, 1000)
        yield f"{what} what is over", (answer.error_code, answer.expiry_timestamp_ms)
    for who in ("carol", "bob", "bob"):
        answer = expire(links[who], token)
        yield f"remove what is over, {who}", (answer.error_code, answer.expiry_timestamp_ms > 0)


def _principals(links: Links) -> Told:
    alice = links["alice"]
    for renewers in ([("Group", "g")], [("user", "g")], [("User", "a"), ("User", "b")]):
        request = CreateDelegationTokenRequest(renewers=[TokenPrincipal(*each) for each in renewers])
        yield f"renewers {renewers}", shape(alice.call(request, 3))
    for owner in (("User", "carol"), ("User", "bob"), ("User", "alice"), ("Group", "bob"), ("User", "")):
        request = CreateDelegationTokenRequest(*owner)
        yield f"owner {owner}", shape(alice.call(request, 3))
    of_carol = create(alice, owner="carol", lifetime_ms=60_000)
    for who, link in links.items():
        rows = sorted(str(shape(token)) for token in describe(link, ["carol"]).tokens)
        yield f"carol's, to {who}", rows
        yield f"carol's, renewed by {who}", renew(link, of_carol).error_code


def _by_nobody(place: Place, token: Any) -> Told:
    with Link(place.plain) as operator:
        for answer in (create(operator), create(operator, owner="bob"), describe(operator)):
            yield "in plain", shape(answer)
        for answer in (renew(operator, token), expire(operator, token)):
            yield "in plain", (answer.error_code, answer.expiry_timestamp_ms)


def _by_tokens(place: Place, token: Any) -> Told:
    for mechanism in (MECHANISM, "SCRAM-SHA-512"):
        with place.with_token(token, mechanism) as link:
            yield f"a session by {mechanism}", 0 < link.lifetime_ms <= 7 * 86_400_000
            for answer in (create(link), describe(link), renew(link, token), expire(link, token)):
                yield "by a token", answer.error_code
        for name, secret in (("nobody", password(token)), (token.token_id, "x"), ("alice", "x")):
            try:
                ScramLink(place.port, name, secret, mechanism=mechanism, by_token=True).socket.close()
            except NotLetIn as error:
                yield "who has no token", (error.code, error.message)


def shape(answer: Any) -> dict[str, Any]:
    """The fields of a token, or of an answer about one, that two brokers can have in common."""
    issued = getattr(answer, "issue_timestamp_ms", getattr(answer, "issue_timestamp", 0))
    found: dict[str, Any] = {}
    for name in answer.__slots__:
        value = getattr(answer, name)
        if name == "tokens" or name == "hmac":
            found[name] = len(value)
        elif name == "token_id":
            found[name] = re.sub(r"[\w-]", "x", value)
        elif name == "renewers":
            found[name] = [(each.principal_type, each.principal_name) for each in value]
        elif "timestamp" in name:
            found[name] = value if value < 0 else value - issued
        else:
            found[name] = value
    return found
