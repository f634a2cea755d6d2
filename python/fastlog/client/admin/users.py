"""Users of SCRAM (KIP-554): their passwords leave this process salted, never as they are."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from fastlog.client.admin.answer_errors import check, each_of, failure
from fastlog.client.cluster import Cluster
from fastlog.client.errors import ClientError
from fastlog.errors import ErrorCode
from fastlog.wire.messages.scram import (
    AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse,
    DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
    ScramCredentialDeletion,
    ScramCredentialUpsertion,
    UserName,
)

__all__ = [
    "DEFAULT_ITERATIONS",
    "MECHANISMS",
    "ScramDeletion",
    "ScramUpsertion",
    "alter_users",
    "describe_users",
]

MECHANISMS: Final = {"SCRAM-SHA-256": (1, "sha256"), "SCRAM-SHA-512": (2, "sha512")}
DEFAULT_ITERATIONS: Final = 8192
_NAMES: Final = {number: name for name, (number, _) in MECHANISMS.items()}
_SALT_BYTES: Final = 20
_Row = ScramCredentialDeletion | ScramCredentialUpsertion


@dataclass(frozen=True, slots=True)
class ScramUpsertion:
    """A password for a user, a new one or not, with one mechanism. The salt: the given one, else random."""

    user: str
    password: str = field(repr=False)
    mechanism: str = "SCRAM-SHA-512"
    iterations: int = DEFAULT_ITERATIONS
    salt: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ScramDeletion:
    """Takes the password of a user for one mechanism away."""

    user: str
    mechanism: str = "SCRAM-SHA-512"


async def describe_users(
    cluster: Cluster, names: Sequence[str] | None = None
) -> dict[str, dict[str, int] | ClientError]:
    """The iterations of each mechanism of these users, or of all who have one."""
    users = None if names is None else [UserName(name=name) for name in names]
    body = DescribeUserScramCredentialsRequest(users=users)
    answer = await cluster.request(body, DescribeUserScramCredentialsResponse)
    check(answer.error_code, answer.error_message, answer)
    found: dict[str, dict[str, int] | ClientError] = {
        row.user: failure(row.error_code, row.error_message, answer)
        or {_NAMES.get(info.mechanism, "?"): info.iterations for info in row.credential_infos}
        for row in answer.results
    }
    return found if names is None else each_of(dict.fromkeys(names), found, answer)


async def alter_users(
    cluster: Cluster, changes: Iterable[ScramUpsertion | ScramDeletion]
) -> dict[str, ClientError | None]:
    """Gives passwords to users, or takes them away; all changes of a user are done, or none.

    Brokers in KRaft mode take one mechanism of a user at a time: there the changes of a user are done in
    turn, up to the first that fails. Raises ValueError for a mechanism that is none, and ClientError.
    """
    wanted = list(changes)
    for change in wanted:
        if change.mechanism not in MECHANISMS:
            raise ValueError(f"mechanism {change.mechanism!r} is none of {', '.join(MECHANISMS)}")
    rows = [await _row(change) for change in wanted]
    found = await _alter(cluster, rows)
    for name, error in found.items():
        own = [row for row in rows if row.name == name]
        if error is None or error.code is not ErrorCode.DUPLICATE_RESOURCE:
            continue
        if len({row.mechanism for row in own}) == len(own):
            found[name] = await _in_turn(cluster, own)
    return found


async def _in_turn(cluster: Cluster, rows: Sequence[_Row]) -> ClientError | None:
    for row in rows:
        error = (await _alter(cluster, [row]))[row.name]
        if error is not None:
            return error
    return None


async def _alter(cluster: Cluster, rows: Sequence[_Row]) -> dict[str, ClientError | None]:
    if not rows:
        return {}
    body = AlterUserScramCredentialsRequest(
        deletions=[row for row in rows if isinstance(row, ScramCredentialDeletion)],
        upsertions=[row for row in rows if isinstance(row, ScramCredentialUpsertion)],
    )
    answer = await cluster.controller_request(body, AlterUserScramCredentialsResponse, repeat=True)
    found = {row.user: failure(row.error_code, row.error_message, answer) for row in answer.results}
    return each_of(dict.fromkeys(row.name for row in rows), found, answer)


async def _row(change: ScramUpsertion | ScramDeletion) -> _Row:
    number, algorithm = MECHANISMS[change.mechanism]
    if isinstance(change, ScramDeletion):
        return ScramCredentialDeletion(name=change.user, mechanism=number)
    salt = secrets.token_bytes(_SALT_BYTES) if change.salt is None else change.salt
    salted = await asyncio.to_thread(
        hashlib.pbkdf2_hmac, algorithm, change.password.encode(), salt, change.iterations
    )
    return ScramCredentialUpsertion(
        name=change.user, mechanism=number, iterations=change.iterations, salt=salt, salted_password=salted
    )
