"""How long transactions of tens of thousands of partitions hold the event loop: those that a request brings,
and those that an id or a group has already when a small request comes.

The topic has its many partitions in the broker's view alone: nothing of what is measured asks for their logs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from fastlog.coordination.transactions.state import TransactionState
from fastlog.errors import ErrorCode as E
from fastlog.wire import Request
from fastlog.wire.messages.group_offsets import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from fastlog.wire.messages.transactions import (
    AddOffsetsToTxnRequest,
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from tests.harness.loop_probe import ProbedSelector
from tests.harness.waiting import wait_until
from tests.integration.requests import make_topic
from tests.integration.running import RunningBroker
from tests.integration.transaction_broker import Producer, of, put
from tests.integration.transactional_client import Identity

COUNT: Final = 65_500
POSITIONS: Final = 15_000
"""So many fit into a record batch."""
LONGEST_HOLD: Final = 0.02
"""What is promised, and what is aimed at times four: a busy machine makes the clock stop late."""
TRIES: Final = 5
SETTINGS: Final = {
    "transaction.state.log.num.partitions": "1",
    "offsets.topic.num.partitions": "1",
    "offset.metadata.max.bytes": "10",
}


class Wide:
    """A broker whose topic `wide` seems to have that many partitions."""

    def __init__(self, directory: Path) -> None:
        self.probe = ProbedSelector()
        self.running = RunningBroker(directory, SETTINGS, asyncio.SelectorEventLoop(self.probe))
        self.running.start()
        self.client = self.running.connect(timeout=60)
        make_topic(self.client, "wide")
        topic = self.running.broker.services.cluster.topics["wide"]
        object.__setattr__(topic, "partitions", tuple(topic.partitions) * COUNT)

    def close(self) -> None:
        """It is over."""
        self.client.socket.close()
        self.running.close()

    def held(self, ask: Callable[[], Any]) -> tuple[float, Any]:
        """(longest hold of the loop, what was answered)."""
        time.sleep(0.002)
        self.probe.longest = 0.0
        answer = ask()
        self.running.run(asyncio.sleep(0))
        return self.probe.longest, answer


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wide]:
    made = Wide(tmp_path_factory.mktemp("wide"))
    yield made
    made.close()


def commit_of(name: str, group: str, identity: Identity, count: int) -> Request:
    """Positions of that many partitions."""
    rows = [TxnOffsetCommitRequestPartition(number, number) for number in range(count)]
    return TxnOffsetCommitRequest(
        transactional_id=name,
        group_id=group,
        producer_id=identity[0],
        producer_epoch=identity[1],
        topics=[TxnOffsetCommitRequestTopic("wide", rows)],
    )


def fetch_of(group: str, *partitions: int) -> Request:
    """Positions of a few of them, if they are decided."""
    topics = [OffsetFetchRequestTopics("wide", list(partitions))]
    return OffsetFetchRequest(
        groups=[OffsetFetchRequestGroup(group_id=group, topics=topics)], require_stable=True
    )


def added(wide: Wide, name: str) -> Identity:
    """A producer with the partition of the group's offsets in its transaction."""
    producer = Producer(wide.client, name)
    identity = producer.initialized()
    asked = AddOffsetsToTxnRequest(name, *identity, name)
    wait_until(lambda: wide.client.ask(asked, 3).error_code == 0, "the group is served", seconds=30)
    return identity


def least(wide: Wide, course: Callable[[Wide, str], dict[str, float]]) -> dict[str, float]:
    """The holds of a course by step, the least of some tries."""
    told: dict[str, float] = {}
    for attempt in range(TRIES):
        for step, held in course(wide, f"{course.__name__}-{attempt}").items():
            told[step] = min(told.get(step, held), held)
        if max(told.values()) < LONGEST_HOLD:
            break
    return told


def ended(wide: Wide, producer: Producer, identity: Identity, state: TransactionState) -> float:
    """The hold from the end of a transaction until all its markers are written."""
    transaction = of(wide.running, producer.name)

    def end() -> None:
        commits = state is TransactionState.COMPLETE_COMMIT
        assert producer.end(identity, commits=commits)[0] == 0
        wait_until(lambda: transaction.entry.state is state, f"not {state.label}", seconds=60)

    return wide.held(end)[0]


def positions(wide: Wide, name: str) -> dict[str, float]:
    """A commit of very many, a small question meanwhile, and the marker that makes them count."""
    producer, identity = Producer(wide.client, name), added(wide, name)
    refused, commit = commit_of(name, name, identity, COUNT), commit_of(name, name, identity, POSITIONS)
    asked = fetch_of(name, 5, POSITIONS - 1)
    too_many, answer = wide.held(lambda: wide.client.ask(refused, 3))
    assert {row.error_code for row in answer.topics[0].partitions} == {E.INVALID_COMMIT_OFFSET_SIZE}
    committed, answer = wide.held(lambda: wide.client.ask(commit, 3))
    assert {row.error_code for row in answer.topics[0].partitions} == {0}
    fetched, answer = wide.held(lambda: wide.client.ask(asked, 8))
    rows = answer.groups[0].topics[0].partitions
    assert {row.error_code for row in rows} == {E.UNSTABLE_OFFSET_COMMIT}
    marked = ended(wide, producer, identity, TransactionState.COMPLETE_COMMIT)
    rows = wide.client.ask(asked, 8).groups[0].topics[0].partitions
    assert [row.committed_offset for row in rows] == [5, POSITIONS - 1]
    return {"refused": too_many, "commit": committed, "fetch": fetched, "marker": marked}


def one_more(wide: Wide, name: str) -> dict[str, float]:
    """A partition joins, and the transaction ends: each change of an id writes all of its partitions."""
    producer = Producer(wide.client, name)
    identity = producer.initialized()
    many = frozenset(("gone", number) for number in range(COUNT))
    now_ms = time.time_ns() // 1_000_000
    ongoing = TransactionState.ONGOING
    put(wide.running, name, state=ongoing, partitions=many, start_ms=now_ms, last_update_ms=now_ms)
    held, codes = wide.held(lambda: producer.add(identity, ("wide", 0)))
    assert codes == {("wide", 0): 0}
    return {"add": held, "end": ended(wide, producer, identity, TransactionState.COMPLETE_ABORT)}


@pytest.mark.parametrize("course", [positions, one_more], ids=lambda course: course.__name__)
def test_no_step_holds_the_loop(wide: Wide, course: Callable[[Wide, str], dict[str, float]]) -> None:
    told = least(wide, course)
    assert max(told.values()) < LONGEST_HOLD, told
    assert told.get("fetch", 0.0) < LONGEST_HOLD / 4, told
