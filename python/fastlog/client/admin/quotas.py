"""Quotas of users, clients and addresses (KIP-546, KIP-612)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fastlog.client.admin.answer_errors import check, failure
from fastlog.client.cluster import Cluster
from fastlog.client.errors import ClientError
from fastlog.wire.messages import alter_client_quotas as altering
from fastlog.wire.messages import describe_client_quotas as describing

__all__ = ["CLIENT", "IP", "KEYS", "KEYS_OF_ADDRESSES", "USER", "Entity", "alter_quota", "describe_quotas"]

USER: Final = "user"
CLIENT: Final = "client-id"
IP: Final = "ip"
KEYS: Final = ("producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate")
KEYS_OF_ADDRESSES: Final = ("connection_creation_rate",)
_EXACT: Final = 0
_DEFAULT: Final = 1

Entity = Mapping[str, str | None]
"""The name of each part by its kind; None is the default."""


async def describe_quotas(
    cluster: Cluster, entity: Entity | None = None, *, strict: bool = False
) -> list[tuple[dict[str, str | None], dict[str, float]]]:
    """(entity, limits) of all, or of those that have these parts; `strict`: these and no others.

    Raises ClientError.
    """
    parts = [
        describing.ComponentData(
            entity_type=kind, match_type=_DEFAULT if name is None else _EXACT, match=name
        )
        for kind, name in (entity or {}).items()
    ]
    body = describing.DescribeClientQuotasRequest(components=parts, strict=strict and bool(parts))
    answer = await cluster.request(body, describing.DescribeClientQuotasResponse)
    check(answer.error_code, answer.error_message, body.API)
    return [
        (
            {part.entity_type: part.entity_name for part in entry.entity},
            {value.key: value.value for value in entry.values},
        )
        for entry in answer.entries or ()
    ]


async def alter_quota(
    cluster: Cluster, entity: Entity, changes: Mapping[str, float | None], *, validate_only: bool = False
) -> ClientError | None:
    """Sets limits of one entity, or (None) removes them."""
    entry = altering.EntryData(
        entity=[altering.EntityData(kind, name) for kind, name in entity.items()],
        ops=[altering.OpData(key, value or 0.0, value is None) for key, value in changes.items()],
    )
    body = altering.AlterClientQuotasRequest(entries=[entry], validate_only=validate_only)
    answer = await cluster.controller_request(body, altering.AlterClientQuotasResponse, repeat=True)
    (row,) = answer.entries
    return failure(row.error_code, row.error_message, body.API)
