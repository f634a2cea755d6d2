"""The library's consumers on a broker: alone, in groups of both protocols, and beside other clients."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Collection

import pytest

from fastlog import (
    AsyncConsumer,
    AsyncProducer,
    Consumer,
    OffsetAndMetadata,
    Producer,
    TopicPartition,
    errors,
)
from fastlog.client.consumer import BEGINNING, Position, RebalanceListener
from tests.integration.conftest import BrokerFactory
from tests.integration.running import RunningBroker

ZERO, ONE, TWO = (TopicPartition("t", index) for index in range(3))
PROTOCOLS = ("classic", "consumer")


@pytest.fixture
def broker(start_broker: BrokerFactory) -> RunningBroker:
    """Three partitions for each topic, and groups that do not wait."""
    return start_broker(
        **{
            "num.partitions": "3",
            "group.initial.rebalance.delay.ms": "0",
            "offsets.topic.num.partitions": "1",
            "group.consumer.heartbeat.interval.ms": "200",
            "group.consumer.min.heartbeat.interval.ms": "200",
        }
    )


def fill(broker: RunningBroker, count: int, topic: str = "t", *, first: int = 0) -> None:
    with Producer(broker.bootstrap) as producer:
        for number in range(first, first + count):
            producer.send(topic, b"%d" % number, partition=number % 3, timestamp_ms=1000 + number)


class Notes(RebalanceListener):
    """Notes what it is told."""

    def __init__(self, then: Callable[[], object] | None = None) -> None:
        self.told: list[tuple[str, list[TopicPartition]]] = []
        self.threads: set[int] = set()
        self.then = then

    def _note(self, what: str, partitions: Collection[TopicPartition]) -> None:
        self.told.append((what, list(partitions)))
        self.threads.add(threading.get_ident())

    def on_assigned(self, partitions: Collection[TopicPartition]) -> None:
        self._note("assigned", partitions)

    def on_revoked(self, partitions: Collection[TopicPartition]) -> None:
        self._note("revoked", partitions)
        if self.then is not None:
            self.then()

    def on_lost(self, partitions: Collection[TopicPartition]) -> None:
        self._note("lost", partitions)


def drain(consumer: Consumer, count: int, seconds: float = 30) -> list[bytes]:
    found: list[bytes] = []
    end = time.monotonic() + seconds
    while len(found) < count:
        assert time.monotonic() < end, f"{len(found)} of {count} records"
        for records in consumer.poll(200).values():
            found += [record.value or b"" for record in records]
    return found


def test_assigned_partitions_are_read_from_where_it_is_said(broker: RunningBroker) -> None:
    fill(broker, 30)
    with Consumer(broker.bootstrap, auto_offset_reset="earliest") as consumer:
        consumer.assign([ZERO, ("t", 1)])
        assert consumer.assignment() == {ZERO, ONE}
        assert sorted(map(int, drain(consumer, 20))) == [n for n in range(30) if n % 3 < 2]
        assert consumer.position(ZERO) == 10
        consumer.seek(ZERO, 8)
        (records,) = consumer.poll(5000).values()
        assert [(record.offset, record.value) for record in records] == [(8, b"24"), (9, b"27")]
        consumer.seek(ONE, Position("timestamp", 1000 + 22))
        assert [record.value for record in consumer.consume(2, timeout=5)] == [b"22", b"25"]
        consumer.seek_to_end()
        assert consumer.poll(100) == {}
        consumer.seek_to_beginning(ZERO)
        assert consumer.consume(1, 5)[0].offset == 0
        with pytest.raises(ValueError, match="partition t-2 is not assigned to this consumer"):
            consumer.seek(TWO, 0)
        assert consumer.beginning_offsets([ZERO]) == {ZERO: 0}
        assert consumer.end_offsets([ZERO, TWO]) == {ZERO: 10, TWO: 10}
        times = consumer.offsets_for_times({ZERO: 1000 + 4, ONE: 10**15})
        assert times[ZERO] is not None
        assert (times[ZERO].offset, times[ZERO].timestamp, times[ONE]) == (2, 1006, None)
        assert consumer.partitions_for_topic("t") == {0, 1, 2}
        assert "t" in consumer.topics()
        with pytest.raises(RuntimeError, match="group_id"):
            consumer.commit()
        with pytest.raises(RuntimeError, match="needs a group_id"):
            consumer.subscribe(["t"])
    with pytest.raises(RuntimeError, match="closed"):
        consumer.poll(0)
    consumer.close()


def test_a_pause_keeps_what_is_buffered_and_the_others_go_on(broker: RunningBroker) -> None:
    fill(broker, 30)
    with Consumer(broker.bootstrap, auto_offset_reset="earliest") as consumer:
        consumer.assign([ZERO, ONE])
        drain(consumer, 20)
        fill(broker, 30, first=30)
        consumer.pause(ZERO)
        assert consumer.paused() == {ZERO}
        assert {int(value) % 3 for value in drain(consumer, 10)} == {1}
        assert consumer.poll(100) == {}
        consumer.resume(ZERO)
        assert {int(value) % 3 for value in drain(consumer, 10)} == {0}


def test_no_partition_starves_behind_a_full_one(broker: RunningBroker) -> None:
    fill(broker, 9000)
    seen: set[int] = set()
    with Consumer(broker.bootstrap, auto_offset_reset="earliest") as consumer:
        consumer.assign([ZERO, ONE, TWO])
        for _ in range(6):
            seen |= {name.partition for name in consumer.poll(5000, max_records=100)}
    assert seen == {0, 1, 2}


async def test_a_coroutine_reads_record_by_record(broker: RunningBroker) -> None:
    async with AsyncProducer(broker.bootstrap) as producer:
        for number in range(10):
            await producer.send("t", b"%d" % number, partition=0, headers={"n": b"%d" % number})
    async with AsyncConsumer(
        "t", bootstrap_servers=broker.bootstrap, group_id="g", auto_offset_reset="earliest"
    ) as consumer:
        found = []
        async for record in consumer:
            found.append(record)
            if len(found) == 10:
                break
        assert [record.headers for record in found] == [[("n", b"%d" % number)] for number in range(10)]
        assert consumer.assignment == {ZERO, ONE, TWO}
        await consumer.commit()
        assert await consumer.committed(ZERO, ONE) == {ZERO: OffsetAndMetadata(10, "", 0), ONE: None} or (
            (await consumer.committed(ZERO))[ZERO] == OffsetAndMetadata(10, "", 0)
        )
        one = asyncio.ensure_future(consumer.getone())
        async with AsyncProducer(broker.bootstrap) as producer:
            await producer.send("t", b"more", partition=1)
        assert (await asyncio.wait_for(one, 20)).value == b"more"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_group_goes_on_where_it_was(broker: RunningBroker, protocol: str) -> None:
    fill(broker, 30)
    options = {"group_id": "g", "group_protocol": protocol, "auto_offset_reset": "earliest"}
    with Consumer(broker.bootstrap, **options) as consumer:  # type: ignore[arg-type]
        consumer.subscribe(["t"])
        assert len(drain(consumer, 30)) == 30
        assert consumer.group_metadata.group_id == "g"
        assert consumer.group_metadata.generation > 0
    fill(broker, 3, first=30)
    with Consumer(broker.bootstrap, "t", enable_auto_commit=False, **options) as consumer:  # type: ignore[arg-type]
        assert sorted(drain(consumer, 3)) == [b"30", b"31", b"32"]
        future = consumer.commit_async({ZERO: OffsetAndMetadata(2, "note")})
        future.result(20)
        assert consumer.committed(ZERO) == {ZERO: OffsetAndMetadata(2, "note", -1)}


@pytest.mark.parametrize("strategy", ["range", "roundrobin", "sticky", "cooperative-sticky", "848"])
def test_members_come_and_go_and_every_record_is_read_once(broker: RunningBroker, strategy: str) -> None:
    fill(broker, 3)
    options: dict[str, object] = {
        "group_id": "g",
        "auto_offset_reset": "earliest",
        "heartbeat_interval_ms": 200,
    }
    if strategy == "848":
        options["group_protocol"] = "consumer"
    else:
        options["partition_assignment_strategy"] = strategy
    first, second = Notes(), Notes()
    got: list[bytes] = []
    with Consumer(broker.bootstrap, "t", listener=first, **options) as one:  # type: ignore[arg-type]
        got += drain(one, 3)
        assert [what for what, _ in first.told] == ["assigned"]
        with Consumer(broker.bootstrap, "t", listener=second, **options) as other:  # type: ignore[arg-type]
            end = time.monotonic() + 30
            while not (other.assignment() and len(one.assignment()) + len(other.assignment()) == 3):
                assert time.monotonic() < end, (one.assignment(), other.assignment())
                for consumer in (one, other):
                    for records in consumer.poll(100).values():
                        got += [record.value or b"" for record in records]
            assert not one.assignment() & other.assignment()
            fill(broker, 30, first=3)
            while len(got) < 33:
                assert time.monotonic() < end
                for consumer in (one, other):
                    for records in consumer.poll(100).values():
                        got += [record.value or b"" for record in records]
        end = time.monotonic() + 30
        while len(one.assignment()) < 3:
            assert time.monotonic() < end
            one.poll(100)
        fill(broker, 3, first=33)
        got += drain(one, 3)
    assert sorted(map(int, got)) == list(range(36))
    assert first.threads == second.threads == {threading.get_ident()}
    revoked = [names for what, names in first.told if what == "revoked"]
    if strategy in ("cooperative-sticky", "848"):
        assert all(len(names) < 3 for names in revoked[:-1])  # the last is that of the end
    else:
        assert revoked[0] == [ZERO, ONE, TWO]


def test_positions_may_be_committed_while_partitions_go(broker: RunningBroker) -> None:
    fill(broker, 30)
    with Consumer(
        broker.bootstrap, group_id="g", auto_offset_reset="earliest", enable_auto_commit=False
    ) as consumer:
        notes = Notes(then=consumer.commit)
        consumer.subscribe(["t"], listener=notes)
        drain(consumer, 30)
        consumer.unsubscribe()
        assert notes.told[-1] == ("revoked", [ZERO, ONE, TWO])
        assert consumer.assignment() == frozenset()
        committed = consumer.committed(ZERO, ONE, TWO)
    assert [row.offset for row in committed.values() if row] == [10, 10, 10]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pattern_finds_topics_that_come_later(broker: RunningBroker, protocol: str) -> None:
    fill(broker, 3, "clicks-a")
    fill(broker, 3, "views")
    with Consumer(
        broker.bootstrap,
        group_id="g",
        group_protocol=protocol,  # type: ignore[arg-type]
        auto_offset_reset="earliest",
        metadata_max_age_ms=300,
    ) as consumer:
        consumer.subscribe(pattern="^clicks-")
        drain(consumer, 3)
        fill(broker, 3, "clicks-b")
        drain(consumer, 3)
        assert {name.topic for name in consumer.assignment()} == {"clicks-a", "clicks-b"}


def test_what_a_listener_raises_comes_out_of_the_poll(broker: RunningBroker) -> None:
    class Bad(RebalanceListener):
        def on_assigned(self, partitions: Collection[TopicPartition]) -> None:
            raise ZeroDivisionError

    fill(broker, 3)
    with Consumer(broker.bootstrap, group_id="g", auto_offset_reset="earliest") as consumer:
        consumer.subscribe(["t"], listener=Bad())
        with pytest.raises(ZeroDivisionError):
            consumer.poll(20_000)


def test_a_member_that_does_not_poll_is_out_and_comes_back(broker: RunningBroker) -> None:
    fill(broker, 3)
    notes = Notes()
    with Consumer(
        broker.bootstrap,
        "t",
        group_id="g",
        auto_offset_reset="earliest",
        heartbeat_interval_ms=100,
        max_poll_interval_ms=800,
        listener=notes,
    ) as consumer:
        drain(consumer, 3)
        time.sleep(1.5)
        fill(broker, 3, first=3)
        drain(consumer, 3)
    assert [what for what, _ in notes.told][:3] == ["assigned", "lost", "assigned"]


def test_a_member_that_works_for_long_is_not_lost_in_a_rebalance(start_broker: BrokerFactory) -> None:
    """Until its next poll it gives signs of life, longer than a session without any would last."""
    broker = start_broker(
        **{
            "num.partitions": "3",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "offsets.topic.num.partitions": "1",
        }
    )
    notes = Notes()
    options: dict[str, object] = {
        "group_id": "g",
        "auto_offset_reset": "earliest",
        "session_timeout_ms": 2000,
        "heartbeat_interval_ms": 100,
    }
    fill(broker, 3)
    with Consumer(broker.bootstrap, listener=notes, **options) as one:  # type: ignore[arg-type]
        one.subscribe(["t"])
        drain(one, 3)
        with Consumer(broker.bootstrap, "t", **options) as other:  # type: ignore[arg-type]
            joins = threading.Thread(target=other.poll, args=(20_000,))
            joins.start()
            try:
                time.sleep(5)  # the work
                assert joins.is_alive()
                end = time.monotonic() + 20
                while len(notes.told) < 3:
                    assert time.monotonic() < end
                    one.poll(100)
            finally:
                fill(broker, 3)
                joins.join()
            assert [what for what, _ in notes.told] == ["assigned", "revoked", "assigned"]


def test_a_static_member_keeps_its_partitions_while_it_restarts(broker: RunningBroker) -> None:
    fill(broker, 3)
    options = {"group_id": "g", "auto_offset_reset": "earliest", "group_instance_id": "one"}
    with Consumer(broker.bootstrap, "t", **options) as consumer:  # type: ignore[arg-type]
        drain(consumer, 3)
        generation = consumer.group_metadata.generation
    with Consumer(broker.bootstrap, "t", **options) as consumer:  # type: ignore[arg-type]
        fill(broker, 3, first=3)
        drain(consumer, 3)
        assert consumer.group_metadata.generation == generation


def test_a_group_without_a_committed_offset_says_so_when_it_may_not_choose(broker: RunningBroker) -> None:
    fill(broker, 3)
    with Consumer(broker.bootstrap, "t", group_id="g", auto_offset_reset="none") as consumer:
        with pytest.raises(errors.OffsetOutOfRange, match="has committed no offset"):
            consumer.poll(20_000)
        for name in (ZERO, ONE, TWO):
            consumer.seek(name, BEGINNING)
        assert len(drain(consumer, 3)) == 3


def test_only_what_is_committed_is_read_and_positions_move_with_the_transaction(
    broker: RunningBroker,
) -> None:
    with (
        Producer(broker.bootstrap, transactional_id="x") as producer,
        Consumer(
            broker.bootstrap,
            group_id="g",
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            enable_auto_commit=False,
        ) as consumer,
    ):
        with pytest.raises(ZeroDivisionError), producer.transaction():
            producer.send("t", b"aborted", partition=0)
            producer.flush()
            raise ZeroDivisionError
        with producer.transaction():
            producer.send("t", b"committed", partition=0)
        consumer.subscribe(["t"])
        assert drain(consumer, 1) == [b"committed"]
        with producer.transaction():
            producer.send_offsets_to_transaction({ZERO: consumer.position(ZERO)}, consumer.group_metadata)
        row = consumer.committed(ZERO)[ZERO]
        assert row is not None
        assert row.offset in (3, 4)  # before or behind the marker
