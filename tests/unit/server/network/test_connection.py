"""A connection over a fake transport: order, stages, backpressure in both directions, limits, endings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from fastlog.native import Frame
from fastlog.replication.purgatory import Purgatory
from fastlog.server.network.connection import SLICE, Connection
from fastlog.server.network.exchange import Exchange
from fastlog.server.network.flow_control import FlowLimits
from fastlog.wire.pieces import Pieces
from tests.unit.server.fakes import FakeTransport, Harness, Wait, receive, request

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
    assert harness.memory.used == 1008
    sent = []
    harness.started[0].on_sent = lambda: sent.append(True)
    harness.started[0].reply(b"x")
    assert (harness.memory.used, sent) == (0, [True])


def test_reading_pauses_at_the_memory_budget_and_resumes() -> None:
    harness = Harness(FlowLimits(request_memory_bytes=MIB))
    busy, busy_transport = harness.connect()
    other, other_transport = harness.connect()
    simple, simple_transport = harness.connect()
    receive(busy, request(1, MIB))
    receive(other, request(2, 60_000))
    receive(simple, request(3, 10))
    assert (busy_transport.reading, other_transport.reading) == (False, False)
    assert simple_transport.reading
    harness.started[0].reply(b"")
    assert (busy_transport.reading, other_transport.reading) == (True, True)


def test_a_frame_for_which_there_is_no_room_is_not_read_on() -> None:
    harness = Harness(FlowLimits(request_memory_bytes=MIB))
    first, first_transport = harness.connect()
    second, second_transport = harness.connect()
    receive(first, request(1, 700_000)[:100])
    receive(second, request(2, 700_000)[:100])
    assert (first_transport.reading, second_transport.reading) == (True, False)
    receive(first, request(1, 700_000)[100:])
    assert not second_transport.reading
    harness.started[0].reply(b"")
    assert second_transport.reading
    receive(second, request(2, 700_000)[100:])
    assert (harness.memory.used, harness.memory.unfinished) == (700_008, 0)


def test_a_request_that_waits_gives_its_bytes_back() -> None:
    harness = Harness()
    connection, _ = harness.connect()
    receive(connection, request(1, 1000))
    harness.started[0].release()
    assert harness.memory.used == 0
    harness.started[0].reply(b"x")
    assert harness.memory.used == 0


def test_large_requests_wait_for_room_to_be_worked_on_in() -> None:
    harness = Harness(FlowLimits(work_memory_bytes=MIB))
    first, _ = harness.connect()
    second, _ = harness.connect()
    third, _ = harness.connect()
    receive(first, request(1, 40_000))
    receive(second, request(2, 40_000) + request(4))
    receive(third, request(3))
    assert [exchange.correlation_id for exchange in harness.started] == [1, 3]
    harness.started[0].release()
    assert [exchange.correlation_id for exchange in harness.started] == [1, 3, 2]
    second.connection_lost(None)
    first.connection_lost(None)
    assert (harness.work.used, harness.work.waiting) == (0, 0)


def failing(harness: Harness, fails: str) -> tuple[Connection, FakeTransport]:
    """A connection whose dispatcher raises at requests with so many bytes of body."""

    def dispatch(frame: Frame, exchange: Exchange) -> None:
        harness.dispatch(frame, exchange)
        raise MemoryError(fails)

    connection, transport = Connection(replace(harness.host, dispatch=dispatch)), FakeTransport()
    transport.protocol = connection
    connection.connection_made(cast("Any", transport))
    return connection, transport


def test_a_request_that_cannot_be_started_costs_its_connection_and_no_bytes() -> None:
    harness = Harness()
    connection, transport = failing(harness, "no memory")
    receive(connection, request(1, 40_000) + request(2, 1000) + request(3, 1000))
    assert (harness.closed, transport.aborted) == (["failed request"], True)
    connection.connection_lost(None)
    assert (harness.memory.used, harness.work.used, len(harness.table)) == (0, 0, 0)


def test_who_makes_room_does_not_suffer_from_who_cannot_use_it() -> None:
    harness = Harness(FlowLimits(work_memory_bytes=MIB))
    busy, busy_transport = harness.connect()
    receive(busy, request(1, 40_000) + request(2))
    waiting, waiting_transport = failing(harness, "no memory")
    receive(waiting, request(3, 40_000))
    harness.started[0].reply(b"one")
    assert [it.correlation_id for it in harness.started] == [1, 3, 2]
    assert (busy_transport.written, waiting_transport.aborted) == (b"one", True)
    waiting.connection_lost(None)
    assert (harness.work.used, harness.work.waiting) == (0, 0)


def test_a_failure_after_an_answer_holds_up_no_other_answer() -> None:
    harness = Harness()
    connection, transport = harness.connect()
    receive(connection, request(1, 1000) + request(2, 1000))
    first = harness.started[0]
    first.proceed()
    first.on_sent = lambda: 1 / 0
    harness.started[1].reply(b"two")
    first.reply(b"one")
    assert transport.written == b"onetwo"
    receive(connection, request(3, 1000) + request(4, 1000))
    for exchange in harness.started[2:]:
        exchange.on_sent = lambda: 1 / 0
    connection.connection_lost(None)
    assert harness.memory.used == 0


def test_a_wait_that_cannot_be_cancelled_keeps_no_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = Harness()
    connection, _ = harness.connect()
    receive(connection, request(1, 1000) + request(2, 1000))
    harness.started[0].proceed()
    for exchange in harness.started:
        exchange.operation = Wait()
    monkeypatch.setattr(Purgatory, "cancel", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        connection.connection_lost(None)
    assert harness.memory.used == 0


def test_a_lost_connection_does_not_wait_for_work() -> None:
    harness = Harness(FlowLimits(work_memory_bytes=MIB))
    connections = [harness.connect()[0] for _ in range(3)]
    for number, connection in enumerate(connections):
        receive(connection, request(number, 40_000))
    connections[1].connection_lost(None)
    harness.started[0].reply(b"")
    assert [exchange.correlation_id for exchange in harness.started] == [0, 2]


def test_who_does_not_take_its_answers_holds_up_no_others_that_wait_for_work() -> None:
    harness = Harness(FlowLimits(work_memory_bytes=MIB))
    busy, _ = harness.connect()
    slow, slow_transport = harness.connect(room=0)
    other, _ = harness.connect()
    receive(busy, request(1, 40_000))
    receive(slow, request(2))
    answered = harness.started[-1]
    answered.proceed()
    receive(slow, request(3, 40_000))
    receive(other, request(4, 40_000))
    answered.reply(bytes(2 * MIB))
    harness.started[0].reply(b"")
    # There is room for one, and 3 is not started before 2 is taken.
    assert [it.correlation_id for it in harness.started] == [1, 2, 4]
    slow_transport.drain(4 * MIB)
    assert harness.work.waiting == 1
    harness.started[2].reply(b"")
    assert [it.correlation_id for it in harness.started] == [1, 2, 4, 3]
    harness.started[3].reply(b"")
    assert (harness.work.used, harness.work.waiting) == (0, 0)


def test_a_defect_of_one_connection_keeps_no_other_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = Harness()
    connections = [harness.connect() for _ in range(5)]
    one = connections[2][0]
    for action in ("finish", "close"):
        monkeypatch.setattr(one, action, lambda *_: 1 / 0)
    for end in (harness.table.finish, harness.table.abort):
        with pytest.raises(ZeroDivisionError):
            end()
    assert sum(transport.closing for _, transport in connections) == 4


def test_an_answer_that_a_slow_peer_has_not_taken_keeps_nothing_of_its_request() -> None:
    harness = Harness()
    connection, _ = harness.connect(room=0)
    receive(connection, request(1, 100_000))
    exchange = harness.started[0]
    exchange.operation = wait = Wait()
    harness.purgatory.park(wait, [("t", 0)], 10_000)
    harness.purgatory.end_early(wait)
    connection.pause_writing()
    exchange.reply(b"answer")
    assert (harness.memory.used, exchange.operation, exchange.settled) == (0, None, False)


def test_of_those_who_take_no_answers_the_one_with_the_most_but_one_is_cut() -> None:
    harness = Harness()
    slow, slow_transport = harness.connect(room=0)
    slower, slower_transport = harness.connect(room=0)
    large, large_transport = harness.connect(room=0)
    for connection, size in ((large, 1_200_000), (slow, 300_000), (slower, 600_000), (slow, 200_000)):
        receive(connection, request(1))
        harness.started[-1].reply(bytes(size))
    assert [it.aborted for it in (large_transport, slow_transport, slower_transport)] == [False, False, True]
    assert harness.answers.untaken == 1_700_000
    slower.connection_lost(None)
    for transport in (slow_transport, large_transport):
        transport.drain(1 << 30)
    assert (harness.answers.untaken, len(slow_transport.written)) == (0, 500_000)


def test_an_answer_to_a_peer_that_is_being_cut_is_not_counted() -> None:
    harness = Harness()
    slow, _ = harness.connect(room=0)
    large, large_transport = harness.connect(room=0)
    receive(slow, request(1) + request(2))
    first = harness.started[0]
    first.proceed()
    first.reply(bytes(1_100_000))
    second = harness.started[1]
    receive(large, request(3))
    harness.started[2].reply(bytes(1_200_000))
    assert harness.closed == ["slow reader"]
    # Its loss is told in a later round of the loop.
    second.reply(bytes(50))
    assert harness.answers.untaken == 1_200_000
    slow.connection_lost(None)
    assert harness.answers.untaken == 1_200_000
    large_transport.drain(1 << 30)
    assert harness.answers.untaken == 0


def test_an_answer_in_pieces_is_sent_whole_and_freed_piece_by_piece() -> None:
    harness = Harness()
    connection, transport = harness.connect(room=500_000)
    receive(connection, request(1))
    pieces = [bytes([number]) * size for number, size in enumerate((9, 300_000, 400_000, 1_000_000, 7))]
    harness.started[0].reply(Pieces(pieces))
    assert (harness.answers.untaken, transport.largest_write) == (1_400_007, SLICE)
    transport.drain(400_000)
    assert harness.answers.untaken == 1_000_007
    transport.drain(1 << 30)
    assert (bytes(transport.written), harness.answers.untaken) == (b"".join(pieces), 0)
    assert harness.metrics.bytes_out == sum(map(len, pieces))


def test_a_lost_connection_takes_its_answers_along() -> None:
    harness = Harness()
    connection, transport = harness.connect(room=500_000)
    receive(connection, request(1))
    harness.started[0].reply(Pieces([bytes(300_000)] * 4))
    receive(connection, request(2))
    assert harness.started[-1].correlation_id == 1, "no more is started while much is not taken"
    transport.closing = True
    connection.connection_lost(None)
    other, _ = harness.connect()
    receive(other, request(3))
    assert harness.started[1].grow(1000)
    assert harness.answers.in_the_making == 1000
    other.connection_lost(None)
    assert harness.started[1].grow(1000)
    assert (harness.answers.untaken, harness.answers.in_the_making) == (0, 0)


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
    assert (harness.memory.used, harness.memory.unfinished) == (0, 0)
    assert (exchange.is_lost, exchange.operation, len(harness.table)) == (True, None, 0)
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


def test_a_peer_that_closes_its_side_keeps_nothing_of_what_it_began() -> None:
    harness = Harness()
    connection, _ = harness.connect()
    receive(connection, request(1) + request(2, 50_000)[:100])
    assert harness.memory.unfinished == 50_008
    before = connection.get_buffer(-1)
    connection.eof_received()
    assert (harness.memory.unfinished, connection.unfinished_bytes) == (0, 0)
    assert connection.get_buffer(-1) is not before


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
