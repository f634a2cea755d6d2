"""Access rules: list them, add some, take some away (KIP-140)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fastlog.client.admin.acl_values import (
    AclBinding,
    AclFilter,
    AclOperation,
    AclPatternType,
    AclPermission,
    AclResourceType,
)
from fastlog.client.admin.answer_errors import check, failure
from fastlog.client.admin.outcomes import Listing
from fastlog.client.cluster import Cluster
from fastlog.client.errors import BadResponse, ClientError
from fastlog.wire.messages.acls import (
    AclCreation,
    CreateAclsRequest,
    CreateAclsResponse,
    DeleteAclsFilter,
    DeleteAclsMatchingAcl,
    DeleteAclsRequest,
    DeleteAclsResponse,
    DescribeAclsRequest,
    DescribeAclsResponse,
)

__all__ = ["create_acls", "delete_acls", "describe_acls"]

_EVERY: Final = AclFilter()
_PATTERNS_SINCE: Final = 1
"""Version from which on rules have patterns (KIP-290, Kafka 2.0); without them a filter would mean more."""


async def describe_acls(cluster: Cluster, which: AclFilter = _EVERY) -> tuple[AclBinding, ...]:
    """The rules that the filter lets through, all of them by default.

    Raises SecurityDisabled where nothing is guarded (`authorizer.class.name` is not set).
    """
    body = DescribeAclsRequest(
        resource_type_filter=which.resource_type,
        resource_name_filter=which.resource_name,
        pattern_type_filter=which.pattern_type,
        principal_filter=which.principal,
        host_filter=which.host,
        operation=which.operation,
        permission_type=which.permission,
    )
    answer = await cluster.request(body, DescribeAclsResponse, lowest=_PATTERNS_SINCE)
    check(answer.error_code, answer.error_message, answer)
    return tuple(
        AclBinding(
            AclResourceType(resource.resource_type),
            resource.resource_name,
            row.principal,
            AclOperation(row.operation),
            AclPermission(row.permission_type),
            row.host,
            AclPatternType(resource.pattern_type),
        )
        for resource in answer.resources
        for row in resource.acls
    )


async def create_acls(cluster: Cluster, rules: Iterable[AclBinding]) -> dict[AclBinding, ClientError | None]:
    """Adds rules; one that is there already is no error."""
    wanted = list(dict.fromkeys(rules))
    if not wanted:
        return {}
    body = CreateAclsRequest(
        creations=[
            AclCreation(
                resource_type=rule.resource_type,
                resource_name=rule.resource_name,
                resource_pattern_type=rule.pattern_type,
                principal=rule.principal,
                host=rule.host,
                operation=rule.operation,
                permission_type=rule.permission,
            )
            for rule in wanted
        ]
    )
    answer = await cluster.request(body, CreateAclsResponse, lowest=_PATTERNS_SINCE)
    _check_count(len(wanted), len(answer.results), answer)
    return {
        rule: failure(row.error_code, row.error_message, answer)
        for rule, row in zip(wanted, answer.results, strict=True)
    }


async def delete_acls(
    cluster: Cluster, which: Iterable[AclFilter | AclBinding]
) -> dict[AclFilter | AclBinding, Listing[AclBinding, AclBinding] | ClientError]:
    """Takes away single rules, and those that filters let through; gives those that are gone for each.

    Not sent again once it may have been carried out: the second answer would name no rules.
    """
    wanted = list(dict.fromkeys(which))
    if not wanted:
        return {}
    filters = [AclFilter.of(item) if isinstance(item, AclBinding) else item for item in wanted]
    body = DeleteAclsRequest(
        filters=[
            DeleteAclsFilter(
                resource_type_filter=item.resource_type,
                resource_name_filter=item.resource_name,
                pattern_type_filter=item.pattern_type,
                principal_filter=item.principal,
                host_filter=item.host,
                operation=item.operation,
                permission_type=item.permission,
            )
            for item in filters
        ]
    )
    answer = await cluster.request(body, DeleteAclsResponse, lowest=_PATTERNS_SINCE, repeat=False)
    _check_count(len(wanted), len(answer.filter_results), answer)
    found: dict[AclFilter | AclBinding, Listing[AclBinding, AclBinding] | ClientError] = {}
    for item, result in zip(wanted, answer.filter_results, strict=True):
        gone: list[AclBinding] = []
        errors: dict[AclBinding, ClientError] = {}
        for row in result.matching_acls:
            error = failure(row.error_code, row.error_message, answer)
            if error is None:
                gone.append(_rule(row))
            else:
                errors[_rule(row)] = error
        found[item] = failure(result.error_code, result.error_message, answer) or Listing(tuple(gone), errors)
    return found


def _rule(row: DeleteAclsMatchingAcl) -> AclBinding:
    return AclBinding(
        AclResourceType(row.resource_type),
        row.resource_name,
        row.principal,
        AclOperation(row.operation),
        AclPermission(row.permission_type),
        row.host,
        AclPatternType(row.pattern_type),
    )


def _check_count(asked: int, came: int, answer: CreateAclsResponse | DeleteAclsResponse) -> None:
    if came != asked:
        text = f"{came} results came for {asked}"
        raise BadResponse(text, api=answer.API, broker=answer.broker)
