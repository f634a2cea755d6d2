"""Whatever is executed at once gets the answers, the records and the counts of the usual way."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastlog.errors import ErrorCode
from fastlog.native import build_batch
from fastlog.wire import encode_request
from fastlog.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from tests.harness.batches import batch
from tests.harness.waiting import wait_until
from tests.integration.conftest import BrokerFactory
from tests.integration.requests import fetch, make_topic, produce
from tests.integration.running import RunningBroker
from tests.integration.settled_pair import Pair, Side

NAMES = itertools.count()
TRANSACTIONAL, CONTROL = 0x10, 0x20
LARGE = bytes(40_000)
RATE = 1e9
"""More bytes a second than anybody sends here."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with Pair(tmp_path_factory.mktemp("pair")) as both:
        yield both


# -- what is sent --------------------


@dataclass(frozen=True)
class Sent:
    """One frame; `{}` in its topic's name is the topic of the moment."""

    topic: str
    rows: tuple[tuple[int, bytes | None], ...]
    version: int
    acks: int
    transactional_id: str | None = None
    cut: int = 0

    @property
    def is_answered(self) -> bool:
        """Whether there is an answer, unless the connection is closed before."""
        return self.acks != 0 or self.cut > 0

    def frame(self, topic: str, correlation_id: int) -> bytes:
        """The frame; `cut` bytes of its end are missing, and not announced."""
        rows = [PartitionProduceData(index=index, records=records) for index, records in self.rows]
        request = ProduceRequest(
            transactional_id=self.transactional_id,
            acks=self.acks,
            timeout_ms=10_000,
            topic_data=[TopicProduceData(name=self.topic.format(topic), partition_data=rows)],
        )
        whole = encode_request(request, self.version, correlation_id, "pair")[4:]
        body = whole[: len(whole) - self.cut]
        return len(body).to_bytes(4) + body


def producers() -> st.SearchStrategy[tuple[int, int, int]]:
    """Few ids, epochs and sequences: duplicates, gaps and fenced ones come by themselves."""
    named = st.tuples(st.integers(1, 2), st.integers(0, 1), st.integers(0, 3))
    return st.one_of(st.just((-1, -1, -1)), st.just((-1, -1, -1)), named)


def good_batches() -> st.SearchStrategy[bytes]:
    values = st.lists(st.binary(max_size=200), min_size=1, max_size=3)
    return st.builds(
        lambda values, key, producer: batch(*values, key=key, producer=producer),
        values,
        st.sampled_from([b"k", b"k", None]),
        producers(),
    )


def odd_batches() -> st.SearchStrategy[bytes | None]:
    return st.sampled_from(
        [
            None,
            b"",
            b"x",
            batch(b"a", crc_change=1),
            batch(b"a", base_offset=5),
            batch(b"a", attributes=TRANSACTIONAL, producer=(9, 0, 0)),
            batch(b"a", attributes=TRANSACTIONAL),
            batch(b"a", attributes=CONTROL),
            batch(b"a", attributes=3),
            batch(b"a", attributes=7),
            batch(b"a", attributes=8),
            batch(b"a", producer=(3, 0, -1)),
            batch(b"a") + batch(b"b"),
            batch(b"a")[:-1],
            batch(b"a", b"b", timestamp=-1),
            batch(LARGE),
            batch(bytes(1500)),
            *(build_batch([(b"k", b"v" * 100, [], 1000)], codec=codec) for codec in ("lz4", "zstd", "gzip")),
        ]
    )


def frames() -> st.SearchStrategy[Sent]:
    rows = st.tuples(
        st.sampled_from([0, 0, 0, 0, 1, 7]), st.one_of(good_batches(), good_batches(), odd_batches())
    )
    return st.builds(
        Sent,
        topic=st.sampled_from(["{}", "{}", "{}", "{}", "{}", "none-{}", "__consumer_offsets", ""]),
        rows=st.one_of(st.tuples(rows), st.tuples(rows), st.tuples(rows), st.tuples(rows, rows), st.just(())),
        version=st.integers(3, 12),
        acks=st.sampled_from([1, 1, -1, -1, 0, 2]),
        transactional_id=st.sampled_from([None, None, None, None, None, None, "transaction"]),
        cut=st.sampled_from([0] * 12 + [1, 30]),
    )


# -- what happens in between --------------------


def resign(side: Side) -> None:
    side.on_partition(lambda replica: replica.resign(2, replica.leader_epoch + 1))


def lead(side: Side) -> None:
    side.on_partition(lambda replica: replica.lead(replica.leader_epoch + 1, frozenset({1})))


def go_offline(side: Side) -> None:
    side.on_partition(lambda replica: replica.take_offline())


CHANGES: dict[str, Callable[[Side], object]] = {
    "resign": resign,
    "lead": lead,
    "go offline": go_offline,
    "recreate": Side.recreate,
    "small messages": lambda side: side.configure("max.message.bytes", "150"),
    "large messages": lambda side: side.configure("max.message.bytes", None),
    "compress": lambda side: side.configure("compression.type", "lz4"),
    "compact": lambda side: side.configure("cleanup.policy", "compact"),
    "flush": lambda side: side.configure("flush.messages", "1"),
    "do not flush": lambda side: side.configure("flush.messages", None),
    "two in sync": lambda side: side.configure("min.insync.replicas", "2"),
    "limit": lambda side: side.limit(RATE),
    "do not limit": lambda side: side.limit(None),
}

Step = list[Sent] | str


def steps() -> st.SearchStrategy[list[Step]]:
    """Changes, each with a stream behind it, the first of which would have been settled before."""
    stream = st.builds(
        lambda acks, rest: [Sent("{}", ((0, batch(b"a")),), 9, acks), *rest],
        st.sampled_from([1, -1]),
        st.lists(frames(), max_size=5),
    )
    turn = st.tuples(st.sampled_from(sorted(CHANGES)), stream)
    return st.lists(turn, min_size=1, max_size=4).map(lambda turns: [step for turn in turns for step in turn])


WARM = [Sent("{}", ((index, batch(b"first")),), 9, 1) for index in (0, 1)]


def run(pair: Pair, steps: list[Step]) -> list[bytes]:
    """Does the steps to a new topic of both; all answers."""
    topic, numbers = f"t-{next(NAMES)}", itertools.count(1)
    pair.both(lambda side: side.begin(topic))
    answers: list[bytes] = []
    try:
        for step in [WARM, *steps]:
            if isinstance(step, str):
                pair.both(CHANGES[step])
                continue
            sent = [one.frame(topic, next(numbers)) for one in step]
            answers += pair.ask(sent, sum(one.is_answered for one in step))
        pair.compare()
    finally:
        pair.both(lambda side: side.limit(None))
    return answers


@given(steps=steps())
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_ways_say_and_write_the_same(pair: Pair, steps: list[Step]) -> None:
    run(pair, steps)


@pytest.mark.parametrize("version", range(3, 13))
@pytest.mark.parametrize("acks", [0, 1, -1])
def test_settled_requests_are_executed_at_once(pair: Pair, version: int, acks: int) -> None:
    before = pair.native.at_once
    once = Sent("{}", ((0, batch(b"a", b"b")),), version, acks)
    run(pair, [[once] * 5, [once]])
    assert pair.native.at_once == before + 6
    assert pair.usual.at_once == 0


ONE = Sent("{}", ((0, batch(b"a")),), 9, 1)
ALL = Sent("{}", ((0, batch(b"a")),), 9, -1)


@pytest.mark.parametrize("change", sorted(CHANGES))
@pytest.mark.parametrize("one", [ONE, ALL], ids=["leader", "all"])
def test_a_change_in_the_middle_of_a_stream(pair: Pair, change: str, one: Sent) -> None:
    run(pair, [[one] * 3, change, [one] * 3, "lead", [one] * 3])


def code_of(answer: bytes, topic: str = "t-0") -> int:
    """The error code of the only row of an answer of version 3 to 8."""
    start = 4 + 4 + 2 + len(topic) + 4 + 4
    return int.from_bytes(answer[start : start + 2], signed=True)


def test_who_lost_the_lead_writes_nothing(pair: Pair) -> None:
    one = Sent("{}", ((0, batch(b"a")),), 7, 1)
    name = f"t-{next(NAMES)}"
    pair.both(lambda side: side.begin(name))
    frame = one.frame(name, 1)
    pair.ask([frame, frame], 2)
    before = pair.native.at_once
    pair.both(resign)
    answers = pair.ask([frame, frame], 2)
    assert [code_of(answer, name) for answer in answers] == [ErrorCode.NOT_LEADER_OR_FOLLOWER] * 2
    assert pair.native.at_once == before
    pair.both(lead)
    pair.ask([frame], 1)
    pair.ask([frame], 1)
    assert pair.native.at_once == before + 1
    pair.compare()


def test_while_anybody_has_a_quota_nothing_is_executed_at_once(pair: Pair) -> None:
    name = f"t-{next(NAMES)}"
    pair.both(lambda side: side.begin(name))
    frame = ONE.frame(name, 1)
    pair.ask([frame, frame], 2)
    pair.ask([frame], 1)
    before = pair.native.at_once
    assert before > 0
    pair.both(lambda side: side.limit(RATE))
    pair.ask([frame, frame], 2)
    assert pair.native.at_once == before
    pair.both(lambda side: side.limit(None))
    pair.ask([frame, frame], 2)
    assert pair.native.at_once == before + 2
    pair.compare()


def test_entries_of_a_topic_go_with_it(pair: Pair) -> None:
    name = f"t-{next(NAMES)}"
    before = len(pair.native.settled)
    pair.both(lambda side: side.begin(name))
    pair.ask([one.frame(name, 1) for one in WARM], 2)
    assert len(pair.native.settled) == before + 2
    pair.native.delete()
    assert len(pair.native.settled) == before


def test_requests_that_wait_behind_others_are_executed_together(pair: Pair) -> None:
    before = pair.native.at_once
    other = Sent("{}", ((0, build_batch([(b"k", b"v", [], 1000)], codec="lz4")),), 9, 1)
    run(pair, [[ONE, other, *[ONE] * 20, other, *[ONE] * 20]])
    assert pair.native.at_once == before + 41


async def send_little_at_a_time(broker: RunningBroker) -> None:
    """Has the sockets of the broker's connections take little before they are full."""
    assert broker.broker._table is not None
    for connection in broker.broker._table._connections:
        assert connection._transport is not None
        own = connection._transport.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 * 1024)


def test_a_peer_that_is_slow_to_take_its_answers_gets_all_in_order(broker: RunningBroker) -> None:
    name, together = "t" * 249, 20
    one = Sent("{}", ((0, batch(b"a")),), 9, 1)
    table, settled = broker.broker._table, broker.broker.services.settled
    assert table is not None
    with broker.connect(timeout=60) as client:
        make_topic(client, name)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
        broker.run(send_little_at_a_time(broker))
        client.socket.sendall(one.frame(name, 1))
        client.receive_frame()
        sent, before = 0, settled.executed

        def is_full() -> bool:
            return any(each.blocked_since is not None for each in list(table._connections))

        while not is_full():
            # Whole frames, so that the connection is at rest behind them.
            client.socket.sendall(b"".join(one.frame(name, sent + each) for each in range(together)))
            sent += together
            taken = before + sent
            wait_until(lambda taken=taken: is_full() or settled.executed >= taken, "it hangs", seconds=60)
        numbers = [int.from_bytes(client.receive_frame()[:4]) for _ in range(sent)]
    assert numbers == list(range(sent))


def test_nothing_is_answered_before_what_waits_in_front_of_it(broker: RunningBroker) -> None:
    services = broker.broker.services
    with broker.connect(timeout=60) as client:
        make_topic(client, "t")
        make_topic(client, "silent")
        for _ in range(2):
            client.ask(produce("t", batch(b"a")), 9)
        before = services.settled.executed
        waits = client.send(fetch("silent", 0, max_wait_ms=1000, min_bytes=1), 12)
        wait_until(lambda: len(services.purgatory), "the fetch does not wait", seconds=60, pause=0.01)
        comes_later = client.send(produce("t", batch(b"b")), 9)
        numbers = [int.from_bytes(client.receive_frame()[:4]) for _ in range(2)]
        assert numbers == [waits, comes_later]
        client.ask(produce("t", batch(b"c")), 9)
    assert services.settled.executed > before


def test_with_an_authorizer_nothing_is_settled(start_broker: BrokerFactory) -> None:
    broker = start_broker(
        **{
            "authorizer.class.name": "kafka.security.authorizer.AclAuthorizer",
            "allow.everyone.if.no.acl.found": "true",
        }
    )
    with broker.connect() as client:
        make_topic(client, "t")
        for _ in range(3):
            row = client.ask(produce("t", batch(b"a")), 9).responses[0].partition_responses[0]
            assert row.error_code == 0
    assert len(broker.broker.services.settled) == 0


def test_in_fsync_mode_nothing_is_settled(start_broker: BrokerFactory) -> None:
    broker = start_broker(**{"fastlog.durability": "fsync"})
    with broker.connect() as client:
        make_topic(client, "t")
        for _ in range(3):
            row = client.ask(produce("t", batch(b"a"), acks=1), 9).responses[0].partition_responses[0]
            assert row.error_code == 0
    assert len(broker.broker.services.settled) == 0
