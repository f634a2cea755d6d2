"""Requests of one API that may start behind each other, and small answers that are sent together."""

from __future__ import annotations

import asyncio

from fastlog.native import Frame
from fastlog.server.network.exchange import SMALL_ANSWER, Exchange
from tests.unit.server.fakes import Harness, receive, request

COMMIT, OTHER = 8, 12


class Answering(Harness):
    """Every request is answered at once."""

    def dispatch(self, frame: Frame, exchange: Exchange) -> None:
        super().dispatch(frame, exchange)
        exchange.reply(b"%d" % exchange.correlation_id)


def started(harness: Harness) -> list[int]:
    """Correlation ids."""
    return [exchange.correlation_id for exchange in harness.started]


async def test_requests_of_the_same_api_start_behind_each_other_and_others_wait_for_all() -> None:
    harness = Harness()
    connection, transport = harness.connect()
    receive(
        connection,
        request(1, api_key=COMMIT)
        + request(2, api_key=COMMIT)
        + request(3, api_key=OTHER)
        + request(4, api_key=COMMIT),
    )
    assert started(harness) == [1]
    harness.started[0].let_same()
    assert started(harness) == [1, 2]
    harness.started[1].let_same()
    assert started(harness) == [1, 2]
    harness.started[1].reply(b"two")
    await asyncio.sleep(0)
    assert (started(harness), bytes(transport.written)) == ([1, 2], b"")
    harness.started[0].reply(b"one")
    await asyncio.sleep(0)
    assert (started(harness), bytes(transport.written)) == ([1, 2, 3], b"onetwo")
    harness.started[2].reply(b"three")
    assert (started(harness), bytes(transport.written)) == ([1, 2, 3, 4], b"onetwothree")


async def test_a_request_that_says_nothing_holds_up_those_of_its_api() -> None:
    harness = Harness()
    connection, _ = harness.connect()
    receive(connection, b"".join(request(number, api_key=COMMIT) for number in (1, 2, 3)))
    harness.started[0].let_same()
    assert started(harness) == [1, 2]
    harness.started[0].reply(b"one")
    await asyncio.sleep(0)
    assert started(harness) == [1, 2]
    # After its answer it has nothing to say.
    harness.started[1].reply(b"two")
    harness.started[1].let_same()
    assert started(harness) == [1, 2, 3]


def test_small_answers_that_are_given_at_once_are_one_write() -> None:
    harness = Answering()
    connection, transport = harness.connect()
    receive(connection, b"".join(request(number) for number in (1, 2, 3)))
    assert (bytes(transport.written), transport.writes) == (b"123", 1)
    assert harness.memory.used == 0


def test_small_answers_before_and_behind_a_large_one_keep_their_places() -> None:
    harness = Harness()
    connection, transport = harness.connect()
    receive(connection, b"".join(request(number) for number in range(5)))
    for number in range(4):
        harness.started[number].proceed()
    large = bytes(SMALL_ANSWER + 1)
    for number, answer in ((4, b"e"), (3, b"d"), (2, large), (1, b"b"), (0, b"a")):
        harness.started[number].reply(answer)
    assert transport.written == b"ab" + large + b"de"
    assert transport.writes == 3


async def test_answers_of_a_full_socket_count_until_they_are_taken() -> None:
    harness = Harness()
    connection, transport = harness.connect(room=0)
    receive(connection, b"".join(request(number, api_key=COMMIT) for number in (1, 2, 3)))
    for number in range(3):
        harness.started[number].let_same()
    harness.started[0].reply(b"one")
    await asyncio.sleep(0)
    # It is with the transport; the others wait for the peer.
    harness.started[1].reply(b"second")
    harness.started[2].reply(b"third")
    await asyncio.sleep(0)
    assert harness.answers.untaken == len(b"secondthird")
    transport.drain(100)
    assert (bytes(transport.written), harness.answers.untaken) == (b"onesecondthird", 0)


async def test_answers_that_wait_to_be_sent_end_with_the_connection() -> None:
    harness = Harness()
    connection, transport = harness.connect()
    receive(connection, b"".join(request(number, api_key=COMMIT) for number in (1, 2)))
    harness.started[0].let_same()
    harness.started[0].reply(b"one")
    transport.closing = True
    connection.connection_lost(None)
    await asyncio.sleep(0)
    assert (harness.answers.untaken, harness.memory.used, bytes(transport.written)) == (0, 0, b"")
    assert all(exchange.settled for exchange in harness.started)
