"""Users who differ in one rule: an operation on a resource, allowed or denied, by a pattern of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from fastlog.wire.acl_types import Operation, PatternType, Permission, Resource
from fastlog.wire.messages.acls import AclCreation

__all__ = ["RESOURCES", "User", "users"]

R, P = Resource, PatternType

LITERAL: Final = "res-a"
"""What a literal pattern names; a prefix of the second name, and of no other."""
RESOURCES: Final = ("res-a", "res-ab", "other")
_CLUSTER: Final = "kafka-cluster"

_OPERATIONS: Final = {
    R.TOPIC: (
        Operation.ALL,
        Operation.READ,
        Operation.WRITE,
        Operation.CREATE,
        Operation.DELETE,
        Operation.ALTER,
        Operation.DESCRIBE,
        Operation.DESCRIBE_CONFIGS,
        Operation.ALTER_CONFIGS,
    ),
    R.GROUP: (Operation.ALL, Operation.READ, Operation.DELETE, Operation.DESCRIBE),
    R.TRANSACTIONAL_ID: (Operation.ALL, Operation.WRITE, Operation.DESCRIBE),
    R.CLUSTER: (
        Operation.ALL,
        Operation.CREATE,
        Operation.ALTER,
        Operation.DESCRIBE,
        Operation.CLUSTER_ACTION,
        Operation.DESCRIBE_CONFIGS,
        Operation.ALTER_CONFIGS,
        Operation.IDEMPOTENT_WRITE,
    ),
    R.USER: (Operation.ALL, Operation.CREATE_TOKENS),
}
_EVERYTHING: Final = tuple(_OPERATIONS)


class User(NamedTuple):
    """Somebody, what is special about them in words, and their rules."""

    name: str
    what: str
    rules: tuple[AclCreation, ...]


def rule(
    user: str,
    resource: Resource,
    operation: Operation,
    name: str = "*",
    kind: PatternType = P.LITERAL,
    permission: Permission = Permission.ALLOW,
    host: str = "*",
) -> AclCreation:
    """One rule."""
    if resource is R.CLUSTER:
        name, kind = _CLUSTER, P.LITERAL
    if resource is R.USER and name != "*":
        # Users are resources by their principals.
        name = f"User:{name}"
    principal = user if ":" in user else f"User:{user}"
    return AclCreation(int(resource), name, int(kind), principal, host, int(operation), int(permission))


def users() -> list[User]:
    """All of them. Most may do everything with resources of the other types, some have one rule alone."""
    return list(_numbered())


def _numbered() -> Iterator[User]:
    for number, (what, special) in enumerate(_cases()):
        name = f"u{number:03}"
        yield User(name, what, tuple(rule(name, *parts) for parts in special))


Parts = tuple[object, ...]


def _cases() -> Iterator[tuple[str, list[Parts]]]:
    yield "nothing", []
    yield "everything", [(resource, Operation.ALL) for resource in _EVERYTHING]
    deny, allow = Permission.DENY, Permission.ALLOW
    for resource, operations in _OPERATIONS.items():
        others: list[Parts] = [(other, Operation.ALL) for other in _EVERYTHING if other is not resource]
        for operation in operations:
            what = f"{operation.title} on {resource.title}"
            yield f"only {what}", [(resource, operation, LITERAL)]
            yield f"{what} literally", [*others, (resource, operation, LITERAL)]
            yield (
                f"all but {what}",
                [
                    *others,
                    (resource, Operation.ALL),
                    (resource, operation, LITERAL, P.LITERAL, deny),
                ],
            )
            if resource is R.CLUSTER:
                continue
            yield f"{what} by prefix", [*others, (resource, operation, LITERAL, P.PREFIXED)]
            yield f"{what} everywhere", [*others, (resource, operation)]
            yield (
                f"all but {what} by prefix",
                [
                    *others,
                    (resource, Operation.ALL),
                    (resource, operation, LITERAL, P.PREFIXED, deny),
                ],
            )
        yield (
            f"{resource.title} from here",
            [*others, (resource, Operation.ALL, LITERAL, P.LITERAL, allow, "127.0.0.1")],
        )
        yield (
            f"{resource.title} from elsewhere",
            [
                *others,
                (resource, Operation.ALL, LITERAL, P.LITERAL, allow, "10.9.9.9"),
            ],
        )
        yield f"{resource.title} alone", [(resource, Operation.ALL)]
