"""Users of SCRAM (KIP-554): their passwords leave this process salted, never as they are."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Sequence
from typing import Final

from fastlog.client.admin.answer_errors import check, failure
from fastlog.client.cluster import Cluster
from fastlog.client.errors import ClientError
from fastlog.wire.messages.scram import (
    AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse,
    DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
    ScramCredentialDeletion,
    ScramCredentialUpsertion,
    UserName,
)

__all__ = ["DEFAULT_ITERATIONS", "MECHANISMS", "describe_users", "drop_user", "set_password"]

MECHANISMS: Final = {"SCRAM-SHA-256": (1, "sha256"), "SCRAM-SHA-512": (2, "sha512")}
DEFAULT_ITERATIONS: Final = 8192
_NAMES: Final = {number: name for name, (number, _) in MECHANISMS.items()}
_SALT_BYTES: Final = 20


async def describe_users(
    cluster: Cluster, names: Sequence[str] | None = None
) -> dict[str, dict[str, int] | ClientError]:
    """The iterations of each mechanism of these users, or of all who have one."""
    users = None if names is None else [UserName(name=name) for name in names]
    body = DescribeUserScramCredentialsRequest(users=users)
    answer = await cluster.request(body, DescribeUserScramCredentialsResponse)
    check(answer.error_code, answer.error_message, body.API)
    return {
        row.user: failure(row.error_code, row.error_message, body.API)
        or {_NAMES.get(info.mechanism, "?"): info.iterations for info in row.credential_infos}
        for row in answer.results
    }


async def set_password(
    cluster: Cluster, name: str, password: str, mechanisms: Sequence[str], iterations: int
) -> ClientError | None:
    """Gives a user, a new one or not, a password for these mechanisms."""
    upsertions = []
    for mechanism in mechanisms:
        number, algorithm = MECHANISMS[mechanism]
        salt = secrets.token_bytes(_SALT_BYTES)
        salted = await asyncio.to_thread(hashlib.pbkdf2_hmac, algorithm, password.encode(), salt, iterations)
        upsertions.append(
            ScramCredentialUpsertion(
                name=name, mechanism=number, iterations=iterations, salt=salt, salted_password=salted
            )
        )
    return await _alter(cluster, AlterUserScramCredentialsRequest(upsertions=upsertions))


async def drop_user(cluster: Cluster, name: str, mechanisms: Sequence[str]) -> ClientError | None:
    """Drops the credentials of a user for these mechanisms."""
    deletions = [ScramCredentialDeletion(name=name, mechanism=MECHANISMS[each][0]) for each in mechanisms]
    return await _alter(cluster, AlterUserScramCredentialsRequest(deletions=deletions))


async def _alter(cluster: Cluster, body: AlterUserScramCredentialsRequest) -> ClientError | None:
    answer = await cluster.controller_request(body, AlterUserScramCredentialsResponse, repeat=True)
    (row,) = answer.results
    return failure(row.error_code, row.error_message, body.API)
