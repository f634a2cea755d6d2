"""A connection over a fake transport: order, stages, backpressure in both directions, limits, endings."""

from __future__ import annotations

from fastlog.replication.purgatory import Operation
from fastlog.replication.replica import PartitionKey
from fastlog.server.connection import SLICE
from fastlog.server.flow_control import FlowLimits
from tests.unit.server.fakes import Harness, receive, request

MIB = 1024 * 1024


def test_a_request_starts_when_the_one_before_is_answered() -> None:
    harness = Harness()
    connection, transport = harness.connect()
    receive(connection, request(1) + request(2))
    assert [exchange.correlation_id for exchange in harness.started] == [1]
    harness.started[0].reply(b"one")
    assert [exchange.correlation_id for exchange in harness.started] == [1, 2]
    assert transport.written == b"one"


def test_a_request_that_proceeds_lets_the_next_one_start_and_answers_keep_their_order() -> None:
    harness = Harness()
    connection, transport = harness.connect()
    receive(connection, request(1) + request(2) + request(3))
    first, *_ = harness.started
    first.proceed()
    harness.started[1].proceed()
    first.proceed()  # saying it twice changes nothing
    assert [exchange.correlation_id for exchange in harness.started] == [1, 2, 3]
    harness.started[2].reply(b"three")
    harness.started[1].reply(b"two")
    assert transport.written == b""
    first.reply(b"one")
    assert transport.written == b"onetwothree"


def test_a_request_without_an_answer_leaves_no_gap() -> None:
    harness = Harness()
    connection, transport = harness.connect()
    receive(connection, request(1) + request(2))
    harness.started[0].reply_nothing()
    harness.started[1].reply(b"two")
    assert transport.written == b"two"


def test_frames_are_put_together_from_pieces() -> None:
    harness = Harness()
    connection, _ = harness.connect()
    data = request(1, 200_000)
    for start in range(0, len(data), 33_333):
        receive(connection, data[start : start + 33_333])
    assert harness.frames == [data[4:]]
    assert connection.unfinished_bytes == 0


def test_a_large_answer_goes_out_in_slices_as_the_peer_takes_them() -> None:
    harness = Harness()
    connection, transport = harness.connect(room=100_000)
    receive(connection, request(1) + request(2))
    answer = bytes(range(256)) * 20_000
    harness.started[0].reply(memoryview(answer))
    assert transport.largest_write == SLICE
    assert len(transport.written) + len(transport.buffered) == SLICE
    # So much is unsent that the next request does not even start.
    assert len(harness.started) == 1
    while transport.buffered:
        transport.drain(90_000)
        assert len(transport.buffered) <= SLICE
    assert transport.written == answer
    assert transport.largest_write == SLICE
    assert len(harness.started) == 2


def test_memory_of_a_request_is_given_back_with_its_answer() -> None:
    harness = Harness()
    connection, _ = harness.connect()
    receive(connection, request(1, 1000))
    assert harness.memory.whole == 1008
    sent = []
    harness.started[0].on_sent = lambda: sent.append(True)
    harness.started[0].reply(b"x")
    assert (harness.memory.whole, sent) == (0, [True])


def test_reading_pauses_at_the_memory_budget_and_resumes() -> None:
    harness = Harness(FlowLimits(request_memory_bytes=MIB))
    busy, busy_transport = harness.connect()
    other, other_transport = harness.connect()
    receive(busy, request(1, MIB))
    receive(other, request(2, 10))
    assert (busy_transport.reading, other_transport.reading) == (False, False)
    harness.started[0].reply(b"")
    assert (busy_transport.reading, other_transport.reading) == (True, True)


def test_reading_pauses_while_many_requests_wait() -> None:
    harness = Harness(FlowLimits(max_pending_frames=10))
    connection, transport = harness.connect()
    receive(connection, b"".join(request(index) for index in range(11)))
    assert not transport.reading
    while len(harness.started) < 7:
        harness.started[-1].reply(b"")
    assert transport.reading


def test_bad_frame_lengths_end_the_connection() -> None:
    harness = Harness(FlowLimits(max_frame_bytes=100))
    for frame in (request(1, 93), b"\0\0\0\0", b"\xff\xff\xff\xff"):
        connection, transport = harness.connect()
        receive(connection, frame)
        assert transport.aborted
    assert harness.closed == ["bad frame"] * 3
    assert harness.started == []


class Wait(Operation):
    """A parked fetch that answers with nothing at its end."""

    early_end = True

    def __init__(self) -> None:
        super().__init__()
        self.expired = 0

    def is_ready(self, key: PartitionKey) -> bool:
        return False

    def complete(self) -> None:
        raise AssertionError

    def expire(self) -> None:
        self.expired += 1


def test_a_lost_connection_takes_its_waits_and_its_memory_along() -> None:
    harness = Harness()
    connection, transport = harness.connect()
    receive(connection, request(1, 500) + request(2, 700) + request(3, 900)[:300])
    exchange = harness.started[0]
    exchange.operation = wait = Wait()
    harness.purgatory.park(wait, [("t", 0)], 10_000)
    given_back = []
    exchange.on_sent = lambda: given_back.append(True)
    transport.closing = True
    connection.connection_lost(None)
    assert (len(harness.purgatory), wait.expired, given_back) == (0, 0, [True])
    assert (harness.memory.whole, harness.memory.partial) == (0, 0)
    assert (exchange.is_lost, len(harness.table)) == (True, 0)
    exchange.reply(b"late")
    assert transport.written == b""


def test_a_peer_that_closes_its_side_still_gets_its_answers() -> None:
    harness = Harness()
    connection, transport = harness.connect()
    receive(connection, request(1) + request(2))
    assert connection.eof_received() is True
    harness.started[0].reply(b"one")
    harness.started[1].reply(b"two")
    assert (bytes(transport.written), transport.closing, transport.aborted) == (b"onetwo", True, False)


def test_finishing_ends_fetches_early_and_closes_when_all_is_answered() -> None:
    harness = Harness()
    connection, transport = harness.connect()
    receive(connection, request(1))
    exchange = harness.started[0]
    exchange.operation = wait = Wait()
    harness.purgatory.park(wait, [("t", 0)], 10_000)
    connection.finish()
    assert (wait.expired, transport.closing) == (1, False)
    exchange.reply(b"bye")
    assert (bytes(transport.written), transport.closing) == (b"bye", True)


def test_connections_are_limited_in_all_and_per_address() -> None:
    harness = Harness(
        FlowLimits(max_connections=4, max_connections_per_ip=2, per_ip_overrides={"10.0.0.9": 3})
    )
    results = [
        harness.connect(peer)[1].aborted
        for peer in ("10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.9", "10.0.0.9", "10.0.0.9")
    ]
    assert results == [False, False, True, False, False, True]
    assert [reason for _, reason in harness.refused] == ["max.connections.per.ip", "max.connections"]
    assert len(harness.table) == 4


def test_a_place_is_free_again_after_a_connection_ends() -> None:
    harness = Harness(FlowLimits(max_connections_per_ip=1))
    first, _ = harness.connect()
    first.connection_lost(None)
    assert not harness.connect()[1].aborted
    assert harness.metrics.connections_open == 1


def sweep_after(harness: Harness, seconds: float) -> list[str]:
    harness.loop.now += seconds
    harness.table.sweep(harness.loop.now)
    return harness.closed


def test_idle_connections_are_closed_and_busy_ones_are_not() -> None:
    harness = Harness(FlowLimits(idle_seconds=600))
    harness.connect()
    busy, _ = harness.connect()
    receive(busy, request(1))
    assert sweep_after(harness, 599) == []
    assert sweep_after(harness, 2) == ["idle"]
    harness.started[0].reply(b"")
    assert sweep_after(harness, 0) == ["idle", "idle"]


def test_a_started_frame_must_go_on() -> None:
    harness = Harness(FlowLimits(frame_seconds=30, frame_bytes_per_second=1000))
    slow, _ = harness.connect()
    fast, _ = harness.connect()
    receive(slow, request(1, 100_000)[:10])
    receive(fast, request(1, 100_000)[:50_000])
    for _ in range(10):
        harness.loop.now += 3
        receive(slow, b"x")
    assert sweep_after(harness, 1) == ["unfinished frame"]
    assert sweep_after(harness, 40) == ["unfinished frame"]
    assert sweep_after(harness, 20) == ["unfinished frame", "unfinished frame"]


def test_the_broker_does_not_blame_a_peer_that_it_holds_back() -> None:
    harness = Harness(FlowLimits(request_memory_bytes=MIB, frame_seconds=30))
    busy, _ = harness.connect()
    held, _ = harness.connect()
    receive(busy, request(1, MIB))
    receive(held, request(2, 1000)[:10])
    assert sweep_after(harness, 300) == []
    harness.started[0].reply(b"")
    assert sweep_after(harness, 29) == []
    assert sweep_after(harness, 2) == ["unfinished frame"]


def test_a_peer_that_takes_nothing_is_cut() -> None:
    harness = Harness(FlowLimits(stalled_write_seconds=60))
    connection, transport = harness.connect(room=10)
    receive(connection, request(1))
    harness.started[0].reply(bytes(100))
    assert sweep_after(harness, 59) == []
    assert sweep_after(harness, 2) == ["stalled write"]
    assert transport.aborted


def test_a_half_closed_connection_does_not_stay_for_ever() -> None:
    harness = Harness(FlowLimits(half_closed_seconds=60))
    connection, _ = harness.connect()
    receive(connection, request(1))
    connection.eof_received()
    assert sweep_after(harness, 61) == ["half closed"]


def test_times_of_requests_are_counted_by_stage() -> None:
    harness = Harness()
    connection, transport = harness.connect(room=10)
    api_key = 3
    receive(connection, request(1))
    harness.loop.advance(2.0)
    harness.started[0].reply(b"12345")
    times = harness.metrics.times[api_key]
    assert (times.total().sum, times.busy().sum, times.parked, times.sending) == (2.0, 2.0, 0.0, 0.0)

    # One that is parked, and whose answer then finds the socket full.
    receive(connection, request(2))
    exchange = harness.started[1]
    exchange.operation = wait = Wait()
    harness.loop.advance(1.0)
    harness.purgatory.park(wait, [("t", 0)], 100_000)
    harness.loop.advance(4.0)
    harness.purgatory.end_early(wait)
    transport.room = 0
    transport.buffered += b"x"
    connection.pause_writing()
    exchange.reply(b"12345")
    harness.loop.advance(8.0)
    assert times.total().count == 1
    transport.drain(100)
    assert (times.total().sum, times.busy().sum, times.parked, times.sending) == (15.0, 3.0, 4.0, 8.0)
    assert times.total().count == times.busy().count == 2
