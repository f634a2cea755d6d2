"""Requests, results and the handshake: written and read back; what is cut short is refused."""

from __future__ import annotations

import pytest

from fastlog.coordination.zookeeper.codes import EventType, KeeperState, OpCode, ZkCode
from fastlog.coordination.zookeeper.errors import BadVersion, NoNode, RuntimeInconsistency, ZkError, error_of
from fastlog.coordination.zookeeper.jute import MalformedPacket, Reader, Writer
from fastlog.coordination.zookeeper.replies import (
    ConnectReply,
    ConnectRequest,
    Event,
    Result,
    failure_of,
    read_event,
    read_header,
    read_result,
    write_event,
    write_reply,
)
from fastlog.coordination.zookeeper.requests import (
    Auth,
    Bare,
    Check,
    Create,
    Delete,
    Multi,
    OfPath,
    OfWatch,
    Read,
    Request,
    SetAcl,
    SetData,
    SetWatches,
    read_request,
    write_request,
)
from fastlog.coordination.zookeeper.structures import OPEN, Acl, Stat

STAT = Stat(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
RULES = (Acl(31, "digest", "a:b"), Acl(1, "world", "anyone"))
REQUESTS: list[Request] = [
    Create("/a", b"x", RULES, 3),
    Create("/a", None, OPEN, 1, op=OpCode.CREATE2),
    Create("/a", b"", OPEN, 4, op=OpCode.CREATE_CONTAINER),
    Create("/a", b"", OPEN, 5, 1000, OpCode.CREATE_TTL),
    Delete("/ä", 7),
    Check("/a", 7),
    SetData("/a", None, 1),
    SetAcl("/a", RULES, 2),
    *[Read(op, "/a", True) for op in (3, 4, 8, 12) for op in (OpCode(op),)],
    *[OfPath(OpCode(op), "/a") for op in (6, 9, 103, 104)],
    *[OfWatch(OpCode(op), "/a", 1) for op in (17, 18, 106)],
    SetWatches(OpCode.SET_WATCHES, 9, ["/a"], ["/b"], ["/c", "/d"]),
    SetWatches(OpCode.SET_WATCHES2, 9, ["/a"], [], [], ["/e"], ["/f"]),
    Auth("digest", b"u:p"),
    *[Bare(op) for op in (OpCode.PING, OpCode.CLOSE_SESSION, OpCode.WHO_AM_I)],
    Multi(OpCode.MULTI, (Create("/a", b"x"), Check("/b", 1), SetData("/c", b"y"), Delete("/d"))),
    Multi(OpCode.MULTI_READ, (Read(OpCode.GET_DATA, "/a"), Read(OpCode.GET_CHILDREN, "/a"))),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.op.name)
def test_requests_are_read_as_they_were_written(request_: Request) -> None:
    packet = bytes(write_request(5, request_))
    reader = Reader(packet)
    assert (reader.int32(), reader.int32()) == (5, request_.op)
    read = read_request(request_.op, reader)
    assert read == request_
    assert type(read) is type(request_)
    assert reader.left == 0


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.op.name)
def test_a_request_that_is_cut_short_is_refused(request_: Request) -> None:
    packet = bytes(write_request(5, request_))
    for end in range(8, len(packet)):
        with pytest.raises(MalformedPacket):
            read_request(request_.op, Reader(packet[:end], 8))


def test_counts_and_lengths_are_compared_with_the_bytes_that_are_there() -> None:
    for value in (2**31 - 1, -2, 1_000_000):
        out = Writer()
        out.int32(value)
        for take in (Reader.buffer, Reader.strings):
            with pytest.raises(MalformedPacket):
                take(Reader(bytes(out)))


def test_a_multi_holds_only_what_it_may() -> None:
    packet = bytes(write_request(1, Multi(OpCode.MULTI, (Read(OpCode.GET_DATA, "/a"),))))
    with pytest.raises(MalformedPacket, match="cannot be part"):
        read_request(OpCode.MULTI, Reader(packet, 8))


RESULTS: list[tuple[Request, Result]] = [
    (Create("/a"), Result(path="/a")),
    (Create("/a", op=OpCode.CREATE2), Result(path="/a", stat=STAT)),
    (Delete("/a"), Result()),
    (Read(OpCode.EXISTS, "/a"), Result(stat=STAT)),
    (Read(OpCode.GET_DATA, "/a"), Result(data=None, stat=STAT)),
    (Read(OpCode.GET_DATA, "/a"), Result(data=b"", stat=STAT)),
    (Read(OpCode.GET_CHILDREN, "/a"), Result(names=["a", "b"])),
    (Read(OpCode.GET_CHILDREN2, "/a"), Result(names=["a"], stat=STAT)),
    (OfPath(OpCode.GET_ACL, "/a"), Result(acls=RULES, stat=STAT)),
    (OfPath(OpCode.SYNC, "/a"), Result(path="/a")),
    (OfPath(OpCode.GET_EPHEMERALS, "/a"), Result(names=["/a/b"])),
    (OfPath(OpCode.GET_ALL_CHILDREN_NUMBER, "/a"), Result(number=3)),
    (Bare(OpCode.WHO_AM_I), Result(identities=[("ip", "127.0.0.1")])),
    (
        Multi(OpCode.MULTI, (Create("/a"), SetData("/b", b""), Check("/c"))),
        Result(parts=[(1, Result(path="/a")), (5, Result(stat=STAT)), (13, Result())]),
    ),
]


@pytest.mark.parametrize(("request_", "result"), RESULTS, ids=lambda value: getattr(value, "op", None))
def test_results_are_read_as_they_were_written(request_: Request, result: Result) -> None:
    reader = Reader(bytes(write_reply(7, 2**40, request_.op, result)))
    assert read_header(reader) == (7, 2**40, 0)
    assert read_result(request_, reader) == result
    assert reader.left == 0


def test_a_multi_that_failed_says_so_in_its_parts_alone() -> None:
    request = Multi(OpCode.MULTI, (Create("/a"), Check("/b", 4), Delete("/c")))
    parts = [(-1, ZkError("", ZkCode.OK)), (-1, BadVersion()), (-1, RuntimeInconsistency())]
    reader = Reader(bytes(write_reply(1, 2, OpCode.MULTI, Result(parts=list(parts)))))
    assert read_header(reader) == (1, 2, 0)
    read = read_result(request, reader)
    codes = [outcome.code for _, outcome in read.parts if isinstance(outcome, ZkError)]
    assert codes == [0, ZkCode.BAD_VERSION, ZkCode.RUNTIME_INCONSISTENCY]
    failure = failure_of(request, read)
    assert isinstance(failure, BadVersion)
    assert "/b" in str(failure)


def test_an_error_has_no_body() -> None:
    packet = bytes(write_reply(1, 2, OpCode.GET_DATA, NoNode("/a")))
    reader = Reader(packet)
    assert read_header(reader) == (1, 2, ZkCode.NO_NODE)
    assert reader.left == 0
    assert isinstance(error_of(ZkCode.NO_NODE), NoNode)
    assert error_of(-9999).code == -9999


def test_events_and_the_handshake_are_read_as_they_were_written() -> None:
    event = Event(EventType.CHILDREN_CHANGED, KeeperState.CONNECTED, "/a")
    reader = Reader(bytes(write_event(event)))
    assert read_header(reader) == (-1, -1, 0)
    assert read_event(reader) == event
    for read_only in (None, False, True):
        request = ConnectRequest(5, 6000, 7, b"p" * 16, read_only)
        assert ConnectRequest.read(Reader(bytes(request.write()))) == request
        reply = ConnectReply(6000, 7, b"p" * 16, read_only)
        assert ConnectReply.read(Reader(bytes(reply.write()))) == reply
