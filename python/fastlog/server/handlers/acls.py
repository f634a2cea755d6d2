"""DescribeAcls (29), CreateAcls (30), DeleteAcls (31): versions 0 to 3.

Without an authorizer there are no access rules, and every answer is SECURITY_DISABLED, as Apache Kafka's is
(`kafka.server.AclApis`). Clients tell that from "not supported": MirrorMaker then goes on without rules.
Version 1 has pattern types (KIP-290), version 2 is flexible, version 3 has the resource type USER.

INVALID_REQUEST for a rule of a resource that none can be (an empty name, one with "/", another cluster than
`kafka-cluster`), a principal that is not `Type:name`, what only a filter may say, and numbers that nobody
knows (Kafka fails, or closes the connection, for the last three). A rule that is there is no error, nor is a
filter that means none. A rule that two filters mean is told with the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode, KafkaError
from fastlog.server.admin.admin_errors import outcome
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.acls import (
    AclCreationResult,
    AclDescription,
    CreateAclsRequest,
    CreateAclsResponse,
    DeleteAclsFilterResult,
    DeleteAclsMatchingAcl,
    DeleteAclsRequest,
    DeleteAclsResponse,
    DescribeAclsRequest,
    DescribeAclsResource,
    DescribeAclsResponse,
)

if TYPE_CHECKING:
    from fastlog.coordination.access.rules import Filter, Pattern, Rule
    from fastlog.server.access.asking import Access
    from fastlog.server.requests.context import RequestContext
    from fastlog.wire import Steps

_CODE: Final = int(ErrorCode.SECURITY_DISABLED)
# Kafka's words, which its tools show.
_DESCRIBE_WORDS: Final = "No Authorizer is configured on the broker"
_CHANGE_WORDS: Final = "No Authorizer is configured."
_LOT: Final = 64


@handles(ApiKey.DESCRIBE_ACLS)
def describe(ctx: RequestContext, request: DescribeAclsRequest) -> Steps[DescribeAclsResponse]:
    """The rules that a filter means, by their patterns."""
    access = ctx.broker.access
    if access is None:
        return DescribeAclsResponse(error_code=_CODE, error_message=_DESCRIBE_WORDS)
    from fastlog.server.access.acl_fields import filter_of  # with an authorizer alone

    wanted = filter_of(request)
    response = DescribeAclsResponse()
    for pattern in (yield from _meant(access, wanted)):
        rules = [rule for rule in access.rules.of(pattern) if wanted.passes(rule)]
        yield
        if rules:
            response.resources.append(
                DescribeAclsResource(
                    int(pattern.resource),
                    pattern.name,
                    int(pattern.kind),
                    [
                        AclDescription(rule.principal, rule.host, int(rule.operation), int(rule.permission))
                        for rule in rules
                    ],
                )
            )
    return response


@handles(ApiKey.CREATE_ACLS)
async def create(ctx: RequestContext, request: CreateAclsRequest) -> CreateAclsResponse:
    """Adds rules, those of a pattern together; they are in force here when they are answered."""
    access = ctx.broker.access
    results = [AclCreationResult() for _ in request.creations]
    if access is None:
        for result in results:
            result.error_code, result.error_message = _CODE, _CHANGE_WORDS
        return CreateAclsResponse(results=results)
    from fastlog.server.access.acl_fields import rule_of  # with an authorizer alone

    by_pattern: dict[Pattern, dict[Rule, list[AclCreationResult]]] = {}
    async for result, creation in ctx.pace.each(zip(results, request.creations, strict=True)):
        try:
            pattern, rule = rule_of(creation)
        except KafkaError as error:
            result.error_code, result.error_message = int(error.code), error.message
        else:
            by_pattern.setdefault(pattern, {}).setdefault(rule, []).append(result)
    async for pattern, rules in ctx.pace.each(by_pattern.items()):
        _, code, message = await outcome(access.store.change(pattern, partial(_with, tuple(rules))))
        if code:
            for waiting in rules.values():
                for result in waiting:
                    result.error_code, result.error_message = code, message
    return CreateAclsResponse(results=results)


def _with(added: tuple[Rule, ...], before: tuple[Rule, ...]) -> tuple[Rule, ...]:
    known = set(before)
    return (*before, *(rule for rule in added if rule not in known))


@handles(ApiKey.DELETE_ACLS)
async def delete(ctx: RequestContext, request: DeleteAclsRequest) -> DeleteAclsResponse:
    """Removes the rules that filters mean, and says which those were."""
    access = ctx.broker.access
    results = [DeleteAclsFilterResult() for _ in request.filters]
    if access is None:
        for result in results:
            result.error_code, result.error_message = _CODE, _CHANGE_WORDS
        return DeleteAclsResponse(filter_results=results)
    from fastlog.server.access.acl_fields import filter_of  # with an authorizer alone

    by_pattern: dict[Pattern, list[tuple[Filter, DeleteAclsFilterResult]]] = {}
    async for result, asked in ctx.pace.each(zip(results, request.filters, strict=True)):
        try:
            wanted = filter_of(asked)
        except KafkaError as error:
            result.error_code, result.error_message = int(error.code), error.message
            continue
        for pattern in dict.fromkeys(await ctx.pace.run(_meant(access, wanted))):
            by_pattern.setdefault(pattern, []).append((wanted, result))
    async for pattern, filters in ctx.pace.each(by_pattern.items()):
        await _delete(ctx, access, pattern, filters)
    return DeleteAclsResponse(filter_results=results)


async def _delete(
    ctx: RequestContext,
    access: Access,
    pattern: Pattern,
    filters: Sequence[tuple[Filter, DeleteAclsFilterResult]],
) -> None:
    def kept(before: tuple[Rule, ...]) -> tuple[Rule, ...]:
        return tuple(rule for rule in before if not any(wanted.passes(rule) for wanted, _ in filters))

    known = tuple(access.rules.of(pattern))
    changed, code, message = await outcome(access.store.change(pattern, kept))
    before = known if changed is None else changed[0]
    async for rule in ctx.pace.each(before):
        first = next((result for wanted, result in filters if wanted.passes(rule)), None)
        if first is not None:
            first.matching_acls.append(
                DeleteAclsMatchingAcl(
                    code,
                    message,
                    int(pattern.resource),
                    pattern.name,
                    int(pattern.kind),
                    rule.principal,
                    rule.host,
                    int(rule.operation),
                    int(rule.permission),
                )
            )


def _meant(access: Access, wanted: Filter) -> Steps[list[Pattern]]:
    """The patterns that a filter means: those it names, which may have rules that are not known here yet, or
    those that are known."""
    named = wanted.patterns()
    if named:
        return list(named)
    found = []
    for number, pattern in enumerate(list(access.rules.patterns()), start=1):
        if wanted.means(pattern):
            found.append(pattern)
        if not number % _LOT:
            yield
    return found
