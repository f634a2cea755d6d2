"""Partitions are moved: on an operator's request, or because an old tool has written what it wants.

What /admin/reassign_partitions names is taken out of it when it is done, or cannot be; the node goes when
nothing is left. A request for a partition takes the place of what the node says of it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Final

from fastlog.coordination.controller import deletion, reassignment
from fastlog.coordination.controller.data import PartitionKey
from fastlog.coordination.controller.events import Turns
from fastlog.coordination.controller.term import Term
from fastlog.coordination.store import MetadataDamaged
from fastlog.coordination.znodes import controller_json, paths
from fastlog.errors import ErrorCode, KafkaError
from fastlog.wire.messages.partition_admin import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
    OngoingPartitionReassignment,
    OngoingTopicReassignment,
    ReassignablePartitionResponse,
    ReassignableTopicResponse,
)

_LOG: Final = logging.getLogger(__name__)

_MOST_LINES: Final = 20
"""Of what an old tool has asked for in vain: its node may name many thousands."""
Targets = Mapping[PartitionKey, Sequence[int] | None]


async def load(term: Term) -> None:
    """Goes on with the moves of the former controller, and watches for those of an old tool."""
    await _ended(term, await term.run(reassignment.resume(term.context)))
    await from_tree(term)


async def brokers_started(term: Term, ids: Collection[int]) -> None:
    """Moves to these brokers can go on."""
    await _ended(term, await term.run(reassignment.resume(term.context, ids)))


async def in_sync_changed(term: Term, keys: Iterable[PartitionKey]) -> None:
    """Moves may be complete."""
    await _ended(term, await term.run(reassignment.complete(term.context, keys)))


async def alter(
    term: Term, request: AlterPartitionReassignmentsRequest
) -> AlterPartitionReassignmentsResponse:
    """AlterPartitionReassignments (KIP-455)."""
    wanted: dict[PartitionKey, Sequence[int] | None] = {
        (topic.name, row.partition_index): row.replicas
        for topic in request.topics
        for row in topic.partitions
    }
    errors = await _move(term, wanted)
    await _forget(term, [key for key in wanted if key not in errors])
    rows: dict[str, list[ReassignablePartitionResponse]] = {}
    for key in wanted:
        error = errors.get(key)
        rows.setdefault(key[0], []).append(
            ReassignablePartitionResponse(key[1])
            if error is None
            else ReassignablePartitionResponse(key[1], error.code, error.message)
        )
    return AlterPartitionReassignmentsResponse(
        responses=[ReassignableTopicResponse(topic, partitions) for topic, partitions in rows.items()]
    )


def not_controller_for_alter() -> AlterPartitionReassignmentsResponse:
    """The answer of a broker that is not the controller."""
    return AlterPartitionReassignmentsResponse(error_code=ErrorCode.NOT_CONTROLLER)


async def listed(
    term: Term, request: ListPartitionReassignmentsRequest
) -> ListPartitionReassignmentsResponse:
    """ListPartitionReassignments."""
    context = term.context
    asked = (
        None
        if request.topics is None
        else {(topic.name, number) for topic in request.topics for number in topic.partition_indexes}
    )
    topics: dict[str, list[OngoingPartitionReassignment]] = {}
    for key in sorted(context.reassigning):
        assignment = context.assignment(key)
        if assignment.is_moving and (asked is None or key in asked):
            topics.setdefault(key[0], []).append(
                OngoingPartitionReassignment(
                    key[1], list(assignment.replicas), list(assignment.adding), list(assignment.removing)
                )
            )
    return ListPartitionReassignmentsResponse(
        topics=[OngoingTopicReassignment(topic, partitions) for topic, partitions in topics.items()]
    )


def not_controller_for_list() -> ListPartitionReassignmentsResponse:
    """The answer of a broker that is not the controller."""
    return ListPartitionReassignmentsResponse(error_code=ErrorCode.NOT_CONTROLLER)


async def from_tree(term: Term) -> None:
    """/admin/reassign_partitions is there, or has changed (`ZkPartitionReassignment`)."""
    if not await term.store.exists(paths.REASSIGNMENTS, term.watches.reassignments):
        return
    targets = await _asked_in_tree(term)
    new = {
        key: target
        for key, target in targets.items()
        if key not in term.context.reassigning or term.context.assignment(key).target != tuple(target)
    }
    errors = await _move(term, new)
    for key, error in islice(errors.items(), _MOST_LINES):
        _LOG.error("partition %s-%d is not moved to %s: %s", *key, list(targets[key])[:20], error)
    if len(errors) > _MOST_LINES:
        _LOG.error("%d more partitions are not moved", len(errors) - _MOST_LINES)
    await _forget(term, errors)
    if not targets:
        await term.store.delete_nodes([paths.REASSIGNMENTS])
        await term.store.exists(paths.REASSIGNMENTS, term.watches.reassignments)


async def _move(term: Term, targets: Targets) -> dict[PartitionKey, KafkaError]:
    """Begins moves; gives those that are refused, and why."""
    errors: dict[PartitionKey, KafkaError] = {}
    done: list[PartitionKey] = []
    turns = Turns()
    for key, target in targets.items():
        await turns.step()
        try:
            assignment = reassignment.check_reassignment(term.context, key, target)
        except KafkaError as error:
            errors[key] = error
            continue
        if await term.run(reassignment.reassign(term.context, key, assignment)):
            done.append(key)
    await _ended(term, done)
    return errors


async def _ended(term: Term, keys: Collection[PartitionKey]) -> None:
    """Moves are complete: nobody asks for them any more, and deletions need not wait for them."""
    if not keys:
        return
    for key in keys:
        _LOG.info("partition %s-%d is moved to %s", *key, list(term.context.assignment(key).replicas))
    await _forget(term, keys)
    moving = {topic for topic, _ in term.context.reassigning}
    waiting = {topic for topic, _ in keys} & term.context.deleting
    if waiting - moving:
        await deletion.resume(term, waiting - moving)


async def _forget(term: Term, keys: Collection[PartitionKey]) -> None:
    """Takes partitions out of /admin/reassign_partitions; the node goes with the last one."""
    if not keys:
        return
    asked, done = await _asked_in_tree(term), frozenset(keys)
    left = {key: target for key, target in asked.items() if key not in done}
    if len(left) == len(asked):
        return
    if left:
        await term.store.set_data(paths.REASSIGNMENTS, controller_json.encode_reassignments(left))
    else:
        await term.store.delete_nodes([paths.REASSIGNMENTS])
        await term.store.exists(paths.REASSIGNMENTS, term.watches.reassignments)


async def _asked_in_tree(term: Term) -> dict[PartitionKey, tuple[int, ...]]:
    (data,) = await term.store.data_of([paths.REASSIGNMENTS])
    if data is None:
        return {}
    try:
        return controller_json.decode_reassignments(paths.REASSIGNMENTS, data)
    except MetadataDamaged as error:
        _LOG.error("nothing is moved: %s", error)
        return {}
