"""Access rules (KIP-140): list, add, remove."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fastlog.client.admin.answer_errors import check, failure
from fastlog.client.cluster import Cluster
from fastlog.client.errors import ClientError
from fastlog.wire.acl_types import Operation, PatternType, Permission, Resource
from fastlog.wire.messages.acls import (
    AclCreation,
    CreateAclsRequest,
    CreateAclsResponse,
    DeleteAclsFilter,
    DeleteAclsRequest,
    DeleteAclsResponse,
    DescribeAclsRequest,
    DescribeAclsResponse,
)

__all__ = ["AclFilter", "AclRule", "create_acls", "delete_acls", "describe_acls"]


class AclRule(NamedTuple):
    """One rule: what a principal (`User:alice`) may do, or not, with the resources of a pattern."""

    resource: Resource
    name: str
    pattern: PatternType
    principal: str
    host: str
    operation: Operation
    permission: Permission


class AclFilter(NamedTuple):
    """Which rules are meant; None and ANY let all pass."""

    resource: Resource = Resource.ANY
    name: str | None = None
    pattern: PatternType = PatternType.ANY
    principal: str | None = None
    host: str | None = None
    operation: Operation = Operation.ANY
    permission: Permission = Permission.ANY


async def describe_acls(cluster: Cluster, wanted: AclFilter) -> list[AclRule]:
    """The rules that a filter means, sorted."""
    body = DescribeAclsRequest(
        resource_type_filter=int(wanted.resource),
        resource_name_filter=wanted.name,
        pattern_type_filter=int(wanted.pattern),
        principal_filter=wanted.principal,
        host_filter=wanted.host,
        operation=int(wanted.operation),
        permission_type=int(wanted.permission),
    )
    answer = await cluster.request(body, DescribeAclsResponse)
    check(answer.error_code, answer.error_message, body.API)
    return sorted(
        AclRule(
            Resource(resource.resource_type),
            resource.resource_name,
            PatternType(resource.pattern_type),
            rule.principal,
            rule.host,
            Operation(rule.operation),
            Permission(rule.permission_type),
        )
        for resource in answer.resources
        for rule in resource.acls
    )


async def create_acls(cluster: Cluster, rules: Sequence[AclRule]) -> list[ClientError | None]:
    """Adds rules; what became of each."""
    body = CreateAclsRequest(
        creations=[
            AclCreation(
                int(rule.resource),
                rule.name,
                int(rule.pattern),
                rule.principal,
                rule.host,
                int(rule.operation),
                int(rule.permission),
            )
            for rule in rules
        ]
    )
    answer = await cluster.request(body, CreateAclsResponse)
    return [failure(row.error_code, row.error_message, body.API) for row in answer.results]


async def delete_acls(
    cluster: Cluster, filters: Sequence[AclFilter]
) -> list[tuple[AclRule, ClientError | None]]:
    """Removes the rules that filters mean: those, and what became of each. Raises BrokerError."""
    body = DeleteAclsRequest(
        filters=[
            DeleteAclsFilter(
                int(wanted.resource),
                wanted.name,
                int(wanted.pattern),
                wanted.principal,
                wanted.host,
                int(wanted.operation),
                int(wanted.permission),
            )
            for wanted in filters
        ]
    )
    answer = await cluster.request(body, DeleteAclsResponse)
    found: list[tuple[AclRule, ClientError | None]] = []
    for result in answer.filter_results:
        check(result.error_code, result.error_message, body.API)
        for row in result.matching_acls:
            rule = AclRule(
                Resource(row.resource_type),
                row.resource_name,
                PatternType(row.pattern_type),
                row.principal,
                row.host,
                Operation(row.operation),
                Permission(row.permission_type),
            )
            found.append((rule, failure(row.error_code, row.error_message, body.API)))
    return sorted(found, key=lambda each: each[0])
