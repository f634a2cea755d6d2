"""Which connections are let in, and which are cut for what they do not do in time."""

from __future__ import annotations

from fastlog.server.network.flow_control import FlowLimits
from tests.unit.server.fakes import Harness, Wait, receive, request

MIB = 1024 * 1024


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


def test_deadlines_run_while_a_frame_is_held_back() -> None:
    harness = Harness(FlowLimits(request_memory_bytes=MIB, frame_seconds=30))
    busy, _ = harness.connect()
    held, transport = harness.connect()
    receive(busy, request(1, MIB))
    receive(held, request(2, MIB)[:10])
    assert not transport.reading
    assert sweep_after(harness, 29) == []
    assert sweep_after(harness, 2) == ["unfinished frame"]


def test_who_is_slow_is_cut_when_others_wait_for_its_room() -> None:
    harness = Harness(FlowLimits(request_memory_bytes=4 * MIB))
    slow, _ = harness.connect()
    other, transport = harness.connect()
    receive(slow, request(1, 4 * MIB)[: 2 * MIB])
    assert sweep_after(harness, 20) == []
    receive(other, request(2, 4 * MIB)[:100])
    assert not transport.reading
    # Nineteen seconds at a megabyte per second and eight seconds of waiting are more than it brought.
    assert sweep_after(harness, 0.5) == []
    assert sweep_after(harness, 1) == ["slow frame"]
    slow.connection_lost(None)
    assert transport.reading
    receive(other, request(2, 4 * MIB)[100:])
    assert [exchange.correlation_id for exchange in harness.started] == [2]


def test_who_is_fast_enough_keeps_its_room() -> None:
    harness = Harness(FlowLimits(request_memory_bytes=4 * MIB))
    fast, _ = harness.connect()
    other, _ = harness.connect()
    receive(fast, request(1, 4 * MIB)[:100])
    receive(other, request(2, 4 * MIB)[:100])
    for _ in range(7):
        receive(fast, bytes(MIB // 2))
        assert sweep_after(harness, 0.5) == []


def test_requests_behind_one_that_waits_do_not_keep_what_others_wait_for() -> None:
    harness = Harness(FlowLimits(request_memory_bytes=4 * MIB))
    keeper, _ = harness.connect()
    other, _ = harness.connect()
    receive(keeper, request(1) + request(2, 4 * MIB))
    harness.started[0].release()
    assert sweep_after(harness, 60) == []
    receive(other, request(3, 4 * MIB)[:100])
    assert sweep_after(harness, 2) == ["waiting requests"]


def test_who_takes_nothing_does_not_keep_fetches_waiting() -> None:
    harness = Harness()
    connection, _ = harness.connect(room=10)
    receive(connection, request(1))
    granted: list[int] = []
    harness.responses.take(MIB, granted.append)
    harness.started[0].on_sent = lambda: harness.responses.give_back(MIB)
    harness.started[0].reply(memoryview(bytes(MIB)))
    harness.responses.take(MIB, granted.append)
    assert sweep_after(harness, 1) == []
    assert sweep_after(harness, 1.5) == ["slow reader"]
    connection.connection_lost(None)
    assert granted == [MIB, MIB]


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
