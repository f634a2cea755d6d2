"""Guards of the APIs of operators: settings, users, rules, disks, leaders."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from fastlog.coordination.access.rules import CLUSTER_NAME
from fastlog.errors import ErrorCode
from fastlog.server.access.gate import (
    LOT,
    Outcome,
    Refused,
    code_of,
    guards,
    needs,
    on_cluster,
    refused,
    without,
)
from fastlog.server.access.topics import rows_of
from fastlog.server.admin.config_resources import ResourceType
from fastlog.wire import ApiKey
from fastlog.wire.messages.acls import (
    AclCreationResult,
    CreateAclsRequest,
    CreateAclsResponse,
    DeleteAclsFilterResult,
    DeleteAclsRequest,
    DeleteAclsResponse,
)
from fastlog.wire.messages.alter_client_quotas import (
    AlterClientQuotasRequest,
    AlterClientQuotasResponse,
    EntryDataResponse,
)
from fastlog.wire.messages.alter_configs import (
    AlterConfigsRequest,
    AlterConfigsResourceResponse,
    AlterConfigsResponse,
)
from fastlog.wire.messages.alter_replica_log_dirs import (
    AlterReplicaLogDirPartitionResult,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
    AlterReplicaLogDirTopicResult,
)
from fastlog.wire.messages.cluster import DescribeLogDirsRequest, DescribeLogDirsResponse
from fastlog.wire.messages.describe_client_quotas import (
    DescribeClientQuotasRequest,
    DescribeClientQuotasResponse,
)
from fastlog.wire.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResponse,
    DescribeConfigsResult,
)
from fastlog.wire.messages.incremental_alter_configs import (
    AlterConfigsResourceResponse as IncrementalResourceResponse,
)
from fastlog.wire.messages.incremental_alter_configs import (
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)
from fastlog.wire.messages.partition_admin import (
    ElectLeadersRequest,
    ElectLeadersResponse,
    PartitionResult,
    ReplicaElectionResult,
)
from fastlog.wire.messages.scram import (
    AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse,
    AlterUserScramCredentialsResult,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastlog.server.access.asking import Ask
    from fastlog.server.access.table import Need
    from fastlog.server.requests.context import RequestContext
    from fastlog.wire import Steps

R = TypeVar("R")

_TOP_LEVEL_ERROR_FROM: Final = 3


def _sorted(
    ask: Ask, rows: Sequence[Need], resources: Sequence[R]
) -> Steps[tuple[list[R], list[tuple[Any, Need]]]]:
    """(resources whose settings are allowed, the others with the rows that refuse them)."""
    topic, group, others = rows
    allowed: list[R] = []
    denied: list[tuple[Any, Need]] = []
    resource: Any
    for number, resource in enumerate(resources, start=1):
        need, name = others, CLUSTER_NAME
        if resource.resource_type == ResourceType.TOPIC:
            need, name = topic, resource.resource_name
        elif resource.resource_type == ResourceType.GROUP:
            need, name = group, resource.resource_name
        if ask.may(need.operation, need.resource, name):
            allowed.append(resource)
        else:
            denied.append((resource, need))
        if not number % LOT:
            yield
    return allowed, denied


def _refused(kind: Callable[..., R], denied: tuple[Any, Need]) -> R:
    """The row of a resource whose settings are refused."""
    resource, need = denied
    code = ErrorCode(code_of(need))
    return kind(int(code), code.text, resource.resource_type, resource.resource_name)


@guards(ApiKey.DESCRIBE_CONFIGS)
def describe_configs(_ctx: RequestContext, ask: Ask, request: DescribeConfigsRequest) -> Steps[Outcome]:
    """Per resource, before anybody looks whether it is there."""
    parts = yield from _sorted(ask, needs(request.API, 3), request.resources)
    return without(
        request,
        "resources",
        parts,
        DescribeConfigsResponse,
        "results",
        partial(_refused, DescribeConfigsResult),
    )


@guards(ApiKey.ALTER_CONFIGS)
def alter_configs(_ctx: RequestContext, ask: Ask, request: AlterConfigsRequest) -> Steps[Outcome]:
    """Per resource."""
    parts = yield from _sorted(ask, needs(request.API, 3), request.resources)
    return without(
        request,
        "resources",
        parts,
        AlterConfigsResponse,
        "responses",
        partial(_refused, AlterConfigsResourceResponse),
    )


@guards(ApiKey.INCREMENTAL_ALTER_CONFIGS)
def incremental_alter_configs(
    _ctx: RequestContext, ask: Ask, request: IncrementalAlterConfigsRequest
) -> Steps[Outcome]:
    """Per resource."""
    parts = yield from _sorted(ask, needs(request.API, 3), request.resources)
    return without(
        request,
        "resources",
        parts,
        IncrementalAlterConfigsResponse,
        "responses",
        partial(_refused, IncrementalResourceResponse),
    )


@guards(ApiKey.DESCRIBE_CLIENT_QUOTAS)
def describe_client_quotas(_ctx: RequestContext, ask: Ask, request: DescribeClientQuotasRequest) -> Outcome:
    """As a whole, and without a list."""
    (need,) = needs(request.API, 1)
    if on_cluster(ask, need):
        return None
    code = ErrorCode(code_of(need))
    return Refused(DescribeClientQuotasResponse(error_code=int(code), error_message=code.text, entries=None))


@guards(ApiKey.ALTER_CLIENT_QUOTAS)
def alter_client_quotas(_ctx: RequestContext, ask: Ask, request: AlterClientQuotasRequest) -> Steps[Outcome]:
    """On every entry."""
    (need,) = needs(request.API, 1)
    if on_cluster(ask, need):
        return None
    code = ErrorCode(code_of(need))
    answer = AlterClientQuotasResponse()
    for entry in request.entries:
        answer.entries.append(EntryDataResponse(int(code), code.text, entry.entity))
        yield
    return Refused(answer)


@guards(ApiKey.ALTER_USER_SCRAM_CREDENTIALS)
def alter_scram(_ctx: RequestContext, ask: Ask, request: AlterUserScramCredentialsRequest) -> Steps[Outcome]:
    """On every user."""
    (need,) = needs(request.API, 1)
    if on_cluster(ask, need):
        return None
    code = ErrorCode(code_of(need))
    answer = AlterUserScramCredentialsResponse()
    users = [item.name for item in request.deletions]
    users += [item.name for item in request.upsertions]
    for user in dict.fromkeys(users):
        answer.results.append(AlterUserScramCredentialsResult(user, int(code), code.text))
        yield
    return Refused(answer)


@guards(ApiKey.CREATE_ACLS)
def create_acls(_ctx: RequestContext, ask: Ask, request: CreateAclsRequest) -> Steps[Outcome]:
    """On every rule."""
    (need,) = needs(request.API, 1)
    if on_cluster(ask, need):
        return None
    code = ErrorCode(code_of(need))
    answer = CreateAclsResponse()
    for _ in request.creations:
        answer.results.append(AclCreationResult(int(code), code.text))
        yield
    return Refused(answer)


@guards(ApiKey.DELETE_ACLS)
def delete_acls(_ctx: RequestContext, ask: Ask, request: DeleteAclsRequest) -> Steps[Outcome]:
    """On every filter."""
    (need,) = needs(request.API, 1)
    if on_cluster(ask, need):
        return None
    code = ErrorCode(code_of(need))
    answer = DeleteAclsResponse()
    for _ in request.filters:
        answer.filter_results.append(DeleteAclsFilterResult(int(code), code.text))
        yield
    return Refused(answer)


@guards(ApiKey.DESCRIBE_LOG_DIRS)
def describe_log_dirs(ctx: RequestContext, ask: Ask, request: DescribeLogDirsRequest) -> Outcome:
    """As a whole; old versions have no place for the code."""
    (need,) = needs(request.API, 1)
    if on_cluster(ask, need):
        return None
    if ctx.header.api_version < _TOP_LEVEL_ERROR_FROM:
        return Refused(DescribeLogDirsResponse())
    return refused(ctx, request.API, need)


@guards(ApiKey.ALTER_REPLICA_LOG_DIRS)
def alter_replica_log_dirs(
    _ctx: RequestContext, ask: Ask, request: AlterReplicaLogDirsRequest
) -> Steps[Outcome]:
    """On every partition."""
    (need,) = needs(request.API, 1)
    if on_cluster(ask, need):
        return None
    code = code_of(need)
    found: dict[str, dict[int, None]] = {}
    for directory in request.dirs:
        for topic in directory.topics:
            found.setdefault(topic.name, {}).update(dict.fromkeys(topic.partitions))
            yield
    answer = AlterReplicaLogDirsResponse()
    for name, partitions in found.items():
        rows = [AlterReplicaLogDirPartitionResult(index, code) for index in partitions]
        answer.results.append(AlterReplicaLogDirTopicResult(name, rows))
        yield
    return Refused(answer)


@guards(ApiKey.ELECT_LEADERS)
def elect_leaders(_ctx: RequestContext, ask: Ask, request: ElectLeadersRequest) -> Steps[Outcome]:
    """At the top, and on every partition that is named."""
    (need,) = needs(request.API, 1)
    if on_cluster(ask, need):
        return None
    code = ErrorCode(code_of(need))
    rows = yield from rows_of(
        request.topic_partitions or [],
        lambda topic, rows: ReplicaElectionResult(topic.topic, rows),
        lambda topic: [PartitionResult(index, int(code), code.text) for index in topic.partitions],
    )
    return Refused(ElectLeadersResponse(error_code=int(code), replica_election_results=rows))
