"""A broker with an authorizer, its users, and their rules."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastlog.wire.acl_types import Operation, PatternType, Permission, Resource
from fastlog.wire.messages.acls import (
    AclCreation,
    CreateAclsRequest,
    DeleteAclsFilter,
    DeleteAclsRequest,
    DescribeAclsRequest,
)
from tests.harness.plain_link import PlainLink
from tests.integration.running import RawClient, RunningBroker

MODULE = "org.apache.kafka.common.security.plain.PlainLoginModule"
USERS = ("alice", "bob", "root")
_KNOWN = " ".join(f'user_{name}="{name}"' for name in USERS)
SETTINGS = {
    "listeners": "PLAINTEXT://127.0.0.1:0,SASL_PLAINTEXT://127.0.0.1:0",
    "sasl.enabled.mechanisms": "PLAIN",
    "listener.name.sasl_plaintext.plain.sasl.jaas.config": f"{MODULE} required {_KNOWN};",
    "authorizer.class.name": "kafka.security.authorizer.AclAuthorizer",
    "super.users": "User:ANONYMOUS;User:root",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.num.partitions": "1",
}


class RuledBroker(RunningBroker):
    """Over PLAINTEXT everybody is the operator; over SASL_PLAINTEXT `alice` and `bob` have rules alone."""

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(directory, {**SETTINGS, **(settings or {})})

    def login(self, user: str) -> PlainLink:
        """A connection of a user."""
        return PlainLink(self.broker.endpoints["SASL_PLAINTEXT"][1], user, user)

    def allow(
        self,
        user: str,
        operation: Operation,
        name: str,
        resource: Resource = Resource.TOPIC,
        *,
        kind: PatternType = PatternType.LITERAL,
        permission: Permission = Permission.ALLOW,
        host: str = "*",
    ) -> None:
        """Adds a rule."""
        rule = creation(user, operation, name, resource, kind=kind, permission=permission, host=host)
        with self.connect() as client:
            (result,) = client.ask(CreateAclsRequest([rule]), 3).results
        assert result.error_code == 0, result

    def forget(self, user: str, resource: Resource = Resource.ANY) -> int:
        """Removes all rules of a user; how many there were."""
        wanted = DeleteAclsFilter(int(resource), None, 1, f"User:{user}", None, 1, 1)
        with self.connect() as client:
            (result,) = client.ask(DeleteAclsRequest([wanted]), 3).filter_results
        assert result.error_code == 0, result
        return len(result.matching_acls)

    def rules(self) -> list[tuple[Any, ...]]:
        """All that there are, sorted."""
        with self.connect() as client:
            return listed(client)


def creation(
    user: str,
    operation: Operation,
    name: str,
    resource: Resource = Resource.TOPIC,
    *,
    kind: PatternType = PatternType.LITERAL,
    permission: Permission = Permission.ALLOW,
    host: str = "*",
) -> AclCreation:
    """One rule."""
    return AclCreation(int(resource), name, int(kind), f"User:{user}", host, int(operation), int(permission))


def listed(client: RawClient) -> list[tuple[Any, ...]]:
    """All rules, sorted."""
    answer = client.ask(DescribeAclsRequest(1, None, 1, None, None, 1, 1), 3)
    assert answer.error_code == 0, answer
    return sorted(
        (
            resource.resource_type,
            resource.resource_name,
            resource.pattern_type,
            rule.principal,
            rule.host,
            rule.operation,
            rule.permission_type,
        )
        for resource in answer.resources
        for rule in resource.acls
    )
