"""Changes of a user `u` of a little world: quotas, passwords, access rules and delegation tokens.

Each is one request; it returns what its client was told, as far as it is not random.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

from fastlog.config.listeners import SecurityProtocol
from fastlog.coordination.member.stored_quotas import DOUBLES
from fastlog.coordination.znodes import node_json, paths
from fastlog.server.network.session import ListenerIdentity, Session
from fastlog.server.quotas.limits import Kind
from fastlog.server.requests.context import RequestContext
from fastlog.wire import Request
from fastlog.wire.acl_types import Operation, PatternType, Permission, Resource
from fastlog.wire.messages.acls import (
    AclCreation,
    CreateAclsRequest,
    DeleteAclsFilter,
    DeleteAclsRequest,
    DescribeAclsRequest,
)
from fastlog.wire.messages.alter_client_quotas import (
    AlterClientQuotasRequest,
    EntityData,
    EntryData,
    OpData,
)
from fastlog.wire.messages.delegation_tokens import (
    CreateDelegationTokenRequest,
    DescribeDelegationTokenRequest,
    ExpireDelegationTokenRequest,
    RenewDelegationTokenRequest,
    TokenPrincipal,
)
from fastlog.wire.messages.scram import (
    AlterUserScramCredentialsRequest,
    DescribeUserScramCredentialsRequest,
    ScramCredentialDeletion,
    ScramCredentialUpsertion,
    UserName,
)
from tests.integration.pairs.world import SETTINGS, World

__all__ = ["CHANGES", "SecureWorld", "Step", "begin", "state_of"]

Step = Callable[["SecureWorld", str], Awaitable[Any]]
_HOUR_MS: Final = 3_600_000
_SASL: Final = ListenerIdentity("SASL_PLAINTEXT", SecurityProtocol.SASL_PLAINTEXT)
_MECHANISMS: Final = ("SCRAM-SHA-256", "SCRAM-SHA-512")
_KINDS: Final = (Kind.PRODUCE, Kind.FETCH)


class SecureWorld(World):
    """A world with an authorizer, users and tokens. `secrets`: of the token of each space."""

    settings: ClassVar[Mapping[str, str]] = {
        **SETTINGS,
        "listeners": "PLAINTEXT://127.0.0.1:0,SASL_PLAINTEXT://127.0.0.1:0",
        "sasl.enabled.mechanisms": ",".join(_MECHANISMS),
        "authorizer.class.name": "kafka.security.authorizer.AclAuthorizer",
        "super.users": "User:ANONYMOUS",
        "delegation.token.secret.key": "secret",
    }

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.secrets: dict[str, bytes] = {}
        self._user: str | None = None

    async def ask_as(self, user: str, request: Request) -> Any:
        """The answer to somebody who has logged in."""
        self._user = user
        # The session is made before anything is waited for.
        return await self.ask(request)

    def _context(self, request: Request, version: int | None) -> RequestContext:
        context = super()._context(request, version)
        if self._user is not None:
            context.session = Session(_SASL, "127.0.0.1", principal=f"User:{self._user}")
            self._user = None
        return context


def limit(key: str, value: float | None) -> Step:
    """A quota of the user; None takes it away."""

    async def step(world: SecureWorld, space: str) -> Any:
        entity = [EntityData("user", f"u-{space}")]
        ops = [OpData(key, value or 0.0, value is None)]
        return (await world.ask(AlterClientQuotasRequest([EntryData(entity, ops)]))).entries[0].error_code

    return step


def password(mechanism: int, iterations: int) -> Step:
    """Another password; it is told by its rounds."""

    async def step(world: SecureWorld, space: str) -> Any:
        row = ScramCredentialUpsertion(f"u-{space}", mechanism, iterations, b"salt", b"%d" % iterations)
        return (await world.ask(AlterUserScramCredentialsRequest(upsertions=[row]))).results[0].error_code

    return step


def no_password(mechanism: int) -> Step:
    """Takes it away."""

    async def step(world: SecureWorld, space: str) -> Any:
        row = ScramCredentialDeletion(f"u-{space}", mechanism)
        return (await world.ask(AlterUserScramCredentialsRequest(deletions=[row]))).results[0].error_code

    return step


def rule(operation: Operation, permission: Permission = Permission.ALLOW) -> Step:
    """A rule about a topic of the space."""

    async def step(world: SecureWorld, space: str) -> Any:
        row = AclCreation(
            *(int(Resource.TOPIC), f"t-{space}", int(PatternType.LITERAL), f"User:u-{space}", "*"),
            *(int(operation), int(permission)),
        )
        return (await world.ask(CreateAclsRequest([row]))).results[0].error_code

    return step


def no_rule(operation: Operation = Operation.ANY) -> Step:
    """Removes rules of the topic; tells which there were."""

    async def step(world: SecureWorld, space: str) -> Any:
        wanted = DeleteAclsFilter(2, f"t-{space}", int(PatternType.ANY), None, None, int(operation), 1)
        (result,) = (await world.ask(DeleteAclsRequest([wanted]))).filter_results
        gone = sorted((each.operation, each.permission_type) for each in result.matching_acls)
        return result.error_code, gone

    return step


async def make_token(world: SecureWorld, space: str) -> Any:
    """One more of the user."""
    answer = await world.ask_as(f"u-{space}", CreateDelegationTokenRequest())
    return answer.error_code, answer.expiry_timestamp_ms - answer.issue_timestamp_ms


def renew(hours: int) -> Step:
    """The token of the space, by its renewer."""

    async def step(world: SecureWorld, space: str) -> Any:
        request = RenewDelegationTokenRequest(world.secrets[space], hours * _HOUR_MS)
        answer = await world.ask_as(f"r-{space}", request)
        return answer.error_code, answer.expiry_timestamp_ms

    return step


def expire(hours: int) -> Step:
    """The same, by its owner; below 0 it goes at once."""

    async def step(world: SecureWorld, space: str) -> Any:
        request = ExpireDelegationTokenRequest(world.secrets[space], hours * _HOUR_MS)
        answer = await world.ask_as(f"u-{space}", request)
        return answer.error_code, answer.expiry_timestamp_ms

    return step


CHANGES: Final[Mapping[str, Step]] = {
    "produce 1000": limit("producer_byte_rate", 1000.0),
    "produce 2000": limit("producer_byte_rate", 2000.0),
    "fetch 3000": limit("consumer_byte_rate", 3000.0),
    "produce freely": limit("producer_byte_rate", None),
    "password 256": password(1, 5000),
    "another password 256": password(1, 6000),
    "password 512": password(2, 7000),
    "no password 256": no_password(1),
    "allow read": rule(Operation.READ),
    "deny read": rule(Operation.READ, Permission.DENY),
    "allow write": rule(Operation.WRITE),
    "remove read": no_rule(Operation.READ),
    "remove rules": no_rule(),
    "make a token": make_token,
    "renew for 3 hours": renew(3),
    "end in 2 hours": expire(2),
    "end now": expire(-1),
}


async def begin(world: SecureWorld, space: str) -> None:
    """The user has one of each."""
    for name in ("produce 1000", "password 256", "allow read"):
        await CHANGES[name](world, space)
    renewer = TokenPrincipal("User", f"r-{space}")
    made = await world.ask_as(f"u-{space}", CreateDelegationTokenRequest(renewers=[renewer]))
    assert made.error_code == 0, made
    world.secrets[space] = bytes(made.hmac)


async def state_of(world: SecureWorld, space: str) -> dict[str, Any]:
    """What is stored of the user, what an administrator is told, and what is in force."""
    user, services = f"u-{space}", world.services
    # All that there are would be read to describe those of one.
    path = paths.user_config(user)
    node = await services.member._tree.read(path)
    configs = node_json.decode_config(path, None if node is None else node[0])
    users = await world.ask(DescribeUserScramCredentialsRequest([UserName(user)]))
    rules = await world.ask(DescribeAclsRequest(2, f"t-{space}", int(PatternType.ANY), None, None, 1, 1))
    tokens = await world.ask_as(user, DescribeDelegationTokenRequest([TokenPrincipal("User", user)]))
    assert services.access is not None
    rights = services.access.rights(f"User:{user}", "127.0.0.1")
    operations: Sequence[Operation] = (Operation.READ, Operation.WRITE, Operation.DESCRIBE)
    return {
        "quotas": {key: text for key, text in configs.items() if key in DOUBLES},
        "limits": [
            None if found is None else found.limit
            for kind in _KINDS
            for found in [services.quotas.clients.limits.find(kind, user, "")]
        ],
        "passwords": sorted(
            (info.mechanism, info.iterations) for each in users.results for info in each.credential_infos
        ),
        "known": [
            None if found is None else found.iterations
            for mechanism in _MECHANISMS
            for found in [services.member.scram_users.credential(mechanism, user)]
        ],
        "rules": sorted(
            (each.operation, each.permission_type) for row in rules.resources for each in row.acls
        ),
        "rights": [rights.may((operation, Resource.TOPIC, f"t-{space}")) for operation in operations],
        "tokens": sorted(
            (token.expiry_timestamp, bytes(token.hmac) == world.secrets[space]) for token in tokens.tokens
        ),
    }
