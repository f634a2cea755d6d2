"""Pipeline: what one connection owes, told by hand what comes and what time it is."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastlog.errors import ErrorCode
from fastlog.net.errors import ConnectionFailed, RequestTimedOut
from fastlog.net.pipeline import Pipeline
from fastlog.wire import ApiKey, UnencodableMessage, decode_request
from fastlog.wire.messages.groups import HeartbeatRequest

UNFINISHED = [b"", b"\x00\x00", struct.pack(">ii", 12, 5)]
Told = list[tuple[str, bytes]]


def pipeline(*, max_in_flight: int = 100, max_frame_bytes: int = 1 << 20) -> Pipeline[str]:
    return Pipeline("a:1", "me", max_frame_bytes=max_frame_bytes, max_in_flight=max_in_flight)


def send(to: Pipeline[str], *owners: str, timeout: float = 10, now: float = 0) -> list[int]:
    """Sends a request for each owner; their correlation ids."""
    frames = [to.send(HeartbeatRequest(), 4, owner, timeout, now) for owner in owners]
    return [decode_request(frame[4:])[0].correlation_id for frame in frames]


def answer(correlation_id: int, body: bytes = bytes(4)) -> bytes:
    return struct.pack(">ii", 4 + len(body), correlation_id) + body


def receive(by: Pipeline[str], data: bytes, chunks: list[int] | None = None) -> Told:
    """Gives it bytes as a socket does, in chunks of the given sizes; stops where it is over."""
    told: Told = []
    sizes = iter(chunks or [])
    while data and by.failure is None:
        with memoryview(by.buffer) as room:
            size = min(len(room), len(data), next(sizes, len(data)))
            room[:size] = data[:size]
        told += [(owner, bytes(frame)) for owner, frame in by.received(size)]
        data = data[size:]
    return told


@settings(deadline=None)
@given(
    bodies=st.lists(st.binary(min_size=4, max_size=300), max_size=12),
    rest=st.sampled_from([*UNFINISHED, answer(9_999), struct.pack(">i", -7)]),
    chunks=st.lists(st.integers(1, 200), max_size=400),
)
def test_any_chunks_of_the_same_bytes_bring_the_same_answers(
    bodies: list[bytes], rest: bytes, chunks: list[int]
) -> None:
    told, failures = [], []
    for sizes in (chunks, [], [1] * 10_000):
        tried = pipeline()
        owners = [f"request {number}" for number in range(len(bodies))]
        ids = send(tried, *owners)
        stream = b"".join(answer(*pair) for pair in zip(ids, bodies, strict=True)) + rest
        told.append(receive(tried, stream, sizes))
        failures.append(tried.failure)
        assert tried.in_flight == 0
    expected = [
        (owner, struct.pack(">i", i) + body) for owner, i, body in zip(owners, ids, bodies, strict=True)
    ]
    assert told == [expected] * 3
    assert failures == [failures[0]] * 3
    assert (failures[0] is None) == (rest in UNFINISHED)


def test_each_version_gets_its_own_header() -> None:
    sender = pipeline()
    old = sender.send(HeartbeatRequest(group_id="g"), 3, "old", 1, 0)
    new = sender.send(HeartbeatRequest(group_id="g"), 4, "new", 1, 0)
    for frame, version, correlation_id in ((old, 3, 1), (new, 4, 2)):
        assert struct.unpack_from(">ihhi", frame) == (
            len(frame) - 4,
            ApiKey.HEARTBEAT,
            version,
            correlation_id,
        )
        header, message = decode_request(frame[4:])
        assert (header.client_id, message) == ("me", HeartbeatRequest(group_id="g"))
    # The tag section of the header, and compact lengths.
    assert new[4 + 8 + 2 + 2 :].startswith(b"\x00\x02g")
    assert old[4 + 8 + 2 + 2 :].startswith(b"\x00\x01g")


def test_no_more_requests_than_the_bound_are_in_flight() -> None:
    bounded = pipeline(max_in_flight=2)
    first, second = send(bounded, "first", "second")
    assert bounded.room == 0
    with pytest.raises(RuntimeError, match="2 requests are in flight"):
        send(bounded, "third")
    # One without an answer does not count.
    assert bounded.send_unanswered(HeartbeatRequest(), 4)
    assert receive(bounded, answer(first))[0][0] == "first"
    (third,) = send(bounded, "third")
    assert len({first, second, third}) == 3
    assert bounded.in_flight == 2


def test_what_cannot_be_encoded_does_not_count() -> None:
    sender = pipeline()
    with pytest.raises(UnencodableMessage):
        sender.send(HeartbeatRequest(generation_id=1 << 40), 4, "bad", 1, 0)
    assert (sender.in_flight, sender.failure) == (0, None)


def test_a_late_answer_is_told_apart_from_those_that_stand_behind_it() -> None:
    waiting = pipeline()
    send(waiting, "patient", timeout=9, now=100)
    send(waiting, "late", timeout=2, now=100)
    send(waiting, "next", timeout=5, now=100)
    assert waiting.next_deadline() == 102
    assert waiting.overdue(101.9) == []
    told = waiting.overdue(102)
    assert [owner for owner, _ in told] == ["patient", "late", "next"]
    errors = [error for _, error in told]
    assert [type(error) for error in errors] == [ConnectionFailed, RequestTimedOut, ConnectionFailed]
    assert str(errors[1]) == "Heartbeat at a:1 [2]: no answer within 2.0 s"
    assert "it was closed because Heartbeat got no answer within 2.0 s" in str(errors[2])
    assert errors[1].code is ErrorCode.REQUEST_TIMED_OUT
    assert (waiting.next_deadline(), waiting.in_flight) == (None, 0)
    with pytest.raises(ConnectionFailed, match="the connection is closed: it was closed because"):
        send(waiting, "afterwards")


def test_an_answer_in_time_is_never_late() -> None:
    waiting = pipeline()
    first, _ = send(waiting, "first", "second", timeout=1)
    receive(waiting, answer(first))
    assert waiting.next_deadline() == 1
    assert [owner for owner, _ in waiting.overdue(1)] == ["second"]


def test_the_end_fails_all_in_the_order_of_sending_and_once() -> None:
    ending = pipeline()
    send(ending, *"abc")
    told = ending.fail("it broke")
    assert [owner for owner, _ in told] == ["a", "b", "c"]
    for number, (_, error) in enumerate(told, 1):
        assert isinstance(error, ConnectionFailed)
        assert error.sent
        text = f"Heartbeat at a:1 [{number}]: the connection ended before the answer came: it broke"
        assert str(error) == text
    assert ending.fail("another reason") == []
    assert ending.failure == "it broke"
    with pytest.raises(ConnectionFailed, match="closed: it broke") as caught:
        ending.check(ApiKey.HEARTBEAT)
    assert not caught.value.sent


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (struct.pack(">i", 2**31 - 1), "a frame that cannot be"),
        (struct.pack(">i", (1 << 16) + 1), "a frame that cannot be"),
        (struct.pack(">i", -5), "a frame that cannot be"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does it speak another protocol"),
        (struct.pack(">ih", 2, 0), "a frame that cannot be: malformed: a frame of 2 bytes"),
        (answer(77_777), r"nobody asked for \(correlation id 77777\)"),
    ],
    ids=["giant", "too-large", "negative", "http", "short", "unknown-correlation-id"],
)
def test_what_is_no_answer_ends_it_after_the_answers_before(wrong: bytes, words: str) -> None:
    reader = pipeline(max_frame_bytes=1 << 16)
    first, second = send(reader, "first", "second")
    told = receive(reader, answer(first) + wrong + answer(second))
    assert [owner for owner, _ in told] == ["first"]
    ((owner, error),) = reader.fail("a later reason")
    assert owner == "second"
    with pytest.raises(ConnectionFailed, match=words):
        raise error


def test_the_same_answer_twice_is_once_too_often() -> None:
    reader = pipeline()
    (only,) = send(reader, "only")
    assert len(receive(reader, answer(only) * 2)) == 1
    assert reader.failure == f"an answer came that nobody asked for (correlation id {only})"


def test_correlation_ids_stay_positive() -> None:
    sender = pipeline()
    sender._ids = iter([0x7FFFFFFF, 0x80000000, 0x80000001])  # type: ignore[assignment]
    assert send(sender, *"abc") == [0x7FFFFFFF, 0, 1]
