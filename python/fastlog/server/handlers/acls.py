"""DescribeAcls (29), CreateAcls (30), DeleteAcls (31): versions 0 to 3.

Without an authorizer there are no access rules, and every answer is SECURITY_DISABLED, as Apache Kafka's is
(`kafka.server.AclApis`). Clients tell that from "not supported": MirrorMaker then goes on without rules.
Version 1 has pattern types (KIP-290), version 2 is flexible, version 3 has the resource type USER.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.acls import (
    AclCreationResult,
    CreateAclsRequest,
    CreateAclsResponse,
    DeleteAclsFilterResult,
    DeleteAclsRequest,
    DeleteAclsResponse,
    DescribeAclsRequest,
    DescribeAclsResponse,
)

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext
    from fastlog.wire import Steps

_CODE: Final = int(ErrorCode.SECURITY_DISABLED)
# Kafka's words, which its tools show.
_DESCRIBE_WORDS: Final = "No Authorizer is configured on the broker"
_CHANGE_WORDS: Final = "No Authorizer is configured."


@handles(ApiKey.DESCRIBE_ACLS)
def describe(_ctx: RequestContext, _request: DescribeAclsRequest) -> DescribeAclsResponse:
    """No rules, and why."""
    return DescribeAclsResponse(error_code=_CODE, error_message=_DESCRIBE_WORDS)


@handles(ApiKey.CREATE_ACLS)
def create(_ctx: RequestContext, request: CreateAclsRequest) -> Steps[CreateAclsResponse]:
    """The same for each rule."""
    results = []
    for _ in request.creations:
        results.append(AclCreationResult(error_code=_CODE, error_message=_CHANGE_WORDS))
        yield
    return CreateAclsResponse(results=results)


@handles(ApiKey.DELETE_ACLS)
def delete(_ctx: RequestContext, request: DeleteAclsRequest) -> Steps[DeleteAclsResponse]:
    """The same for each filter."""
    results = []
    for _ in request.filters:
        results.append(DeleteAclsFilterResult(error_code=_CODE, error_message=_CHANGE_WORDS))
        yield
    return DeleteAclsResponse(filter_results=results)
