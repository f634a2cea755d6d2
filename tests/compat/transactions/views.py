"""What administrators see of transactions, and settings of the whole broker that change what is taken."""

from __future__ import annotations

from typing import Any, Final

from fastlog.wire.messages.describe_producers import DescribeProducersRequest, TopicRequest
from fastlog.wire.messages.describe_transactions import DescribeTransactionsRequest
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from fastlog.wire.messages.list_transactions import ListTransactionsRequest
from tests.compat.transactions.play import FAR, Play, Scenario, name_of
from tests.harness.waiting import wait_until
from tests.integration.transactional_client import batch_of, produce

_BROKER: Final = 4
_VERIFICATION: Final = "transaction.partition.verification.enable"


def listed(play: Play, version: int = 1, **which: Any) -> None:
    """ListTransactions: what it says of this play's id."""
    answer: Any = play.client.ask(ListTransactionsRequest(**which), version)
    mine = [
        (play.known(one.producer_id), one.transaction_state)
        for one in answer.transaction_states
        if one.transactional_id == play.producer.name
    ]
    unknown = sorted(answer.unknown_state_filters)
    play.note(f"list {sorted(which)} {version}", (name_of(answer.error_code), unknown, mine))


def lists(play: Play) -> None:
    """Filters, in each state."""
    at = play.topic(), 0
    identity = play.initialized()
    listed(play)
    play.add(identity, at)
    for state in ("Ongoing", "Empty", "CompleteCommit", "Odd", "ongoing", "Dead", "PrepareEpochFence"):
        listed(play, state_filters=[state])
        listed(play, 0, state_filters=[state, "Strange"])
    listed(play, state_filters=["Ongoing", "Odd"], producer_id_filters=[identity[0]])
    listed(play, producer_id_filters=[FAR])
    listed(play, producer_id_filters=[FAR, identity[0]])
    listed(play, duration_filter=0)
    listed(play, duration_filter=3_600_000)
    listed(play, duration_filter=-7)
    play.ended(identity)
    listed(play)
    listed(play, duration_filter=3_600_000)


def lists_decided(play: Play) -> None:
    at = play.topic(), 0
    identity = play.initialized()
    play.add(identity, at)
    play.hold(identity, at)
    play.end(identity)
    listed(play)
    listed(play, state_filters=["PrepareCommit"])
    listed(play, state_filters=["Ongoing", "CompleteCommit"])
    play.describe("PrepareCommit")


def lists_by_pattern(play: Play) -> None:
    """Version 2."""
    play.initialized()
    for pattern in (
        None,
        "",
        ".*",
        play.name,
        play.name[:3],
        f"{play.name[:3]}.*",
        "^list",
        "nothing",
        "[",
        "(?P<x>l.*)",
    ):
        listed(play, 2, transactional_id_pattern=pattern)


def descriptions(play: Play) -> None:
    """Several ids, and none."""
    play.initialized(timeout_ms=1234)
    asked = DescribeTransactionsRequest([play.name, "", "unknown", play.name])
    states: Any = play.client.ask(asked, 0).transaction_states
    told = [(one.transactional_id, name_of(one.error_code), one.transaction_state) for one in states]
    play.note("describe", sorted(told))
    play.note("none", play.client.ask(DescribeTransactionsRequest([]), 0).transaction_states)


def each_step(play: Play) -> None:
    """DescribeTransactions and DescribeProducers after each step."""
    at, other = (play.topic(), 0), (play.name, 1)
    identity = play.initialized()
    play.describe("Empty")
    play.producers(at)
    play.add(identity, at, other)
    play.describe("Ongoing")
    play.producers(at)
    play.put(identity, 0, at)
    play.put(identity, 1, at)
    play.producers(at)
    play.producers(other)
    play.ended(identity, commits=False)
    play.producers(at)
    play.producers(other)
    play.init()
    play.describe("Empty")
    play.producers(at)


def producers_that_are_none(play: Play) -> None:
    topic = play.topic()
    asked = DescribeProducersRequest([TopicRequest(topic, [0, 9]), TopicRequest("nowhere", [0])])
    answer: Any = play.client.ask(asked, 0)
    told = [
        (one.name, row.partition_index, name_of(row.error_code), len(row.active_producers))
        for one in answer.topics
        for row in one.partitions
    ]
    play.note("producers", sorted(told))


def coordinators(play: Play) -> None:
    """FindCoordinator for ids."""
    for version in range(1, 4):
        for key in (play.name, "", "x" * 300):
            found: Any = play.client.ask(FindCoordinatorRequest(key=key, key_type=1), version)
            play.note(f"find {version}", (name_of(found.error_code), found.node_id))
    keys = [play.name, "", "a", "a"]
    found = play.client.ask(FindCoordinatorRequest(key_type=1, coordinator_keys=keys), 4)
    told = sorted((one.key, name_of(one.error_code), one.node_id) for one in found.coordinators)
    play.note("find several", told)
    found = play.client.ask(FindCoordinatorRequest(key_type=7, coordinator_keys=["a"]), 4)
    play.note("find of no type", [name_of(one.error_code) for one in found.coordinators])


def without_verification(play: Play) -> None:
    """`transaction.partition.verification.enable` is false for a while."""
    at, other = (play.topic(), 0), (play.name, 1)
    identity = play.initialized()
    play.put(identity, 0, at)

    def turn(value: str) -> None:
        config = AlterableConfig(_VERIFICATION, 0, value)
        resource = AlterConfigsResource(_BROKER, "", [config])
        answer: Any = play.client.ask(IncrementalAlterConfigsRequest([resource]), 1)
        play.note(f"verification {value}", name_of(answer.responses[0].error_code))

    turn("false")
    # In force a moment later.
    wait_until(lambda: _takes(play, identity, other), "nothing is verified", seconds=20)
    for version in (9, 11):
        play.put(identity, version, at, version=version)
    play.put((FAR, 0), 0, at)
    play.put(identity, 0, at, version=11, name="unknown")
    group = f"{play.name}-group"
    for version in (3, 4):
        play.commit(identity, group, {at: 5}, version=version)
    play.describe("Empty")
    play.log(at)
    turn("true")
    fresh = play.topic(".fresh"), 0
    wait_until(lambda: not _takes(play, identity, fresh), "it is verified", seconds=20, pause=0.2)
    play.put(identity, 99, (fresh[0], 1))
    # Nobody else ends what was begun like this.
    play.mark(identity, at, other)
    play.mark((FAR, 0), at)
    play.log(at)
    play.offset(group, at, stable=True)


def _takes(play: Play, identity: tuple[int, int], partition: tuple[str, int]) -> bool:
    """Whether a batch that begins a transaction is taken as it is."""
    ((code, _),) = produce(play.client, play.name, (partition, batch_of(identity, 0)), version=9)
    return code == 0


SCENARIOS: Final[dict[str, Scenario]] = {
    "list": lists,
    "list-decided": lists_decided,
    "describe": descriptions,
    "steps": each_step,
    "producers": producers_that_are_none,
    "find": coordinators,
}
RAISING: Final[dict[str, Scenario]] = {"list-patterns": lists_by_pattern}
ALONE: Final[dict[str, Scenario]] = {"unverified": without_verification}
