"""Transactions that hang: what of the producers is left over when coordinators have said what they know."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest

from fastlog.client import BrokerError, ClientError, Cluster, TopicPartition
from fastlog.client.admin.hanging_transactions import coordinated_id, find_hanging
from fastlog.client.admin.transactions import (
    abort_transaction,
    describe_producers,
    describe_transactions,
    list_transactions,
)
from fastlog.errors import ErrorCode
from fastlog.wire import ApiKey, Request
from fastlog.wire.messages import describe_producers as producers
from fastlog.wire.messages import describe_transactions as descriptions
from fastlog.wire.messages import list_transactions as listings
from fastlog.wire.messages import txn_markers as markers
from fastlog.wire.messages.find_coordinator import (
    Coordinator,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
)
from tests.unit.client.test_partition_admin import Two
from tests.unit.net.fake_broker import Answer

T0, T1 = TopicPartition("t", 0), TopicPartition("t", 1)
HOUR_MS = 3_600_000
KNOWN, ELSEWHERE, NOBODY, DONE, YOUNG = 1, 2, 3, 4, 5


class World:
    """Both brokers know all ids and producers; partition 0 has an open transaction of every producer."""

    def __init__(self) -> None:
        self.ids: dict[int, tuple[str, list[int]]] = {KNOWN: ("known", [0]), ELSEWHERE: ("elsewhere", [1])}
        """By producer: its transactional id, and the partitions of `t` in its transaction."""
        self.looks = 0
        self.ended_meanwhile: set[int] = set()
        self.list_error = ErrorCode.NONE
        self.missing: set[str] = set()
        self.marker_code = ErrorCode.NONE
        self.both = Two(self.reply)

    def reply(self, request: Request) -> Answer:
        """What both answer."""
        if isinstance(request, producers.DescribeProducersRequest):
            self.looks += 1
            return self._producers(request)
        if isinstance(request, listings.ListTransactionsRequest):
            wanted = request.producer_id_filters
            rows = [
                listings.TransactionState(name, producer, "Ongoing")
                for producer, (name, _) in self.ids.items()
                if producer in wanted or not wanted
            ]
            return listings.ListTransactionsResponse(error_code=int(self.list_error), transaction_states=rows)
        if isinstance(request, FindCoordinatorRequest):
            return FindCoordinatorResponse(
                coordinators=[
                    Coordinator(key, 1, "127.0.0.1", self.both.first.port) for key in request.coordinator_keys
                ]
            )
        if isinstance(request, descriptions.DescribeTransactionsRequest):
            return self._descriptions(request)
        assert isinstance(request, markers.WriteTxnMarkersRequest)
        row = markers.WritableTxnMarkerPartitionResult(0, int(self.marker_code))
        topic = markers.WritableTxnMarkerTopicResult("t", [row])
        return markers.WriteTxnMarkersResponse([markers.WritableTxnMarkerResult(NOBODY, [topic])])

    def _producers(self, request: producers.DescribeProducersRequest) -> producers.DescribeProducersResponse:
        now_ms = time.time_ns() // 1_000_000
        ages = {KNOWN: HOUR_MS, ELSEWHERE: HOUR_MS, NOBODY: HOUR_MS, YOUNG: 0, DONE: HOUR_MS}
        states = [
            producers.ProducerState(
                producer_id=producer,
                producer_epoch=producer,
                last_timestamp=now_ms - age_ms,
                coordinator_epoch=-1,
                current_txn_start_offset=-1
                if producer == DONE or (self.looks > 1 and producer in self.ended_meanwhile)
                else 10 * producer,
            )
            for producer, age_ms in ages.items()
        ]
        return producers.DescribeProducersResponse(
            topics=[
                producers.TopicResponse(
                    topic.name,
                    [
                        producers.PartitionResponse(index, active_producers=[] if index else states)
                        for index in topic.partition_indexes
                    ],
                )
                for topic in request.topics
            ]
        )

    def _descriptions(
        self, request: descriptions.DescribeTransactionsRequest
    ) -> descriptions.DescribeTransactionsResponse:
        by_name: Mapping[str, tuple[int, list[int]]] = {
            name: (producer, numbers) for producer, (name, numbers) in self.ids.items()
        }
        rows = []
        for name in request.transactional_ids:
            if name in self.missing or name not in by_name:
                code = int(ErrorCode.TRANSACTIONAL_ID_NOT_FOUND)
                rows.append(descriptions.TransactionState(error_code=code, transactional_id=name))
                continue
            producer, numbers = by_name[name]
            rows.append(
                descriptions.TransactionState(
                    transactional_id=name,
                    transaction_state="Ongoing",
                    producer_id=producer,
                    transaction_start_time_ms=-1,
                    topics=[descriptions.TopicData("t", numbers)],
                )
            )
        return descriptions.DescribeTransactionsResponse(transaction_states=rows)


async def hanging(world: World, *, max_timeout_ms: int = HOUR_MS // 2) -> dict[int, str | None]:
    """Transactional ids by producers of what hangs in partition 0."""
    async with world.both, world.both.cluster() as cluster:
        result = await find_hanging(cluster, [T0, T1], max_timeout_ms=max_timeout_ms)
    assert not result.errors
    return {one.producer.producer_id: one.transactional_id for one in result.rows}


async def test_what_no_coordinator_has_hangs() -> None:
    assert await hanging(World()) == {ELSEWHERE: "elsewhere", NOBODY: None}


async def test_who_wrote_a_while_ago_may_still_be_ended() -> None:
    assert await hanging(World(), max_timeout_ms=2 * HOUR_MS) == {}
    assert YOUNG in await hanging(World(), max_timeout_ms=-1)


async def test_what_was_ended_meanwhile_does_not_hang() -> None:
    world = World()
    world.ended_meanwhile = {NOBODY}
    assert await hanging(world) == {ELSEWHERE: "elsewhere"}
    assert world.looks == 2


async def test_an_id_that_expires_while_it_is_asked_for_knows_nothing() -> None:
    world = World()
    world.missing = {"known"}
    assert KNOWN in await hanging(world)


async def test_nothing_is_said_to_hang_when_a_coordinator_cannot_be_asked() -> None:
    world = World()
    world.list_error = ErrorCode.COORDINATOR_NOT_AVAILABLE
    async with world.both, world.both.cluster(timeout_ms=500) as cluster:
        with pytest.raises(ClientError):
            await find_hanging(cluster, [T0], max_timeout_ms=0)


async def test_who_is_going_to_end_it() -> None:
    world = World()
    async with world.both, world.both.cluster() as cluster:
        assert await coordinated_id(cluster, T0, KNOWN) == "known"
        assert await coordinated_id(cluster, T0, ELSEWHERE) is None
        assert await coordinated_id(cluster, T0, NOBODY) is None


async def test_every_broker_is_asked_for_its_ids() -> None:
    world = World()
    async with world.both, world.both.cluster() as cluster:
        found = await list_transactions(cluster, states=["Ongoing"], longer_than_ms=5, pattern="k.*")
        (asked,) = world.both.second.asked(ApiKey.LIST_TRANSACTIONS)
    assert isinstance(asked, listings.ListTransactionsRequest)
    assert (asked.state_filters, asked.duration_filter, asked.transactional_id_pattern) == (
        ["Ongoing"],
        5,
        "k.*",
    )
    assert [(row.transactional_id, row.coordinator) for row in found.rows] == [
        *(("elsewhere", 1), ("elsewhere", 2)),
        *(("known", 1), ("known", 2)),
    ]


async def test_descriptions_and_producers() -> None:
    world = World()
    async with world.both, world.both.cluster() as cluster:
        found = await describe_transactions(cluster, ["known", "nothere"])
        at_second = await describe_producers(cluster, [T0], broker=2)
        assert len(world.both.second.asked(ApiKey.DESCRIBE_PRODUCERS)) == 1
    known, missing = found["known"], found["nothere"]
    assert not isinstance(known, ClientError)
    assert (known.start_ms, known.partitions, known.coordinator) == (None, (T0,), 1)
    assert isinstance(missing, BrokerError)
    assert missing.code is ErrorCode.TRANSACTIONAL_ID_NOT_FOUND
    states = at_second[T0]
    assert not isinstance(states, ClientError)
    assert [(state.producer_id, state.coordinator_epoch, state.start_offset) for state in states] == [
        *((1, None, 10), (2, None, 20), (3, None, 30), (4, None, None), (5, None, 50))
    ]


async def test_a_marker_is_written_by_the_leader_and_once() -> None:
    world = World()
    async with world.both, world.both.cluster() as cluster:
        await abort_transaction(cluster, T0, NOBODY, 3, 0)
        (asked,) = world.both.first.asked(ApiKey.WRITE_TXN_MARKERS)
        assert isinstance(asked, markers.WriteTxnMarkersRequest)
        (marker,) = asked.markers
        assert (marker.producer_id, marker.producer_epoch, marker.coordinator_epoch) == (NOBODY, 3, 0)
        assert not marker.transaction_result
        world.marker_code = ErrorCode.INVALID_PRODUCER_EPOCH
        with pytest.raises(BrokerError) as caught:
            await abort_transaction(cluster, T0, NOBODY, 3, 0)
    assert caught.value.code is ErrorCode.INVALID_PRODUCER_EPOCH


async def test_a_broker_that_cannot_be_asked_is_told_of() -> None:
    world = World()
    async with world.both, Cluster(world.both.first.address, timeout_ms=1500) as cluster:
        await world.both.second.stop()
        found = await list_transactions(cluster)
        await world.both.second.start()
    assert [*found.errors] == [2]
    assert {row.coordinator for row in found.rows} == {1}
