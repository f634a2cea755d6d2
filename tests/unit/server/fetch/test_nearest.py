"""To which replica a consumer is sent, and what such an answer is (KIP-392)."""

from __future__ import annotations

from typing import Any, cast

from fastlog.coordination.cluster_view import BrokerInfo
from fastlog.native import Log
from fastlog.replication.partition import Partition, ReplicaSettings
from fastlog.server.fetch.nearest import NO_REPLICA, nearer_replica
from fastlog.server.fetch.operation import FetchOperation
from fastlog.server.fetch.rows import FetchTerms
from tests.unit.replication.fakes import FakeLog
from tests.unit.server.fetch.test_fetch import (
    FORCE,
    HIGH_WATERMARK,
    LOG,
    TOPIC_ID,
    FakeExchange,
    World,
    asked,
)

PREFERRED = 10
RACKS = {1: "a", 2: "b", 3: "b", 4: "b", 5: None}


class Racks(World):
    """A leader in rack `a`, followers of 10 records in rack `b`, one of which is in no in-sync set."""

    def __init__(self) -> None:
        super().__init__(FakeLog(end=10))
        self.broker.cluster.set_brokers(tuple(BrokerInfo(node, rack, {}) for node, rack in RACKS.items()))
        self.partition: Partition = self.replicas.become_leader(
            "t",
            TOPIC_ID,
            0,
            cast("Log", self.log),
            leader_epoch=6,
            in_sync=frozenset({1, 2, 3, 5}),
            settings=ReplicaSettings(),
            replicas=(1, 2, 3, 4, 5),
        )
        self.fetched(4, 9)

    def fetched(self, replica: int, offset: int, start: int = 0) -> None:
        self.partition.on_fetched(replica, offset, start)

    def nearer(self, offset: int, rack: str) -> int:
        return nearer_replica(self.broker, self.partition, offset, rack)


def test_a_consumer_is_sent_to_the_one_in_its_rack_that_has_most() -> None:
    world = Racks()
    assert world.nearer(0, "b") == NO_REPLICA, "nothing is known of them"
    world.fetched(2, 5)
    world.fetched(3, 8, start=4)
    assert [world.nearer(offset, "b") for offset in (0, 3, 4, 8, 9)] == [2, 2, 3, 3, NO_REPLICA]
    world.fetched(2, 8)
    assert world.nearer(8, "b") == 2, "any of two, but always the same"
    assert (world.nearer(4, "a"), world.nearer(4, "c")) == (NO_REPLICA, NO_REPLICA)
    world.partition.follow(2, 7)
    assert world.nearer(4, "b") == NO_REPLICA


async def test_who_is_sent_elsewhere_gets_an_answer_at_once_and_no_records() -> None:
    world = Racks()
    world.fetched(2, 10)
    exchange = FakeExchange()

    def begin(terms: FetchTerms, offset: int) -> list[Any]:
        context = world.sessions.open(0, -1, [asked(offset=offset)], [], uses_ids=False)
        FetchOperation(
            world.broker,
            cast("Any", exchange),
            context,
            terms=terms,
            max_wait_ms=500,
            min_bytes=1000,
            max_bytes=1 << 20,
        ).start()
        return world.io.reads

    ((rows, how),) = begin(FetchTerms(12, 0, rack="b"), 10)
    assert [(row[PREFERRED], row[LOG], row[FORCE]) for row in rows] == [(2, None, True)]
    assert (rows[0][HIGH_WATERMARK], how["min_bytes"]) == (10, 0)
    # Without a rack, or in the leader's, it waits here as ever.
    assert len(begin(FetchTerms(12, 0), 10)) == len(begin(FetchTerms(12, 0, rack="a"), 10)) == 1
    assert len(world.purgatory) == 2
