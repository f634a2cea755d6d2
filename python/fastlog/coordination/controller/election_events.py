"""Elections that somebody asks for: operators, the timer that balances leaders, a changed setting."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from typing import Final

from fastlog.coordination.controller import balance, partition_machine
from fastlog.coordination.controller.data import PartitionKey
from fastlog.coordination.controller.elections import Election
from fastlog.coordination.controller.events import Turns
from fastlog.coordination.controller.term import Term
from fastlog.coordination.store import MetadataDamaged
from fastlog.coordination.znodes import controller_json, paths
from fastlog.errors import ErrorCode
from fastlog.wire.messages.partition_admin import (
    ElectLeadersRequest,
    ElectLeadersResponse,
    PartitionResult,
    ReplicaElectionResult,
)

_LOG: Final = logging.getLogger(__name__)
_UNCLEAN: Final = 1
"""`ElectionType`: 0 is PREFERRED."""

Results = dict[PartitionKey, tuple[ErrorCode, str | None]]


async def load(term: Term) -> None:
    """Takes over the elections that an old tool has asked for, and watches for more."""
    await from_tree(term)


async def elect(term: Term, request: ElectLeadersRequest) -> ElectLeadersResponse:
    """ElectLeaders. Where all partitions are meant, those that need no election are not answered, nor are
    those of topics that are being deleted.
    """
    everything = request.topic_partitions is None
    keys: Iterable[PartitionKey] = (
        [key for key in term.context.partitions() if key[0] not in term.context.deleting]
        if request.topic_partitions is None
        else dict.fromkeys(
            (row.topic, number) for row in request.topic_partitions for number in row.partitions
        )
    )
    results = await _elect(term, keys, unclean=request.election_type == _UNCLEAN)
    if everything:
        results = {
            key: found for key, found in results.items() if found[0] is not ErrorCode.ELECTION_NOT_NEEDED
        }
    return _response(results)


def not_controller() -> ElectLeadersResponse:
    """For a broker that is not the controller: what it tells clients it makes of what it knows itself."""
    return ElectLeadersResponse(error_code=ErrorCode.NOT_CONTROLLER)


async def from_tree(term: Term) -> None:
    """/admin/preferred_replica_election: what it names is elected, then it goes."""
    path = paths.PREFERRED_ELECTIONS
    if not await term.store.exists(path, term.watches.preferred_elections):
        return
    (data,) = await term.store.data_of([path])
    try:
        keys = [] if data is None else controller_json.decode_partitions(path, data)
    except MetadataDamaged as error:
        _LOG.error("no elections: %s", error)
        keys = []
    await _elect(term, keys, unclean=False)
    await term.store.delete_nodes([path])
    # The watch has fired by that; the next such node is to be seen, too.
    await term.store.exists(path, term.watches.preferred_elections)


async def rebalance(term: Term) -> None:
    """Gives partitions back to their preferred leaders, where these lead too few (`AutoLeaderRebalance`)."""
    percentage = term.settings.leader_imbalance_per_broker_percentage
    keys = balance.imbalanced(term.context, percentage)
    if keys:
        _LOG.info("%d partitions are given back to their preferred leaders", len(keys))
        await term.run(partition_machine.to_online(term.context, keys, Election.PREFERRED))


async def unclean_enabled(term: Term, topics: Collection[str] | None) -> None:
    """Partitions that had no leader may have one that is not in sync now."""
    await term.run(partition_machine.pending_to_online(term.context, topics))


async def _elect(term: Term, keys: Iterable[PartitionKey], *, unclean: bool) -> Results:
    results: Results = {}
    wanted: list[PartitionKey] = []
    turns = Turns()
    for key in keys:
        code = balance.why_not_elect(term.context, key, unclean=unclean)
        if code is None:
            wanted.append(key)
        else:
            results[key] = (code, None)
        await turns.step()
    election = Election.UNCLEAN if unclean else Election.PREFERRED
    failed = ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE if unclean else ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE
    outcomes = await term.run(partition_machine.to_online(term.context, wanted, election))
    for key in wanted:
        outcome = outcomes.get(key, "its state does not allow an election")
        results[key] = (failed, outcome) if isinstance(outcome, str) else (ErrorCode.NONE, None)
    return results


def _response(results: Results) -> ElectLeadersResponse:
    topics: dict[str, list[PartitionResult]] = {}
    for (topic, number), (code, message) in results.items():
        topics.setdefault(topic, []).append(PartitionResult(number, code, message))
    return ElectLeadersResponse(
        replica_election_results=[ReplicaElectionResult(topic, rows) for topic, rows in topics.items()]
    )
