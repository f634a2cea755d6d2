"""Visitors who come with their own user of the cluster: what they ask for goes to the brokers as theirs.

So the brokers' access rules and quotas hold for each of them, and the brokers' logs have their names.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from fastlog.client.errors import ClientError
from fastlog.console.sessions import Tries
from fastlog.errors import ConfigError, ErrorCode
from fastlog.net.sasl import Credentials
from fastlog.verbs.desk import Connection, Desk

__all__ = ["Identities", "check_identities"]

Refusal = Literal["wrong", "too often"]
_WRONG: Final = frozenset({ErrorCode.SASL_AUTHENTICATION_FAILED, ErrorCode.ILLEGAL_SASL_STATE})
_WITH_PASSWORDS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


def check_identities(connection: Connection) -> None:
    """Raises ConfigError where the console does not come in by a password itself, and cannot know how."""
    credentials = connection.security.credentials
    if credentials is None or credentials.mechanism not in _WITH_PASSWORDS:
        raise ConfigError(
            "--sasl-login", f"needs a --client-config whose mechanism is one of {', '.join(_WITH_PASSWORDS)}"
        )


@dataclass(slots=True)
class Identities:
    """Opens desks for visitors, like `desk` but for who they are. An address may try ten times a minute."""

    desk: Desk
    tries: Tries

    async def open(self, address: str, user: str, password: str) -> Desk | Refusal:
        """A desk of the user's own, for the caller to close; or why there is none.

        Raises ClientError when the cluster cannot be reached.
        """
        if not self.tries.may(address):
            return "too often"
        connection = self.desk.connection
        own = connection.security.credentials
        mechanism = "" if own is None else own.mechanism
        security = replace(connection.security, credentials=Credentials(mechanism, user, password))
        try:
            opened = await Desk.open(
                replace(connection, security=security), allow_writes=self.desk.allow_writes, who=user
            )
        except ClientError as error:
            if error.code in _WRONG:
                return "wrong"
            raise
        shared = self.desk
        return replace(
            opened,
            audit=shared.audit,
            masks=shared.masks,
            decoders=shared.decoders,
            history=shared.history,
        )
