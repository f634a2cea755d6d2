"""Limits of users, clients and addresses (KIP-546)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from fastlog.client.admin.answer_errors import check, each_of, failure
from fastlog.client.cluster import Cluster
from fastlog.client.errors import ClientError
from fastlog.wire.messages import alter_client_quotas as altering
from fastlog.wire.messages import describe_client_quotas as describing

__all__ = ["QuotaEntity", "QuotaName", "alter_client_quotas", "describe_client_quotas"]


class QuotaName(Enum):
    """What stands in the place of a name."""

    DEFAULT = "default"
    """All that have no limit of their own."""
    ANY = "any"
    """In questions: every name, and the default."""


_Name = str | Literal[QuotaName.DEFAULT]


@dataclass(frozen=True, slots=True)
class QuotaEntity:
    """Whom a limit is for: what is None plays no part, `QuotaName.DEFAULT` is all without their own."""

    user: _Name | None = None
    client_id: _Name | None = None
    ip: _Name | None = None


_TYPES: Final = {"user": "user", "client-id": "client_id", "ip": "ip"}
"""Kafka's name of each part, and that of the field."""
_BY_NAME: Final = 0
_THE_DEFAULT: Final = 1
_ANY: Final = 2


async def describe_client_quotas(
    cluster: Cluster,
    *,
    user: str | QuotaName | None = None,
    client_id: str | QuotaName | None = None,
    ip: str | QuotaName | None = None,
    strict: bool = False,
) -> dict[QuotaEntity, dict[str, float]]:
    """Limits of the entities that have all these parts; `strict`: and no others. All without any.

    Limits by Kafka's names: `producer_byte_rate`, `consumer_byte_rate` (bytes a second),
    `request_percentage`, `controller_mutation_rate`, `connection_creation_rate`. Raises ClientError.
    """
    given = {"user": user, "client-id": client_id, "ip": ip}
    body = describing.DescribeClientQuotasRequest(
        components=[_component(kind, name) for kind, name in given.items() if name is not None],
        strict=strict,
    )
    answer = await cluster.request(body, describing.DescribeClientQuotasResponse)
    check(answer.error_code, answer.error_message, answer)
    return {
        entity: {value.key: value.value for value in row.values}
        for row in answer.entries or ()
        if (entity := _entity(row.entity)) is not None
    }


async def alter_client_quotas(
    cluster: Cluster,
    changes: Mapping[QuotaEntity, Mapping[str, float | None]],
    *,
    validate_only: bool = False,
) -> dict[QuotaEntity, ClientError | None]:
    """Sets limits, or takes them away (None); all others of an entity stay."""
    if not changes:
        return {}
    body = altering.AlterClientQuotasRequest(
        entries=[
            altering.EntryData(
                entity=[
                    altering.EntityData(kind, None if name is QuotaName.DEFAULT else name)
                    for kind, name in _parts(entity)
                ],
                ops=[
                    altering.OpData(key=key, value=float(value or 0), remove=value is None)
                    for key, value in values.items()
                ],
            )
            for entity, values in changes.items()
        ],
        validate_only=validate_only,
    )
    answer = await cluster.controller_request(body, altering.AlterClientQuotasResponse, repeat=True)
    found = {
        entity: failure(row.error_code, row.error_message, answer)
        for row in answer.entries
        if (entity := _entity(row.entity)) is not None
    }
    return each_of(changes, found, answer)


def _component(kind: str, name: str | QuotaName) -> describing.ComponentData:
    if isinstance(name, QuotaName):
        return describing.ComponentData(kind, _ANY if name is QuotaName.ANY else _THE_DEFAULT, None)
    return describing.ComponentData(kind, _BY_NAME, name)


def _parts(entity: QuotaEntity) -> Iterable[tuple[str, _Name]]:
    for kind, field in _TYPES.items():
        name = getattr(entity, field)
        if name is not None:
            yield kind, name


def _entity(parts: Sequence[describing.EntityData] | Sequence[altering.EntityData]) -> QuotaEntity | None:
    """None for what has parts that this package does not know."""
    if any(part.entity_type not in _TYPES for part in parts):
        return None
    names: dict[str, _Name] = {
        part.entity_type: QuotaName.DEFAULT if part.entity_name is None else part.entity_name
        for part in parts
    }
    return QuotaEntity(names.get("user"), names.get("client-id"), names.get("ip"))
