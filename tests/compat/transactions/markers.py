"""WriteTxnMarkers: which ends a leader takes from whom, and what they do to its log."""

from __future__ import annotations

from typing import Any, Final

from fastlog.wire.messages.txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerTopic,
    WriteTxnMarkersRequest,
)
from tests.compat.transactions.play import Play, Scenario, name_of
from tests.integration.transactional_client import Identity

STRANGER: Final = (900_001, 4)
"""A producer of no id."""


def coordinator_epochs(play: Play) -> None:
    """Scenario 51."""
    at = play.topic(), 0
    for epoch in (7, 6, 7, 8, 7):
        play.mark(STRANGER, at, coordinator_epoch=epoch)
    play.mark((STRANGER[0], 5), at, coordinator_epoch=7)
    play.log(at)


def producer_epochs(play: Play) -> None:
    """Scenario 52."""
    at = play.topic(), 0
    for epoch in (4, 3, 4, 5, 4):
        play.mark((STRANGER[0], epoch), at)
    play.log(at)
    play.producers(at)


def nothing_open(play: Play) -> None:
    """Scenario 53: there is no data, of commits and of aborts."""
    at = play.topic(), 0
    play.mark(STRANGER, at, commits=True)
    play.mark(STRANGER, at)
    play.log(at)
    play.producers(at)
    identity = play.initialized()
    play.add(identity, at)
    play.mark(identity, at)
    play.put(identity, 0, at)
    play.log(at)


def of_an_administrator(play: Play) -> None:
    """Of scenario 60: the end is written behind the coordinator's back (trap 22)."""
    at, other = (play.topic(), 0), (play.name, 1)
    identity = play.initialized()
    play.add(identity, at, other)
    play.put(identity, 0, at)
    play.put(identity, 0, other)
    play.mark(identity, at)
    play.log(at)
    play.put(identity, 1, at)
    play.put(identity, 1, other)
    play.end(identity)
    play.describe("CompleteCommit")
    play.log(at)
    play.log(other)


def odd_requests(play: Play) -> None:
    """Partitions that are none, several at a time, one twice, and none."""
    topic = play.topic()

    def ask(*markers: tuple[Identity, list[WritableTxnMarkerTopic]]) -> None:
        rows = [WritableTxnMarker(*identity, False, topics) for identity, topics in markers]
        answer: Any = play.client.ask(WriteTxnMarkersRequest(rows), 1)
        told = [
            (
                one.producer_id,
                sorted(
                    (at.name, row.partition_index, name_of(row.error_code))
                    for at in one.topics
                    for row in at.partitions
                ),
            )
            for one in answer.markers
        ]
        play.note(f"mark {markers}", told)

    here = WritableTxnMarkerTopic(topic, [0, 1])
    ask((STRANGER, [here, WritableTxnMarkerTopic("nowhere", [0]), WritableTxnMarkerTopic(topic, [9])]))
    ask((STRANGER, [here]), ((STRANGER[0] + 1, 0), [here]))
    ask((STRANGER, [WritableTxnMarkerTopic(topic, [])]))
    ask((STRANGER, []))
    ask()
    play.log((topic, 0))


def of_offsets(play: Play) -> None:
    """The partition of a group: what was committed counts, or is dropped."""
    at, group = (play.topic(), 0), f"{play.name}-group"
    identity = play.initialized()
    for number, commits in enumerate((False, True)):
        play.add_offsets(identity, group)
        play.commit(identity, group, {at: 5 + number})
        for partition in (0, 1):
            play.mark(identity, ("__consumer_offsets", partition), commits=commits)
        play.offset(group, at)
        play.offset(group, at, stable=True)
    play.end(identity)


def of_the_second_protocol(play: Play) -> None:
    """Scenario 54: a marker of version 2 has a raised epoch."""
    at = play.topic(), 0
    identity = play.initialized()
    play.put(identity, 0, at, version=12)
    raised = identity[0], identity[1] + 1
    play.mark(identity, at, transaction_version=2)
    for _ in range(2):
        play.mark(raised, at, transaction_version=2)
    play.mark(raised, at, commits=True, transaction_version=2)
    play.mark(identity, at, transaction_version=2)
    play.mark(identity, at, transaction_version=0)
    play.mark(identity, at)
    play.log(at)
    play.producers(at)


def of_other_versions(play: Play) -> None:
    """Version 2 of the request that says what version 1 says, and what nobody says."""
    at = play.topic(), 0
    for version in (0, 1, 2, 3):
        play.mark(STRANGER, at, transaction_version=version)
        play.mark((STRANGER[0], 5 + version), at, transaction_version=version)
    play.log(at)


SCENARIOS: Final[dict[str, Scenario]] = {
    "mark-coordinators": coordinator_epochs,
    "mark-epochs": producer_epochs,
    "mark-nothing": nothing_open,
    "mark-by-hand": of_an_administrator,
    "mark-odd": odd_requests,
    "mark-offsets": of_offsets,
}
RAISING: Final[dict[str, Scenario]] = {
    "mark-raised": of_the_second_protocol,
    "mark-versions": of_other_versions,
}
