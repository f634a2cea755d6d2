"""DescribeUserScramCredentials (50), AlterUserScramCredentials (51), version 0: users of SCRAM (KIP-554).

| code                       | when                                                                       |
|----------------------------|----------------------------------------------------------------------------|
| RESOURCE_NOT_FOUND         | a user that is named has no credential, or not the one to be dropped       |
| DUPLICATE_RESOURCE         | a user is named twice, or a credential changed twice, in one request       |
| UNACCEPTABLE_CREDENTIAL    | no name, salt or password, a huge salt; not from 4096 to 16384 iterations  |
| UNSUPPORTED_SASL_MECHANISM | another mechanism than 1 (SCRAM-SHA-256) and 2 (SCRAM-SHA-512)             |
| NOT_CONTROLLER             | of changes: another broker is the controller                               |

A user is changed as a whole: when one of its changes is refused, none is made (`ZkAdminManager`, Kafka 3.9).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from fastlog.coordination.scram_credentials import MAX_ITERATIONS, MECHANISMS, MIN_ITERATIONS, ScramCredential
from fastlog.coordination.store import StoreError
from fastlog.errors import ErrorCode, KafkaError
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.scram import (
    AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse,
    AlterUserScramCredentialsResult,
    CredentialInfo,
    DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
    DescribeUserScramCredentialsResult,
    ScramCredentialDeletion,
    ScramCredentialUpsertion,
)

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext

_NUMBERS: Final = {name: number for number, name in MECHANISMS.items()}
_MAX_SALT_BYTES: Final = 1024
_CONTROLLER_WORDS: Final = "this broker is not the controller"

Change = tuple[str, ScramCredential | None]
"""(mechanism, credential or None to drop it)."""


@handles(ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS)
async def describe(
    ctx: RequestContext, request: DescribeUserScramCredentialsRequest
) -> DescribeUserScramCredentialsResponse:
    """Mechanisms and iterations of users; of all who have any, when none is named."""
    users = ctx.broker.member.scram_users
    asked = [user.name async for user in ctx.pace.each(request.users or ())]
    counts = Counter(asked)
    try:
        found = await users.read(dict.fromkeys(asked) if asked else await users.names())
    except StoreError as error:
        raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, str(error)) from None
    response = DescribeUserScramCredentialsResponse()
    async for name, credentials in ctx.pace.each(list(found.items())):
        if not credentials and not asked:
            continue
        result = DescribeUserScramCredentialsResult(user=name)
        response.results.append(result)
        if counts[name] > 1:
            result.error_code = int(ErrorCode.DUPLICATE_RESOURCE)
            result.error_message = (
                f"Cannot describe SCRAM credentials for the same user twice in a single request: {name}"
            )
        elif not credentials:
            result.error_code = int(ErrorCode.RESOURCE_NOT_FOUND)
            result.error_message = f"Attempt to describe a user credential that does not exist: {name}"
        else:
            result.credential_infos = [
                CredentialInfo(mechanism=_NUMBERS[mechanism], iterations=credential.iterations)
                for mechanism, credential in sorted(credentials.items())
            ]
    return response


@handles(ApiKey.ALTER_USER_SCRAM_CREDENTIALS)
async def alter(
    ctx: RequestContext, request: AlterUserScramCredentialsRequest
) -> AlterUserScramCredentialsResponse:
    """Changes users one after the other."""
    changes: dict[str, list[Change]] = {}
    failed: dict[str, KafkaError] = {}
    items: list[ScramCredentialDeletion | ScramCredentialUpsertion] = [
        *request.deletions,
        *request.upsertions,
    ]
    async for item in ctx.pace.each(items):
        wanted = changes.setdefault(item.name, [])
        try:
            wanted.append(_change(item))
        except KafkaError as error:
            failed.setdefault(item.name, error)
    response = AlterUserScramCredentialsResponse()
    async for name, wanted in ctx.pace.each(list(changes.items())):
        result = AlterUserScramCredentialsResult(user=name)
        response.results.append(result)
        try:
            if name in failed:
                raise failed[name]
            await _carry_out(ctx, name, wanted)
        except StoreError as error:
            result.error_code, result.error_message = int(ErrorCode.KAFKA_STORAGE_ERROR), str(error)
        except KafkaError as error:
            result.error_code, result.error_message = int(error.code), error.message
    return response


async def _carry_out(ctx: RequestContext, name: str, wanted: list[Change]) -> None:
    member = ctx.broker.member
    if not member.controller.is_active:
        raise KafkaError(ErrorCode.NOT_CONTROLLER, _CONTROLLER_WORDS)
    if len({mechanism for mechanism, _ in wanted}) < len(wanted):
        raise KafkaError(
            ErrorCode.DUPLICATE_RESOURCE, "A user credential cannot be altered twice in the same request"
        )
    await member.scram_users.change(name, dict(wanted))


def _change(item: ScramCredentialDeletion | ScramCredentialUpsertion) -> Change:
    """Raises KafkaError."""
    if not item.name:
        raise _unacceptable("Username must not be empty")
    mechanism = MECHANISMS.get(item.mechanism)
    if mechanism is None:
        raise KafkaError(ErrorCode.UNSUPPORTED_SASL_MECHANISM, "Unknown SCRAM mechanism")
    if isinstance(item, ScramCredentialDeletion):
        return mechanism, None
    if item.iterations < MIN_ITERATIONS:
        raise _unacceptable("Too few iterations")
    if item.iterations > MAX_ITERATIONS:
        raise _unacceptable("Too many iterations")
    if not item.salt or not item.salted_password:
        raise _unacceptable("Salt and salted password must not be empty")
    if len(item.salt) > _MAX_SALT_BYTES:
        # Whoever says that it is this user is told the salt.
        raise _unacceptable(f"The salt must not be longer than {_MAX_SALT_BYTES} bytes")
    salt, password = bytes(item.salt), bytes(item.salted_password)
    return mechanism, ScramCredential.of(mechanism, salt, password, item.iterations)


def _unacceptable(why: str) -> KafkaError:
    return KafkaError(ErrorCode.UNACCEPTABLE_CREDENTIAL, why)
