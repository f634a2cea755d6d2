"""What no controller sends: names and numbers that cannot be, ids that contradict each other, doubles.

Whoever sends it all the same must not reach another topic, a place outside the log directories, or the memory
of the broker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from fastlog.coordination.member.cluster_updates import brokers_of
from fastlog.coordination.member.possible import MAX_PARTITIONS
from fastlog.errors import ErrorCode
from fastlog.wire.messages.leader_and_isr import (
    LeaderAndIsrPartitionState,
    LeaderAndIsrRequest,
    LeaderAndIsrTopicState,
)
from fastlog.wire.messages.update_metadata import (
    UpdateMetadataBroker,
    UpdateMetadataEndpoint,
    UpdateMetadataRequest,
)
from tests.unit.coordination.member.receiving import (
    BROKER_EPOCH,
    ID,
    ME,
    OTHER,
    OTHER_ID,
    Receiving,
    part,
    seen,
)

NONE = ErrorCode.NONE
_HERE = {0: (ME, 3), 1: (OTHER, 3)}
_NUMBERS = (-1, -2, -100, -(2**31), MAX_PARTITIONS, 2**31 - 1)
_NAMES = ("", ".", "..", "../up", "a/b", "/absolute", "a\0b", "a\nb", "x" * 300, "\u00fc")

Topic = tuple[str, bytes, Sequence[LeaderAndIsrPartitionState]]


async def _assign(broker: Receiving, *topics: Topic) -> list[list[ErrorCode]]:
    """LeaderAndIsr of several topics; the codes of each."""
    answer = await broker.receiver.leader_and_isr(
        LeaderAndIsrRequest(
            controller_id=OTHER,
            controller_epoch=1,
            broker_epoch=BROKER_EPOCH,
            topic_states=[
                LeaderAndIsrTopicState(name, topic_id, [*parts]) for name, topic_id, parts in topics
            ],
        )
    )
    assert not answer.error_code
    assert [topic.topic_id for topic in answer.topics] == [topic_id for _, topic_id, _ in topics]
    return [[ErrorCode(row.error_code) for row in topic.partition_errors] for topic in answer.topics]


@pytest.fixture
async def holding(broker: Receiving) -> Receiving:
    """Leads a partition of topic t, and follows another."""
    await broker.assign(part(0, ME, 3), part(1, OTHER, 3))
    await broker.update(seen("t", (0, ME, 3), (1, OTHER, 3)))
    return broker


def _check_unharmed(broker: Receiving) -> None:
    assert broker.assigned() == _HERE
    assert broker.directories() == ["t-0", "t-1"]
    (root,) = broker.paths
    assert [entry.name for entry in root.parent.iterdir()] == [root.name]
    assert [state.leader for state in broker.view.topics["t"].partitions] == [ME, OTHER]


@pytest.mark.parametrize("number", _NUMBERS)
async def test_numbers_that_no_partition_can_have_reach_none(holding: Receiving, number: int) -> None:
    assert await holding.assign(part(number, ME, 9)) == {number: ErrorCode.INVALID_PARTITIONS}
    for delete in (False, True):
        assert await holding.stop_replica((number, -2), delete=delete) == {number: NONE}
    assert (
        await holding.update(seen("t", (number, 7, 9)), seen("u", (number, 7, 9), topic_id=OTHER_ID)) is NONE
    )
    _check_unharmed(holding)
    assert set(holding.view.topics) == {"t"}


@pytest.mark.parametrize("name", _NAMES)
async def test_names_that_no_topic_can_have_lead_nowhere(holding: Receiving, name: str) -> None:
    answer = await holding.assign(part(0, ME, 1), topic=name, topic_id=OTHER_ID)
    assert answer == {0: ErrorCode.INVALID_TOPIC_EXCEPTION}
    assert await holding.stop_replica((0, -2), delete=True, topic=name) == {0: NONE}
    assert await holding.update(seen(name, (0, ME, 1), topic_id=OTHER_ID)) is NONE
    _check_unharmed(holding)
    assert set(holding.view.topics) == {"t"}


@pytest.mark.parametrize(
    "placed", [{"replicas": [1, -(2**31)]}, {"replicas": [-1]}, {"isr": [-1]}, {"leader": -3}], ids=str
)
async def test_ids_that_no_broker_can_have_are_not_seen(
    holding: Receiving, placed: dict[str, list[int]]
) -> None:
    """They cannot be written, so that nobody could delete the topic."""
    topic = seen("u", (0, ME, 1), topic_id=OTHER_ID)
    state = replace(topic.partition_states[0], **placed)
    assert await holding.update(replace(topic, partition_states=[state])) is NONE
    _check_unharmed(holding)
    assert set(holding.view.topics) == {"t"}
    await holding.update(replace(topic, partition_states=[replace(state, leader=-1, replicas=[0], isr=[])]))
    assert set(holding.view.topics) == {"t", "u"}


async def test_what_is_possible_in_the_same_request_is_done(holding: Receiving) -> None:
    codes = await _assign(holding, ("..", OTHER_ID, [part(0, ME, 1)]), ("v", b"v" * 16, [part(0, ME, 1)]))
    assert codes == [[ErrorCode.INVALID_TOPIC_EXCEPTION], [NONE]]
    assert holding.assigned("v") == {0: (ME, 1)}
    await holding.update(seen("..", (0, ME, 1), topic_id=OTHER_ID), seen("v", (0, ME, 1), topic_id=b"v" * 16))
    assert set(holding.view.topics) == {"t", "v"}


@pytest.mark.parametrize("ids", [(ID, OTHER_ID), (OTHER_ID, ID)])
async def test_a_second_id_for_a_topic_that_is_here_deletes_nothing(
    holding: Receiving, ids: tuple[bytes, bytes]
) -> None:
    codes = await _assign(holding, *[("t", topic_id, [part(0, ME, 4)]) for topic_id in ids])
    assert codes == [[NONE if topic_id == ID else ErrorCode.INCONSISTENT_TOPIC_ID] for topic_id in ids]
    assert holding.assigned() == {0: (ME, 4), 1: (OTHER, 3)}
    assert holding.reconciler.view["t"].topic_id == ID
    assert holding.directories() == ["t-0", "t-1"]


async def test_of_two_ids_for_a_new_topic_the_first_counts(broker: Receiving) -> None:
    codes = await _assign(broker, ("t", ID, [part(0, ME, 1)]), ("t", OTHER_ID, [part(1, ME, 1)]))
    assert codes == [[NONE], [ErrorCode.INCONSISTENT_TOPIC_ID]]
    assert broker.reconciler.view["t"].topic_id == ID
    assert broker.directories() == ["t-0"]


async def test_of_one_partition_named_twice_the_later_epoch_counts(broker: Receiving) -> None:
    assert await broker.assign(part(0, ME, 7), part(0, OTHER, 6), part(0, OTHER, 5)) == {0: NONE}
    assert broker.assigned() == {0: (ME, 7)}


async def test_a_topic_named_twice_is_seen_as_it_was_named_last(broker: Receiving) -> None:
    await broker.update(seen("t", (0, ME, 1), (1, ME, 1)), seen("t", (1, OTHER, 2)))
    assert [state.leader for state in broker.view.topics["t"].partitions] == [ME, OTHER]
    await broker.update(seen("t", (0, ME, 9)), seen("t", (0, OTHER, 0), topic_id=OTHER_ID))
    assert [state.leader for state in broker.view.topics["t"].partitions] == [OTHER]
    assert broker.view.topic_by_id(ID) is None
    assert broker.view.topic_by_id(OTHER_ID) is broker.view.topics["t"]


async def test_few_bytes_do_not_take_much_memory(broker: Receiving) -> None:
    topics: list[Topic] = [
        (f"t{number}", b"%016d" % number, [part(MAX_PARTITIONS - 1, OTHER, 1)]) for number in range(12)
    ]
    codes = await _assign(broker, *topics)
    assert codes == [[NONE]] * 10 + [[ErrorCode.INVALID_PARTITIONS]] * 2
    # Those that are there take no more.
    assert await broker.assign(part(5, OTHER, 1), topic="t0", topic_id=topics[0][1]) == {5: NONE}
    named = [seen(name, (MAX_PARTITIONS - 1, OTHER, 1), topic_id=topic_id) for name, topic_id, _ in topics]
    await broker.update(*named)
    assert len(broker.view.topics) == 10


def test_brokers_are_known_once_and_by_addresses_that_can_be() -> None:
    endpoints = [
        UpdateMetadataEndpoint(port, "host", f"L{index}", 0)
        for index, port in enumerate((9092, 65535, 65536, -1, 2**31 - 1))
    ]
    broker = UpdateMetadataBroker(id_=7, endpoints=endpoints)
    (found,) = brokers_of(UpdateMetadataRequest(live_brokers=[replace(broker, endpoints=[]), broker]))
    assert found.endpoints == {"L0": ("host", 9092), "L1": ("host", 65535)}
