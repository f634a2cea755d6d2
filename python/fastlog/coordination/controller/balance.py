"""Which partitions should have another leader: for ElectLeaders, and for the balance of preferred leaders."""

from __future__ import annotations

from fastlog.coordination.controller.context import ControllerContext
from fastlog.coordination.controller.data import NO_LEADER
from fastlog.coordination.controller.elections import can_preferred_lead
from fastlog.errors import ErrorCode
from fastlog.replication.partition import PartitionKey


def imbalanced(context: ControllerContext, percentage: int) -> list[PartitionKey]:
    """Partitions to be given back to their preferred leaders (`checkAndTriggerAutoLeaderRebalance`).

    Those of brokers that do not lead more than `percentage` of the partitions that prefer them, where the
    broker can lead. None while a reassignment is under way.
    """
    if context.reassigning:
        return []
    preferring: dict[int, int] = {}
    led_by_others: dict[int, list[PartitionKey]] = {}
    for key in context.partitions():
        replicas = context.assignment(key).replicas
        if not replicas or key[0] in context.deleting:
            continue
        preferring[replicas[0]] = preferring.get(replicas[0], 0) + 1
        leadership = context.leadership(key)
        if leadership is not None and leadership.leader != replicas[0]:
            led_by_others.setdefault(replicas[0], []).append(key)
    found: list[PartitionKey] = []
    for broker, keys in led_by_others.items():
        if len(keys) / preferring[broker] > percentage / 100:
            found.extend(key for key in keys if _can_take_over(context, key))
    return found


def why_not_elect(context: ControllerContext, key: PartitionKey, *, unclean: bool) -> ErrorCode | None:
    """Why ElectLeaders does nothing for a partition, or None when an election is to be tried."""
    replicas = context.assignment(key).replicas
    if not replicas:
        return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    if key[0] in context.deleting:
        return ErrorCode.INVALID_TOPIC_EXCEPTION
    leadership = context.leadership(key)
    leader = NO_LEADER if leadership is None else leadership.leader
    needed = not context.is_live(leader) if unclean else leader != replicas[0]
    return None if needed else ErrorCode.ELECTION_NOT_NEEDED


def _can_take_over(context: ControllerContext, key: PartitionKey) -> bool:
    leadership = context.leadership(key)
    return leadership is not None and can_preferred_lead(context, key, leadership)
