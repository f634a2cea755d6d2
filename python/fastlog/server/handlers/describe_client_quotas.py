"""DescribeClientQuotas (48), versions 0 and 1: the quotas that are stored.

`kafka-configs --describe` asks for them before it asks for the SCRAM credentials of a user (KIP-546).
A filter has a part for each kind: of this name, the default, or any; `strict` wants no further parts.
INVALID_REQUEST for a kind that stands twice or is empty, an unknown way to match, and addresses together with
users or clients; UNSUPPORTED_VERSION for another kind, as Kafka has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.coordination.member.stored_quotas import CLIENT, IP, USER, Entity
from fastlog.coordination.store import StoreError
from fastlog.errors import ErrorCode, KafkaError
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.describe_client_quotas import (
    ComponentData,
    DescribeClientQuotasRequest,
    DescribeClientQuotasResponse,
    EntityData,
    EntryData,
    ValueData,
)

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext

_EXACT: Final = 0
_DEFAULT: Final = 1
_ANY: Final = 2
_KINDS: Final = (USER, CLIENT, IP)


@handles(ApiKey.DESCRIBE_CLIENT_QUOTAS)
async def handle(ctx: RequestContext, request: DescribeClientQuotasRequest) -> DescribeClientQuotasResponse:
    """Reads them from the tree."""
    try:
        return DescribeClientQuotasResponse(entries=await _found(ctx, request))
    except KafkaError as error:
        # Null, not an empty list: so Kafka tells an error.
        return DescribeClientQuotasResponse(
            error_code=int(error.code), error_message=error.message, entries=None
        )


async def _found(ctx: RequestContext, request: DescribeClientQuotasRequest) -> list[EntryData]:
    wanted: dict[str, ComponentData] = {}
    async for part in ctx.pace.each(request.components):
        _check(part, wanted)
        wanted[part.entity_type] = part
    if IP in wanted and len(wanted) > 1:
        raise KafkaError(
            ErrorCode.INVALID_REQUEST,
            "Invalid entity filter component combination, IP filter component should not be used with user "
            "or "
            "clientId filter component.",
        )
    try:
        found = await ctx.broker.member.quotas.read()
    except StoreError as error:
        raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, str(error)) from None
    entries: list[EntryData] = []
    async for entity, values in ctx.pace.each(list(found.items())):
        if _matches(entity, wanted, request.strict):
            parts = [EntityData(entity_type=kind, entity_name=name) for kind, name in entity]
            limits = [ValueData(key=key, value=value) for key, value in sorted(values.items())]
            entries.append(EntryData(entity=parts, values=limits))
    return entries


def _check(part: ComponentData, known: dict[str, ComponentData]) -> None:
    kind = part.entity_type
    if not kind:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "Unexpected empty filter component entity type")
    if kind not in _KINDS:
        raise KafkaError(ErrorCode.UNSUPPORTED_VERSION, f"Custom entity type '{kind}' not supported")
    if kind in known:
        raise KafkaError(ErrorCode.INVALID_REQUEST, f"Duplicate {kind} filter component entity type")
    if part.match_type not in (_EXACT, _DEFAULT, _ANY) or (part.match_type == _EXACT and part.match is None):
        raise KafkaError(ErrorCode.INVALID_REQUEST, "Unexpected match type, or no name to match")


def _matches(entity: Entity, wanted: dict[str, ComponentData], strict: bool) -> bool:
    names = dict(entity)
    if strict and set(names) != set(wanted):
        return False
    for kind, part in wanted.items():
        if kind not in names:
            return False
        name = names[kind]
        if part.match_type == _DEFAULT and name is not None:
            return False
        if part.match_type == _EXACT and name != part.match:
            return False
    return True
