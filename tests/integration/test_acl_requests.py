"""DescribeAcls, CreateAcls and DeleteAcls of a broker without an authorizer."""

from __future__ import annotations

import pytest

from fastlog.errors import ErrorCode
from fastlog.wire import API_VERSIONS, ApiKey
from fastlog.wire.messages.acls import (
    AclCreation,
    CreateAclsRequest,
    DeleteAclsFilter,
    DeleteAclsRequest,
    DescribeAclsRequest,
)
from tests.integration.running import RawClient

# Topic, ANY operation, ANY permission.
_RULE = {"resource_name": "t", "principal": "User:a", "host": "*", "operation": 3, "permission_type": 3}


def versions(key: ApiKey) -> range:
    """All versions of an API."""
    return range(API_VERSIONS[key][1] + 1)


@pytest.mark.parametrize("version", versions(ApiKey.DESCRIBE_ACLS))
def test_there_are_no_rules_to_describe(client: RawClient, version: int) -> None:
    request = DescribeAclsRequest(resource_type_filter=2, operation=1, permission_type=1)
    answer = client.ask(request, version)
    assert ErrorCode(answer.error_code) is ErrorCode.SECURITY_DISABLED
    assert answer.error_message == "No Authorizer is configured on the broker"
    assert answer.resources == []


@pytest.mark.parametrize("version", versions(ApiKey.CREATE_ACLS))
def test_every_rule_is_refused(client: RawClient, version: int) -> None:
    rule = AclCreation(resource_type=2, **_RULE)
    answer = client.ask(CreateAclsRequest(creations=[rule, rule]), version)
    assert [result.error_code for result in answer.results] == [ErrorCode.SECURITY_DISABLED] * 2
    assert {result.error_message for result in answer.results} == {"No Authorizer is configured."}


@pytest.mark.parametrize("version", versions(ApiKey.DELETE_ACLS))
def test_every_filter_is_refused(client: RawClient, version: int) -> None:
    one = DeleteAclsFilter(resource_type_filter=2, operation=1, permission_type=1)
    answer = client.ask(DeleteAclsRequest(filters=[one, one]), version)
    assert [result.error_code for result in answer.filter_results] == [ErrorCode.SECURITY_DISABLED] * 2
    assert {result.error_message for result in answer.filter_results} == {"No Authorizer is configured."}
