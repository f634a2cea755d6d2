"""AddPartitionsToTxn and AddOffsetsToTxn: what joins a transaction, asked by clients and by brokers."""

from __future__ import annotations

from typing import Any, Final

from fastlog.coordination.topic_names import GROUP_METADATA_TOPIC, TRANSACTION_STATE_TOPIC
from fastlog.wire.messages.transactions import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
)
from tests.compat.transactions.play import FAR, Play, Scenario, name_of
from tests.integration.transaction_broker import of_broker


def unknown_id(play: Play) -> None:
    at = play.topic(), 0
    for version in range(4):
        play.add((1, 0), at, version=version)
    play.add_offsets((1, 0), "g")


def identities(play: Play) -> None:
    """Of others, of before, of later, in each version."""
    at = play.topic(), 0
    former = play.initialized()
    identity = play.initialized()
    for version in range(4):
        play.add((FAR, 1), at, version=version)
        play.add(former, at, version=version)
        play.add((identity[0], 7), at, version=version)
    for version in range(5):
        for who in (former, (FAR, 1), identity):
            play.add_offsets(who, "g", version=version)
    play.describe("Ongoing")


def twice(play: Play) -> None:
    """The second time writes nothing."""
    topic = play.topic()
    identity = play.initialized()
    play.add(identity, (topic, 0))
    play.add(identity, (topic, 0))
    play.add(identity, (topic, 0), (topic, 1))
    play.add_offsets(identity, "g")
    play.add_offsets(identity, "g")
    play.describe("Ongoing")


def odd_partitions(play: Play) -> None:
    """One that cannot be keeps all out."""
    at = play.topic(), 0
    identity = play.initialized()
    for odd in (
        ("nowhere", 0),
        (at[0], 9),
        (at[0], -1),
        (TRANSACTION_STATE_TOPIC, 0),
        (GROUP_METADATA_TOPIC, 0),
    ):
        for version in (0, 3):
            play.add(identity, at, odd, version=version)
    play.add(identity, ("nowhere", 0))
    play.add(identity, ("", 0))
    play.describe("Empty")


def empty_requests(play: Play) -> None:
    """Without partitions, with topics that have none, with one partition twice."""
    topic = play.topic()
    identity = play.initialized()

    def ask(*topics: AddPartitionsToTxnTopic) -> None:
        asked = AddPartitionsToTxnRequest(
            v3_and_below_transactional_id=play.name,
            v3_and_below_producer_id=identity[0],
            v3_and_below_producer_epoch=identity[1],
            v3_and_below_topics=list(topics),
        )
        answer: Any = play.client.ask(asked, 3)
        told = [
            (
                one.name,
                sorted(
                    (row.partition_index, name_of(row.partition_error_code))
                    for row in one.results_by_partition
                ),
            )
            for one in answer.results_by_topic_v3_and_below
        ]
        play.note(f"add {topics}", told)

    ask()
    ask(AddPartitionsToTxnTopic(topic, []))
    play.note("state", play.producer.describe().transaction_state)
    ask(AddPartitionsToTxnTopic(topic, [0, 0]))
    play.describe("Ongoing")


def empty_ids(play: Play) -> None:
    at = play.topic(), 0
    identity = play.initialized()
    play.add_offsets(identity, "")
    play.producer.name = ""
    for version in range(4):
        play.add(identity, at, version=version)
    for version in range(5):
        code = play.client.ask(AddOffsetsToTxnRequest("", *identity, "g"), version).error_code
        play.note(f"add offsets {version}", name_of(code))


def decided_transaction(play: Play) -> None:
    """Scenario 26: markers are under way."""
    at = play.topic(), 0
    identity = play.initialized()
    play.add(identity, at)
    play.hold(identity, at)
    play.end(identity, commits=False)
    for version in (0, 1, 2, 3):
        play.add(identity, at, version=version, at_once=True)
    play.add((FAR, 0), at, at_once=True)
    play.add((identity[0], 9), at, at_once=True)
    play.add_offsets(identity, "g", at_once=True)
    play.add_as_broker(of_broker(play.name, identity, at))
    play.add_as_broker(of_broker(play.name, identity, at, verifies=True))
    play.add_as_broker(of_broker(play.name, (FAR, 0), at, verifies=True))
    play.add_as_broker(of_broker(play.name, (identity[0], 9), at, verifies=True))
    play.describe("PrepareAbort")


def next_transaction(play: Play) -> None:
    """Scenario 27: at once after the end, and again and again."""
    at = play.topic(), 0
    identity = play.initialized()
    for number in range(5):
        play.add(identity, at)
        play.put(identity, number, at)
        play.end(identity, commits=number % 2 == 0)
    play.describe("CompleteCommit")
    play.log(at)


def several_of_brokers(play: Play) -> None:
    """Scenario 28: in one request, one of them odd."""
    topic = play.topic()
    at, other = (topic, 0), (topic, 1)
    identity = play.initialized()
    play.add_as_broker(of_broker(play.name, identity, at), of_broker("unknown", (FAR, 0), at))
    play.add_as_broker(of_broker(play.name, identity, other, ("nowhere", 0)))
    play.add_as_broker(of_broker(play.name, (identity[0], 5), other))
    play.add_as_broker(of_broker(play.name, (FAR, 0), other))
    play.add_as_broker(of_broker("", identity, other))
    play.describe("Ongoing")


def verifications(play: Play) -> None:
    """Scenario 29: in it, not in it, idle, complete."""
    topic = play.topic()
    at, other = (topic, 0), (topic, 1)
    identity = play.initialized()
    verify = of_broker(play.name, identity, at, other, verifies=True)
    play.add_as_broker(verify)
    play.add(identity, at)
    play.add_as_broker(verify)
    play.add_as_broker(of_broker(play.name, (identity[0], 5), at, verifies=True))
    play.add_as_broker(of_broker(play.name, (FAR, 0), at, verifies=True))
    play.add_as_broker(of_broker("unknown", (FAR, 0), at, verifies=True))
    play.add_as_broker(of_broker(play.name, identity, ("nowhere", 0), verifies=True))
    play.add_as_broker(verify, of_broker("unknown", (FAR, 0), at, verifies=True))
    play.ended(identity)
    play.add_as_broker(verify)


def verifications_of_offsets(play: Play) -> None:
    """The partition of a group's offsets, which a client does not name."""
    identity = play.initialized()
    both = (GROUP_METADATA_TOPIC, 0), (GROUP_METADATA_TOPIC, 1)
    verify = of_broker(play.name, identity, *both, verifies=True)
    play.add_as_broker(verify)
    play.add_offsets(identity, f"{play.name}-group")
    play.add_as_broker(verify)
    play.describe("Ongoing")


SCENARIOS: Final[dict[str, Scenario]] = {
    "add-unknown": unknown_id,
    "add-identities": identities,
    "add-twice": twice,
    "add-odd": odd_partitions,
    "add-empty": empty_requests,
    "add-no-id": empty_ids,
    "add-decided": decided_transaction,
    "add-next": next_transaction,
    "add-brokers": several_of_brokers,
    "add-verify": verifications,
    "add-verify-offsets": verifications_of_offsets,
}
