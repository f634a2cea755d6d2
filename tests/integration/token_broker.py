"""A broker with users and delegation tokens, and requests about these."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastlog.wire.messages.delegation_tokens import (
    CreateDelegationTokenRequest,
    DescribeDelegationTokenRequest,
    ExpireDelegationTokenRequest,
    RenewDelegationTokenRequest,
    TokenPrincipal,
)
from tests.harness.link import Link
from tests.harness.scram_link import ScramLink
from tests.integration.access_rules import RuledBroker

KEY = "the key of all brokers"
SETTINGS = {
    "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
    "delegation.token.secret.key": KEY,
}


class TokenBroker(RuledBroker):
    """`RuledBroker` with tokens."""

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(directory, {**SETTINGS, **(settings or {})})

    @property
    def sasl_port(self) -> int:
        """Where users log in."""
        return self.broker.endpoints["SASL_PLAINTEXT"][1]

    def principals(self) -> set[str]:
        """Of all connections."""

        async def look() -> set[str]:
            table = self.broker._table
            assert table is not None
            return {connection.session.principal for connection in table._connections}

        return self.run(look())

    def with_token(self, token: Any, mechanism: str = "SCRAM-SHA-256") -> ScramLink:
        """A connection of whoever has a token, as CreateDelegationToken or Describe has answered it."""
        return ScramLink(self.sasl_port, token.token_id, password(token), mechanism=mechanism, by_token=True)


def password(token: Any) -> str:
    """The password of a token."""
    return base64.b64encode(bytes(token.hmac)).decode()


def create(
    link: Link,
    renewers: Sequence[str] = (),
    *,
    owner: str | None = None,
    lifetime_ms: int = -1,
    version: int = 3,
) -> Any:
    """Has a token made. Names of users."""
    request = CreateDelegationTokenRequest(
        renewers=[TokenPrincipal("User", name) for name in renewers], max_lifetime_ms=lifetime_ms
    )
    if owner is not None:
        request.owner_principal_type, request.owner_principal_name = "User", owner
    return link.call(request, version)


def renew(link: Link, token: Any, period_ms: int = -1, version: int = 2) -> Any:
    """Has it renewed."""
    return link.call(RenewDelegationTokenRequest(bytes(token.hmac), period_ms), version)


def expire(link: Link, token: Any, period_ms: int = -1, version: int = 2) -> Any:
    """Has it end."""
    return link.call(ExpireDelegationTokenRequest(bytes(token.hmac), period_ms), version)


def describe(link: Link, owners: Sequence[str] | None = None, version: int = 3) -> Any:
    """Those of some users, or all."""
    whose = None if owners is None else [TokenPrincipal("User", name) for name in owners]
    return link.call(DescribeDelegationTokenRequest(whose), version)


def ids(answer: Any) -> set[str]:
    """The tokens that an answer tells of."""
    assert answer.error_code == 0, answer
    return {token.token_id for token in answer.tokens}
