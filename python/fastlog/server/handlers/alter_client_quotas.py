"""AlterClientQuotas (49), versions 0 and 1: sets and removes limits of users, clients, addresses (KIP-546).

Each entity is changed by itself, and answered by itself. INVALID_REQUEST: an entity without parts, with one
that is unknown or empty, or of an address together with a user or a client; an address that is none (Kafka
asks DNS for names; here they are refused); a key that the entity does not have; a value that is not above 0
(as in KRaft mode: in ZooKeeper mode Kafka takes it, and the limit is none), or is no whole number where one
is due.
"""

from __future__ import annotations

import math
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from fastlog.coordination.member.stored_quotas import CLIENT, IP, USER, Entity
from fastlog.errors import ErrorCode, KafkaError
from fastlog.server.admin.admin_errors import outcome
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.alter_client_quotas import (
    AlterClientQuotasRequest,
    AlterClientQuotasResponse,
    EntityData,
    EntryDataResponse,
    OpData,
)

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext

_INT: Final = 2**31 - 1
_LONG: Final = 2**63 - 1
_EPSILON: Final = 1e-6
_OF_CLIENTS: Final[dict[str, int | None]] = {
    "producer_byte_rate": _LONG,
    "consumer_byte_rate": _LONG,
    "request_percentage": None,
    "controller_mutation_rate": None,
}
"""The largest value of those that are whole numbers."""
_OF_ADDRESSES: Final[dict[str, int | None]] = {"connection_creation_rate": _INT}
_SCIENTIFIC: Final = 1e7
"""From here on Java writes a double with its exponent."""


@handles(ApiKey.ALTER_CLIENT_QUOTAS)
async def handle(ctx: RequestContext, request: AlterClientQuotasRequest) -> AlterClientQuotasResponse:
    """Changes the entities one after the other."""
    results: dict[frozenset[tuple[str, str | None]], EntryDataResponse] = {}
    async for entry in ctx.pace.each(request.entries):
        # Of a part that stands twice the last name counts, and an entity that does is answered once.
        names = {part.entity_type: part.entity_name for part in entry.entity}
        _, code, message = await outcome(_change(ctx, names, entry.ops, request.validate_only))
        results[frozenset(names.items())] = EntryDataResponse(
            error_code=code,
            error_message=message,
            entity=[EntityData(kind, name) for kind, name in names.items()],
        )
    return AlterClientQuotasResponse(entries=list(results.values()))


async def _change(
    ctx: RequestContext, names: dict[str, str | None], ops: list[OpData], validate_only: bool
) -> None:
    entity = _entity(names)
    keys = _OF_ADDRESSES if entity[0][0] == IP else _OF_CLIENTS
    changes: dict[str, str | None] = {}
    for op in ops:
        if op.remove and op.key not in keys:
            # No quota is there to be removed. Kafka removes it whatever it is, a user's password, too.
            continue
        if op.key not in keys:
            raise _invalid(f"Invalid configuration key {op.key}")
        changes[op.key] = None if op.remove else _text(op.key, op.value, keys[op.key])
    if changes and not validate_only:
        await ctx.broker.member.quotas.change(entity, changes)


def _entity(names: dict[str, str | None]) -> Entity:
    if not names:
        raise _invalid("Invalid empty client quota entity")
    for kind, name in names.items():
        if kind not in (USER, CLIENT, IP):
            raise _invalid(f"Unhandled client quota entity type: {kind}")
        if name == "":
            raise _invalid(f"Empty {kind} not supported")
    if IP in names:
        if len(names) > 1:
            raise _invalid(
                "Invalid quota entity combination, IP entity should not be used with user/client ID entity."
            )
        return ((IP, _address(names[IP])),)
    return tuple((kind, names[kind]) for kind in (USER, CLIENT) if kind in names)


def _address(name: str | None) -> str | None:
    if name is None:
        return None
    try:
        ip_address(name)
    except ValueError:
        raise _invalid(f"{name} is not a valid IP address") from None
    return name


def _text(key: str, value: float, most: int | None) -> str:
    """As Kafka writes it into the node."""
    if not math.isfinite(value) or value <= 0:
        raise _invalid(f"Quota {key} must be greater than 0")
    if most is None:
        return java_double(value)
    whole = int(value + _EPSILON)
    if abs(whole - value) > _EPSILON or whole <= 0:
        raise _invalid(f"Configuration {key} must be a {'LONG' if most == _LONG else 'INT'} value")
    if whole > most:
        # What Java makes of a number that is too large.
        whole = most
    return str(whole)


def java_double(value: float) -> str:
    """A positive number as `Double.toString` writes it, near enough to be read back as the same."""
    if 1e-3 <= value < _SCIENTIFIC:
        return repr(float(value))
    exponent = math.floor(math.log10(value))
    digits = repr(float(value))
    mantissa, _, power = digits.partition("e")
    if power:
        return f"{mantissa if '.' in mantissa else mantissa + '.0'}E{int(power)}"
    shown = digits.replace(".", "").lstrip("0").rstrip("0") or "0"
    return f"{shown[0]}.{shown[1:] or '0'}E{exponent}"


def _invalid(why: str) -> KafkaError:
    return KafkaError(ErrorCode.INVALID_REQUEST, why)
